"""What the remote engine is told: where the servers are, and how patient to be."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field

from ...errors import EngineError
from ...words import Text

LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")


@dataclass(frozen=True)
class RemoteSettings:
    """`model` "" is the first one that a server lists; `context_length` None is the server's own.

    `timeout_seconds` is how long a server may be silent, before the first token and between two.
    """

    urls: tuple[str, ...]
    model: str = ""
    key: str = field(default="", repr=False)
    key_variable: str = "ASSISTANT_API_KEY"  # named in errors, so a person knows what to set
    context_length: int | None = None
    timeout_seconds: float = 120.0
    attempts: int = 5  # of one question, all before its first token: 7 s, in which `deploy serve`'s
    # proxy notices that one of its servers has died
    first_wait_seconds: float = 0.5  # doubles with each further attempt
    longest_wait_seconds: float = 30.0  # a server that asks for more is not waited for
    recheck_seconds: float = 10.0  # how often a dead server is looked at again


@dataclass(frozen=True)
class Address:
    """A server's OpenAI base address (`…/v1`), its root, and a name that holds no secret."""

    base: str
    root: str
    name: str
    plain: bool  # http to another machine: what is sent can be read on the way
    here: bool  # on this machine

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL of the configuration; `/v1` is added where it has no path.

        Raises EngineError("unavailable") for what is no http(s) address, or carries a password.
        """
        try:
            parts = urllib.parse.urlsplit(url.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("http", "https"):
            raise EngineError(
                "unavailable",
                Text(f"{url!r} is not a server's address.", f"{url!r} 不是服务器地址。"),
                Text(
                    "Write it as http://host:port/v1 in [serve.remote] urls.",
                    "请在 [serve.remote] urls 里写成 http://主机:端口/v1。",
                ),
            )
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise EngineError(
                "unavailable",
                Text(
                    f"The address of {host} carries a name, password or query.",
                    f"{host} 的地址里带有用户名、密码或参数。",
                ),
                Text("Keys belong into the environment.", "密钥应放在环境变量里。"),
            )
        shown = f"[{host}]" if ":" in host else host
        netloc = f"{shown}:{port}" if port else shown
        root = f"{parts.scheme}://{netloc}"
        path = parts.path.rstrip("/")
        return cls(
            base=root + (path or "/v1"),
            root=root + path.removesuffix("/v1"),
            name=netloc,
            plain=parts.scheme == "http" and host not in LOOPBACK,
            here=host in LOOPBACK or host.startswith("127."),
        )
