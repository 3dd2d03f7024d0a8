"""Where the page runs: this machine, or a host that is known by its own environment."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import BlockedError, UsageError
from ..outside import shown
from ..words import Text

HostName = Literal["huggingface", "modelscope", "openxlab", "own"]
PASSWORD_VARIABLE = "ASSISTANT_PASSWORD"  # never a flag: command lines are seen by other users
DEFAULT_PORT = 7860  # Gradio's, and the one that all three hosts expect
_LISTENING = ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH")  # see `find_place`
GRADIO_HONOURED = (  # where it listens, where its files lie, what it reports
    *_LISTENING, "GRADIO_TEMP_DIR",
    "GRADIO_BLOCKED_PATHS", "GRADIO_ANALYTICS_ENABLED", "GRADIO_ANALYTICS_CACHE_FREQUENCY",
)  # fmt: skip
_OFF = ("", "0", "false", "no", "off", "none", "never")
OPENXLAB_FOLDER = Path("/home/xlab-app-center")  # it sets no variable; apps always live here


_ROOT_PATH = re.compile(r"(?:https?://[^\s/?#]+)?(?:/[^\s?#\x00-\x1f\x7f]*)?")


@dataclass(frozen=True)
class ListenAddress:
    """Where to listen, and who may come."""

    host_name: HostName
    address: str
    port: int  # 0: any that is free
    root_path: str
    public: bool
    behind_proxy: bool  # visitors' addresses are in X-Forwarded-For

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        return is_loopback(self.address)


def find_place(
    address: str | None,
    port: int | None,
    root_path: str | None,
    public: bool,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> ListenAddress:
    """Flags first, then the environment (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT,
    GRADIO_ROOT_PATH), then what the host expects. Raises UsageError for a port or path that is none.

    A page that others can reach is public: chat alone.
    """
    host_name = known_host(environment, folder or Path.cwd())
    hosted = host_name != "own"
    address = (
        address or environment.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if hosted else "127.0.0.1")
    )
    return ListenAddress(
        host_name,
        address,
        _port(port, environment.get("GRADIO_SERVER_PORT")),
        _root_path(root_path, environment.get("GRADIO_ROOT_PATH", "")),
        public or hosted or not is_loopback(address),
        hosted,
    )  # fmt: skip


def take_away_gradio_settings(environment: MutableMapping[str, str]) -> list[str]:
    """Take Gradio's variables out of `environment` but those that this page honours; gives the names
    of those that would have switched something on.

    Gradio reads some forty of them, and they may make the page public (GRADIO_SHARE), let files out
    (GRADIO_ALLOWED_PATHS), or end it with a traceback (GRADIO_NUM_WORKERS=many). Those that say
    where to listen have been read by now (`find_place`), and Gradio fails on a port that is none.
    """
    for name in _LISTENING:
        environment.pop(name, None)
    ours = [
        name for name in sorted(environment)
        if name.startswith("GRADIO_") and name not in GRADIO_HONOURED
    ]  # fmt: skip
    return [name for name in ours if environment.pop(name).strip().lower() not in _OFF]


def ignored_gradio_settings(names: list[str]) -> Text:
    """What the person is told of them."""
    kept = ", ".join(GRADIO_HONOURED[:3])
    return Text(
        f"Ignored from the environment: {', '.join(names)}. This page honours {kept}; others reach "
        "it with --host 0.0.0.0 or --public.",
        f"已忽略环境变量 {'、'.join(names)}。本页面只采用 {kept.replace(', ', '、')}；"
        "要让他人访问，请用 --host 0.0.0.0 或 --public。",
    )


def known_host(environment: Mapping[str, str], folder: Path) -> HostName:
    """The hosting platform: HF sets SPACE_ID, ModelScope MODELSCOPE_ENVIRONMENT=studio."""
    if environment.get("SPACE_ID"):
        return "huggingface"
    if environment.get("MODELSCOPE_ENVIRONMENT") == "studio":
        return "modelscope"
    if OPENXLAB_FOLDER in (folder, *folder.parents):
        return "openxlab"
    return "own"


def choose_port(place: ListenAddress) -> tuple[ListenAddress, socket.socket]:
    """Give a place with port 0 a free port, as the system chooses it; another place is given back.

    The socket keeps the port from others until it is closed. On Linux a server of this process may
    listen there meanwhile (both set SO_REUSEADDR); elsewhere it may not, and it is closed already.
    """
    held = _bindable_socket(place.address)
    if place.port == 0:
        held.bind((place.address, 0))
        place = replace(place, port=held.getsockname()[1])
    if sys.platform != "linux":
        held.close()
    return place, held


def _bindable_socket(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def refuse_taken_port(place: ListenAddress) -> None:
    """Raise BlockedError where the port is taken, UsageError where the address is not ours."""
    with _bindable_socket(place.address) as probe:
        try:
            probe.bind((place.address, place.port))
        except (OSError, UnicodeError, TypeError) as error:  # TypeError: no name at all, to IDNA
            if (
                isinstance(error, (UnicodeError, TypeError, socket.gaierror))
                or error.errno == errno.EADDRNOTAVAIL
            ):
                raise UsageError(
                    Text(f"{place.address} is not an address of this machine.",
                         f"{place.address} 不是这台机器的地址。"),
                    Text("Use --host 127.0.0.1, or 0.0.0.0 for all.",
                         "请用 --host 127.0.0.1，或用 0.0.0.0 表示全部。"),
                ) from None  # fmt: skip
            raise BlockedError(
                Text(f"Port {place.port} on {place.address} cannot be used: {error.strerror}.",
                     f"无法使用 {place.address} 的端口 {place.port}：{error.strerror}。"),
                Text(f"Choose another: --port {place.port + 1}", f"换一个端口：--port {place.port + 1}"),
            ) from None  # fmt: skip


def _root_path(flag: str | None, variable: str) -> str:
    """Gradio puts it after the page's address as it is: one that is no path ends each visit."""
    wanted = variable if flag is None else flag
    place = wanted.rstrip("/")
    if not place or _ROOT_PATH.fullmatch(place):
        return place
    name = "GRADIO_ROOT_PATH=" if flag is None else "--root-path "
    path = re.sub(r"[?#].*", "", place, flags=re.DOTALL)
    path = "/" + "-".join(re.split(r"[^\w.~/-]+", path)).strip("-/")
    raise UsageError(
        Text(f"{name}{shown(wanted)} is not a path of the page's address.",
             f"{name}{shown(wanted)} 不是网页地址里的路径。"),
        Text(f"Begin it with a slash: {name}{path}", f"请以斜杠开头：{name}{path}"),
    )  # fmt: skip


def _port(flag: int | None, variable: str | None) -> int:
    if flag is not None:
        return flag
    if not variable:
        return DEFAULT_PORT
    if variable.isdigit() and int(variable) < 65536:
        return int(variable)
    raise UsageError(
        Text(
            f"GRADIO_SERVER_PORT={variable} is not a port.",
            f"GRADIO_SERVER_PORT={variable} 不是端口号。",
        )
    )


def is_loopback(address: str) -> bool:
    """Whether an address, written as a number or as "localhost", is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
