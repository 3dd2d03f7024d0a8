"""The Hugging Face Hub's API, as far as uploads go (https://huggingface.co/docs/hub/api)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import yaml

from .server import Refusal
from .store import Entry, pointer

LFS_SUFFIXES = (".safetensors", ".bin", ".model")
LFS_FROM = 100_000


def whoami(request: Any) -> None:
    name = request.who()
    if not name:
        raise Refusal(401, "Invalid username or password.")
    hub = request.hub
    role = "read" if name in hub.read_only else "write"
    orgs = [{"name": org, "type": "org"} for org in hub.orgs.get(name, [])]
    request.send(200, {"type": "user", "name": name, "orgs": orgs,
                       "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": role}}})  # fmt: skip


def create(request: Any) -> None:
    asked = request.json()
    owner = asked.get("organization") or request.who()
    request.writer(owner)
    name, kind = f"{owner}/{asked['name']}", asked.get("type") or "model"
    prefix = "spaces/" if kind == "space" else ""
    url = f"{request.hub.url}/{prefix}{name}"
    if (kind, name) in request.hub.store.repos:
        return request.send(409, {"error": "You already created this repo", "url": url})
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    repo = request.hub.store.create(kind, name, private and not request.hub.all_public)
    repo.settings = {key: asked[key] for key in ("sdk", "hardware", "secrets") if key in asked}
    return request.send(200, {"url": url, "id": name})


def validate_yaml(request: Any) -> None:
    content = request.json()["content"]
    head = content.split("---")[1] if content.startswith("---") else ""
    errors = []
    values = yaml.safe_load(head) or {}
    base = values.get("base_model", "")
    if isinstance(base, str) and base.count("/") > 1:
        errors.append({"message": f'"base_model" with value "{base}" is not valid.'})
    status = 400 if errors else 200
    request.send(status, {"errors": errors, "warnings": []})


def preupload(request: Any, types: Any, name: str, revision: str) -> None:
    request.writer(name.split("/")[0])
    repo = request.find(types, name)
    store = request.hub.store
    there = store.tree(repo, store.commit_of(repo, revision))
    answers = []
    for file in request.json()["files"]:
        lfs = file["size"] >= LFS_FROM or file["path"].endswith(LFS_SUFFIXES)
        answer = {
            "path": file["path"],
            "uploadMode": "lfs" if lfs else "regular",
            "shouldIgnore": False,
        }
        if known := there.get(file["path"]):
            answer["oid"] = known.sha256 or known.blob
        answers.append(answer)
    request.send(200, {"files": answers})


def commit(request: Any, types: Any, name: str, revision: str) -> None:
    request.writer(name.split("/")[0])
    repo = request.find(types, name)
    lines = [json.loads(line) for line in request.body().splitlines() if line.strip()]
    head: dict[str, Any] = {}
    files, deleted = {}, []
    for line in lines:
        value = line["value"]
        if line["key"] == "header":
            head = value
        elif line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = pointer(value["oid"], value["size"])
        elif line["key"] == "deletedFile":
            deleted.append(value["path"])
    try:
        made = request.hub.store.commit(
            repo, files, deleted, head["summary"], head.get("parentCommit", "")
        )
    except ValueError:
        raise Refusal(412, "A commit has happened since. Please refresh and try again.") from None
    url = f"{request.hub.url}/{name}/commit/{made}"
    request.send(200, {"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""})


def xet_token(request: Any, types: Any, name: str, revision: str) -> None:
    request.find(types, name)
    cas = f"local://{request.hub.store.xet}"
    expires = 4102444800
    headers = {
        "X-Xet-Cas-Url": cas,
        "X-Xet-Access-Token": "x",
        "X-Xet-Token-Expiration": str(expires),
    }
    request.send(200, {"casUrl": cas, "accessToken": "x", "exp": expires}, headers)


def info(request: Any, types: Any, name: str, revision: str | None = None) -> None:
    repo = request.find(types, name)
    store = request.hub.store
    head = store.commit_of(repo, revision or repo.branch)
    if revision and not head:
        raise Refusal(404, "Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
    siblings = [{"rfilename": path} for path in store.tree(repo, head)]
    request.send(200, {"_id": "1", "id": name, "sha": head or None, "private": repo.private, "siblings": siblings,
                       "tags": [], "downloads": 0, "likes": 0, "disabled": False, "gated": False})  # fmt: skip


def tree(request: Any, types: Any, name: str, revision: str) -> None:
    repo = request.find(types, name)
    store = request.hub.store
    found = store.commit_of(repo, revision)
    if not found:
        raise Refusal(404, "Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
    request.send(200, [_entry(one) for one in store.tree(repo, found).values()])


def _entry(one: Entry) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": one.path, "oid": one.blob, "size": one.size}
    if one.sha256:
        entry["lfs"] = {"oid": one.sha256, "size": one.size, "pointerSize": 130}
    return entry


def resolve(request: Any, name: str, revision: str, path: str, types: Any = None) -> None:
    repo = request.find(types or "model", name)
    store = request.hub.store
    found = store.commit_of(repo, revision)
    entry = store.tree(repo, found).get(path)
    if entry is None:
        raise Refusal(404, "Entry not found", {"X-Error-Code": "EntryNotFound"})
    data = store.read(repo, entry)
    etag = entry.sha256 or hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    headers = {"X-Repo-Commit": found, "ETag": f'"{etag}"', "Content-Length": str(len(data))}
    request.send(200, data, headers, "application/octet-stream")


def add_secret(request: Any, name: str) -> None:
    request.writer(name.split("/")[0])
    asked = request.json()
    request.find("space", name).secrets[asked["key"]] = asked["value"]
    request.send(200, {})


def runtime(request: Any, name: str) -> None:
    request.find("space", name)
    request.send(
        200, {"stage": "BUILDING", "hardware": {"current": None, "requested": "cpu-basic"}}
    )
