"""One server for all sources of models: hub API, ModelScope API, a package index, git with LFS.

Serves `Repo`s from memory. `faults` changes what it answers; `log` keeps every request.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .listening import listening

LFS_FROM = 1000  # bytes from which on a file counts as an LFS object


@dataclass
class Faults:
    """What goes wrong. Bodies of files only, unless said otherwise."""

    cut_after: int | None = None  # break the connection after so many bytes of an LFS file
    stall_after: int | None = None  # send so many bytes of an LFS file, then nothing more
    stall_seconds: float = 600
    flip: bool = False  # serve LFS files with one wrong byte
    shorten: bool = False  # serve LFS files one byte short, and say so in Content-Length
    status: int | None = None  # answer everything with this status
    token: str | None = None  # refuse who does not bring it


@dataclass
class Repo:
    """Files of one model; the commit follows from them."""

    files: dict[str, bytes]
    licence: str = "mit"

    @property
    def commit(self) -> str:
        digest = hashlib.sha1()
        for path in sorted(self.files):
            digest.update(path.encode() + self.files[path])
        return digest.hexdigest()


@dataclass(frozen=True)
class Request:
    """A request that came in, and the bytes that were asked for."""

    method: str
    path: str
    range: str = ""


@dataclass
class HubServer:
    """A running server. `url` is where it listens."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    wheels: dict[str, bytes] = field(default_factory=dict)  # file name -> wheel
    git_root: Path | None = None  # bare repositories, owner/name.git
    lfs: dict[str, bytes] = field(default_factory=dict)  # sha256 -> object
    faults: Faults = field(default_factory=Faults)
    log: list[Request] = field(default_factory=list)

    def gets(self, part: str) -> list[Request]:
        """The GET requests whose path holds `part`."""
        return [one for one in self.log if one.method == "GET" and part in one.path]


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A server on a free port of 127.0.0.1, stopped at the end."""
    hub = HubServer()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with listening(Handler) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        size = int(self.headers.get("Content-Length") or 0)
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        self.body = self._chunks() if chunked else self.rfile.read(size)
        hub.log.append(Request(self.command, self.path, self.headers.get("Range", "")))
        if hub.faults.status:
            return self._send(hub.faults.status, {"error": "told to"})
        if hub.faults.token and hub.faults.token not in self._credentials():
            extra = {"WWW-Authenticate": 'Basic realm="hub"'} if ".git" in self.path else {}
            return self._send(401, {"error": "who are you?"}, extra)
        path = unquote(urlsplit(self.path).path)
        for pattern, method in _ROUTES:
            if match := re.fullmatch(pattern, path):
                return getattr(self, method)(**match.groupdict())
        self._send(404, {"error": "no such page"})

    def _credentials(self) -> str:
        return self.headers.get("Authorization", "") + self.headers.get("Cookie", "")

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(
        self, status: int, value: Any, headers: dict[str, str] | None = None, kind: str = "json"
    ) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _repo(self, repo: str, revision: str = "") -> Repo | None:
        found = self.hub.repos.get(repo)
        if found is None:
            self._send(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("", "main", "master", "HEAD", found.commit):
            self._send(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return found

    # The hub API (https://huggingface.co/docs/hub/api)

    def hf_info(self, repo: str, revision: str = "main") -> None:
        if found := self._repo(repo, revision):
            card = {"license": found.licence}
            self._send(200, {"id": repo, "sha": found.commit, "cardData": card, "siblings": []})

    def hf_tree(self, repo: str, revision: str) -> None:
        if found := self._repo(repo, revision):
            self._send(200, [_hf_entry(path, data) for path, data in found.files.items()])

    def hf_file(self, repo: str, revision: str, path: str) -> None:
        if (found := self._repo(repo, revision)) is None:
            return None
        if (data := found.files.get(path)) is None:
            return self._send(404, {}, {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(data).hexdigest() if len(data) >= LFS_FROM else _blob_id(data)
        return self._file(data, {"X-Repo-Commit": found.commit, "ETag": f'"{etag}"'})

    # ModelScope

    def ms_files(self, repo: str) -> None:
        if found := self._repo(repo, self._query("Revision")):
            files = [
                {"Path": path, "Size": len(data), "Type": "blob", "Sha256": _sha256(data)}
                for path, data in found.files.items()
            ]
            self._send(200, {"Code": 200, "Data": {"Files": files}})

    def ms_file(self, repo: str) -> None:
        if found := self._repo(repo, self._query("Revision")):
            self._file(found.files[self._query("FilePath")], {})

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    # A package index (https://packaging.python.org/specifications/simple-repository-api)

    def index(self, package: str) -> None:
        links = [
            f'<a href="/wheels/{name}#sha256={_sha256(data)}">{name}</a>'
            for name, data in self.hub.wheels.items()
            if name.split("-")[0].replace("_", "-") == package
        ]
        if not links:
            return self._send(404, {})
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        return self._page(page)

    def _page(self, page: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page.encode())

    def wheel(self, name: str) -> None:
        self._file(self.hub.wheels[name], {})

    # git and git-lfs

    def lfs_batch(self, repo: str) -> None:
        asked = json.loads(self.body)["objects"]
        objects = [
            {**one, "actions": {"download": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
            for one in asked
        ]
        answer = {"transfer": "basic", "objects": objects}
        self._send(200, answer, kind="vnd.git-lfs+json")

    def lfs_object(self, oid: str) -> None:
        self._file(self.hub.lfs[oid], {})

    def git(self, repo: str, rest: str) -> None:
        root = self.hub.git_root
        if root is None or not (root / f"{repo}.git").is_dir():
            return self._send(404, {})
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repo}.git/{rest}",
            "QUERY_STRING": urlsplit(self.path).query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        command = ["git", "http-backend"]
        done = subprocess.run(
            command, input=self.body, env=environment, capture_output=True, check=True
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, text in fields.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    # Bodies

    def _file(self, data: bytes, headers: dict[str, str]) -> None:
        faults = self.hub.faults
        large = len(data) >= LFS_FROM
        if large and faults.flip:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if large and faults.shorten:
            data = data[:-1]
        start, end = self._asked(len(data))
        if start >= len(data) > 0:
            return self._send(416, {}, {"Content-Range": f"bytes */{len(data)}"})
        piece = data[start:end]
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("Content-Length", str(len(piece)))
        self.send_header("Accept-Ranges", "bytes")
        if self.headers.get("Range"):
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command == "HEAD":
            return None
        limit = faults.cut_after if faults.cut_after is not None else faults.stall_after
        if large and limit is not None and len(piece) > limit:
            self.wfile.write(piece[:limit])
            self.wfile.flush()
            if faults.stall_after is not None:
                time.sleep(faults.stall_seconds)
            self.close_connection = True
            self.connection.shutdown(2)
            return None
        self.wfile.write(piece)
        return None

    def _asked(self, size: int) -> tuple[int, int]:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            return 0, size
        return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size


def _hf_entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data)}
    entry["oid"] = _blob_id(data)
    if len(data) >= LFS_FROM:
        entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
    return entry


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+?)"
_ROUTES = [
    (rf"/api/models/{_REPO}", "hf_info"),
    (rf"/api/models/{_REPO}/revision/(?P<revision>.+)", "hf_info"),
    (rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)", "hf_tree"),
    (rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "hf_file"),
    (rf"/api/v1/models/{_REPO}/repo/files", "ms_files"),
    (rf"/api/v1/models/{_REPO}/repo", "ms_file"),
    (r"/simple/(?P<package>[\w.-]+)/", "index"),
    (r"/wheels/(?P<name>.+)", "wheel"),
    (rf"/{_REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    (r"/lfs/(?P<oid>[0-9a-f]{64})", "lfs_object"),
    (rf"/{_REPO}\.git/(?P<rest>.*)", "git"),
]
