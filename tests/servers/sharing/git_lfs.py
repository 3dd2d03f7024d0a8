"""git over HTTP (git's own http-backend) and the LFS batch API that all three hubs use."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from assistant.artifacts import sha256_of

from .server import Refusal
from .store import Kind

PART = 1 << 20
LFS_JSON = "application/vnd.git-lfs+json"


def _repo(request: Any, types: Kind | None, name: str) -> Any:
    return request.find(types or "model", name)


def actions(request: Any, operation: str, oid: str, size: int) -> dict[str, Any]:
    """The actions for one object; none for an upload of what is there."""
    hub = request.hub
    there = hub.store.has(oid, size)
    href = f"{hub.url}/lfs/{oid}"
    if operation == "download":
        if there:
            return {"actions": {"download": {"href": href}}}
        return {"error": {"code": 404, "message": "Object does not exist"}}
    if there:
        return {}
    if hub.multipart and size > PART:
        parts = {f"{number:05d}": f"{href}/{number}" for number in range(1, -(-size // PART) + 1)}
        header = {"chunk_size": str(PART), **parts}
        return {"actions": {"upload": {"href": f"{href}/complete", "header": header}}}
    verify = {"href": f"{hub.url}/lfs/verify"}
    return {"actions": {"upload": {"href": href}, "verify": verify}}


def batch(request: Any, name: str, types: Kind | None = None) -> None:
    asked = request.json()
    if asked["operation"] == "upload":
        request.writer(name.split("/")[0])
    _repo(request, types, name)
    objects = [
        {"oid": one["oid"], "size": one["size"], "authenticated": True,
         **actions(request, asked["operation"], one["oid"], one["size"])}
        for one in asked["objects"]
    ]  # fmt: skip
    transfer = "multipart" if request.hub.multipart else "basic"
    request.send(
        200, {"transfer": transfer, "objects": objects, "hash_algo": "sha256"}, kind=LFS_JSON
    )


def put(request: Any, oid: str, part: str | None) -> None:
    lfs: Path = request.hub.store.lfs
    name = f"{oid}.{part}" if part else oid
    with tempfile.NamedTemporaryFile(dir=lfs, delete=False) as out:
        try:
            request.store_body(out)
        except BaseException:
            os.unlink(out.name)
            raise
    data = Path(out.name)
    digest = sha256_of(data)
    flipped = request.fault is not None and request.fault.flip
    if part is None and digest != oid and not flipped:
        data.unlink()
        raise Refusal(400, "content does not match its sha256")
    data.replace(lfs / name)
    request.send(200, {}, {"ETag": f'"{digest[:16]}"'})


def complete(request: Any, oid: str) -> None:
    request.json()
    lfs: Path = request.hub.store.lfs
    parts = sorted(lfs.glob(f"{oid}.*"), key=lambda file: int(file.suffix[1:]))
    whole = lfs / f"{oid}-whole"
    with whole.open("wb") as out:
        for part in parts:
            out.write(part.read_bytes())
            part.unlink()
    if sha256_of(whole) != oid:
        raise Refusal(400, "parts do not make that object")
    whole.replace(lfs / oid)
    request.send(200, {})


def get(request: Any, oid: str) -> None:
    file = request.hub.store.lfs / oid
    if not file.is_file():
        raise Refusal(404, "no such object")
    request.send(200, file.read_bytes(), kind="application/octet-stream")


def verify(request: Any) -> None:
    asked = request.json()
    if not request.hub.store.has(asked["oid"], asked["size"]):
        raise Refusal(404, "not here")
    request.send(200, {})


def no_locks(request: Any, name: str, types: Kind | None = None) -> None:
    request.drain()
    raise Refusal(404, "no locks here")


def backend(request: Any, name: str, rest: str, types: Kind | None = None) -> None:
    if "git-receive-pack" in request.path:
        request.writer(name.split("/")[0])
    repo = _repo(request, types, name)
    environment = {
        **os.environ, "GIT_PROJECT_ROOT": str(repo.folder.parent), "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repo.folder.name}/{rest}", "QUERY_STRING": request.query,
        "REQUEST_METHOD": request.command, "REMOTE_USER": "someone",
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }  # fmt: skip
    done = subprocess.run(
        ["git", "http-backend"],
        input=request.body(),
        env=environment,
        capture_output=True,
        check=True,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(re.sub(r"\D.*", "", fields.pop("Status", "200")))
    kind = fields.pop("Content-Type", "text/plain")
    request.send(status, body, fields, kind)
