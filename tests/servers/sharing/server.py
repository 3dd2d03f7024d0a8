"""The HTTP server: faults, who may come in, and which route answers."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from ..listening import listening
from .store import Kind, Repo, Store

PIECE = 1 << 16


class Gate:
    """Where requests wait: `reached` tells that one does, `open` lets all of them go on."""

    def __init__(self) -> None:
        self.reached, self._opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        self._opened.wait(300)

    def open(self) -> None:
        self._opened.set()


@dataclass
class Fault:
    """Something that goes wrong for the requests that match, `times` times (None: always).

    Answer `status`, or break the line after `cut_after` bytes of the body, or wait at a gate before
    the answer (with `gate_from`, once the hub has received so many bytes of large files), or store
    something else than what came.
    """

    request: str  # a regular expression on "METHOD /path"
    status: int = 0
    message: str = "told to"
    times: int | None = None
    cut_after: int | None = None
    flip: bool = False
    gate: Gate | None = None
    gate_from: int = 0


@dataclass
class ShareServer:
    """A running server. `users` are name -> token; `log` is every request as "METHOD /path"."""

    store: Store
    url: str = ""
    users: dict[str, str] = field(default_factory=dict)
    orgs: dict[str, list[str]] = field(default_factory=dict)
    read_only: set[str] = field(default_factory=set)  # names whose token may only read
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    received: int = 0  # bytes of LFS bodies that came in, whole or not
    busy: int = 0  # requests that are being answered
    multipart: bool = False  # plain LFS in parts of 1 MiB
    all_public: bool = False  # makes every repository public, whatever was asked
    lock: threading.Lock = field(default_factory=threading.Lock)

    def writes(self) -> list[str]:
        """The requests that change something."""
        writing = re.compile(
            r"(?:PUT|PATCH|DELETE) |POST \S*(?:/create|/commit/\S*|/git-receive-pack|/secrets|/deploy|"
            r"/api/v1/models|/openapi/v1/studios|/complete)$"
        )
        return [one for one in self.log if writing.match(one)]

    def repo(self, kind: Kind, name: str) -> Repo:
        return self.store.repos[kind, name]

    def files(self, kind: Kind, name: str) -> dict[str, bytes]:
        """What the newest commit holds."""
        repo = self.repo(kind, name)
        tree = self.store.tree(repo, self.store.head(repo))
        return {path: self.store.read(repo, entry) for path, entry in tree.items()}


@contextmanager
def share_server(root: Path) -> Iterator[ShareServer]:
    """A server on a free port of 127.0.0.1 that keeps everything below `root`."""
    hub = ShareServer(Store(root))

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with listening(Handler) as hub.url:
        yield hub


class Refusal(Exception):
    """An answer that ends a request."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        self.status, self.message, self.headers = status, message, headers or {}
        super().__init__(message)


class _Handler(BaseHTTPRequestHandler):
    hub: ShareServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        from .routes import ROUTES

        self.route = unquote(urlsplit(self.path).path)
        self.query = urlsplit(self.path).query
        self._unread = int(self.headers.get("Content-Length") or 0)
        self._chunked = self.headers.get("Transfer-Encoding") == "chunked"
        line = f"{self.command} {self.route}"
        with self.hub.lock:
            self.hub.log.append(line)
            self.hub.busy += 1
            self.fault = self._fault(line)
        try:
            if self.fault and self.fault.gate and not self.fault.gate_from:
                self.fault.gate.wait()
            if self.fault and self.fault.status:
                self.drain()
                raise Refusal(self.fault.status, self.fault.message)
            for pattern, method in ROUTES:
                if match := re.fullmatch(pattern, line):
                    return method(self, **match.groupdict())
            self.drain()
            raise Refusal(404, f"no such page: {line}")
        except Refusal as refusal:
            self.drain()
            body = {
                "error": refusal.message,
                "message": refusal.message,
                "Message": refusal.message,
            }
            self.send(refusal.status, body, {"X-Error-Message": refusal.message, **refusal.headers})
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True
        finally:
            with self.hub.lock:
                self.hub.busy -= 1

    def _fault(self, line: str) -> Fault | None:
        for fault in self.hub.faults:
            if not re.search(fault.request, line):
                continue
            if fault.times is None or fault.times > 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    # Who

    def who(self) -> str:
        """The user whose token came along, "" for none. A wrong token is refused."""
        sent = self.headers.get("Authorization", "")
        kind, _, value = sent.partition(" ")
        if kind == "Basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        if not value:
            return ""
        for name, token in self.hub.users.items():
            if token == value:
                return name
        self.drain()
        raise Refusal(401, "Invalid username or password.", _ask(self.route))

    def writer(self, owner: str) -> str:
        name = self.who()
        if not name:
            self.drain()
            raise Refusal(401, "Invalid username or password.", _ask(self.route))
        if name in self.hub.read_only or owner not in (name, *self.hub.orgs.get(name, [])):
            self.drain()
            raise Refusal(403, "You don't have the rights to write here.")
        return name

    def find(self, kind: Kind, name: str) -> Repo:
        """The repository, if this visitor may see it."""
        repo = self.hub.store.repos.get((kind, name))
        who = self.who()
        mine = name.split("/")[0] in (who, *self.hub.orgs.get(who, []))
        if repo is None or (repo.private and not mine):
            self.drain()
            if ".git" in self.route and not who:
                raise Refusal(401, "who are you?", _ask(self.route))
            raise Refusal(404, "Repository not found", {"X-Error-Code": "RepoNotFound"})
        return repo

    # Bodies

    def pieces(self) -> Iterator[bytes]:
        """The request's body, as it comes in."""
        while self._chunked:
            size = int(self.rfile.readline(), 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                self._chunked = False
                return
            yield data
        while self._unread > 0:
            data = self.rfile.read(min(PIECE, self._unread))
            if not data:
                raise ConnectionError
            self._unread -= len(data)
            yield data

    def drain(self) -> None:
        for _ in self.pieces():
            pass

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def json(self) -> Any:
        return json.loads(self.body() or b"{}")

    def store_body(self, out: BinaryIO) -> None:
        """Write the body to `out`, as the present fault lets it."""
        fault, done = self.fault, 0
        for piece in self.pieces():
            done += len(piece)
            with self.hub.lock:
                self.hub.received += len(piece)
            if fault and fault.cut_after is not None and done > fault.cut_after:
                self.connection.shutdown(2)
                raise ConnectionError
            if fault and fault.gate and 0 < fault.gate_from <= self.hub.received:
                fault.gate.wait()
            if fault and fault.flip and done == len(piece):
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            out.write(piece)

    def send(
        self,
        status: int,
        value: Any,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _ask(route: str) -> dict[str, str]:
    return {"WWW-Authenticate": 'Basic realm="hub"'} if ".git" in route else {}
