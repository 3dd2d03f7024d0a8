"""ModelScope's API, as far as modelscope-hub asks for it when it uploads."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs

from . import git_lfs
from .server import Refusal
from .store import pointer

PRIVATE, PUBLIC = 1, 5


def _fine(request: Any, data: Any) -> None:
    body = {
        "Code": 200,
        "Success": True,
        "success": True,
        "Message": "success",
        "Data": data,
        "data": data,
    }
    request.send(200, body)


def _query(request: Any, name: str, default: str) -> str:
    return parse_qs(request.query).get(name, [default])[0]


def me(request: Any) -> None:
    name = request.who()
    if not name:
        raise Refusal(401, "token is invalid")
    _fine(request, {"username": name, "id": 1})


def info(request: Any, name: str, types: Any = "model") -> None:
    repo = request.find(types, name)
    owner, short = name.split("/")
    _fine(request, {
        "id": name, "owner": owner, "name": short, "private": repo.private,
        "Visibility": PRIVATE if repo.private else PUBLIC,
    })  # fmt: skip


def create_model(request: Any) -> None:
    asked = request.json()
    _create(request, "model", f"{asked['Path']}/{asked['Name']}", asked["Visibility"] == PRIVATE)


def create_studio(request: Any) -> None:
    asked = request.json()
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    repo = _create(request, "studio", f"{asked['owner']}/{asked['repo_name']}", private)
    repo.settings = asked


def _create(request: Any, kind: Any, name: str, private: bool) -> Any:
    request.writer(name.split("/")[0])
    if (kind, name) in request.hub.store.repos:
        raise Refusal(409, "already exists")
    private = private and not request.hub.all_public
    repo = request.hub.store.create(kind, name, private, "master")
    _fine(request, {"id": name, "Name": name, "private": private})
    return repo


def deploy(request: Any, name: str) -> None:
    request.drain()
    request.writer(name.split("/")[0])
    request.find("studio", name).deployed += 1
    _fine(request, {})


def secrets(request: Any, method: str, name: str) -> None:
    kept = request.find("studio", name).secrets
    if method != "GET":
        request.writer(name.split("/")[0])
        asked = request.json()
        kept[asked["key"]] = asked["value"]
    _fine(request, {"secrets": [{"key": key} for key in kept]})


def batch(request: Any, name: str) -> None:
    asked = request.json()
    request.writer(name.split("/")[0])
    request.find("model", name)
    objects = [
        {**one, **git_lfs.actions(request, "upload", one["oid"], one["size"])}
        for one in asked["objects"]
    ]
    _fine(request, {"objects": objects})


def commit(request: Any, name: str, revision: str) -> None:
    request.writer(name.split("/")[0])
    repo = request.find("model", name)
    asked = request.json()
    files = {
        one["path"]: pointer(one["sha256"], one["size"]) if one["type"] == "lfs" else base64.b64decode(one["content"])
        for one in asked["actions"] if one["action"] != "delete"
    }  # fmt: skip
    made = request.hub.store.commit(repo, files, [], asked["commit_message"])
    _fine(request, {"oid": made})


def files(request: Any, name: str) -> None:
    repo = request.find("model", name)
    store = request.hub.store
    found = store.commit_of(repo, _query(request, "Revision", "master"))
    listed = [
        {"Path": one.path, "Name": one.path, "Size": one.size, "Type": "blob",
         "Sha256": one.sha256 or hashlib.sha256(store.read(repo, one)).hexdigest()}
        for one in store.tree(repo, found).values()
    ]  # fmt: skip
    _fine(request, {"Files": listed})


def file(request: Any, name: str) -> None:
    repo = request.find("model", name)
    store = request.hub.store
    found = store.commit_of(repo, _query(request, "Revision", "master"))
    entry = store.tree(repo, found).get(_query(request, "FilePath", ""))
    if entry is None:
        raise Refusal(404, "no such file")
    request.send(200, store.read(repo, entry), kind="application/octet-stream")
