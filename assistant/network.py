"""Proxies: this machine is never asked through one, and one in the way of a hub is named.

Clients differ in how they read the variables (`http_proxy`, `HTTPS_PROXY`, `all_proxy`, …), and
httpx already fails to be made where one of them is unusable, whoever is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from .words import Text

THIS_MACHINE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_VARIABLE = re.compile(r"(?:https?|all|no|ftp|wss?|socks)_proxy", re.IGNORECASE)
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_UNUSABLE = re.compile(
    r"socksio|SOCKS support|Unknown scheme for proxy|Invalid port|proxy URL|proxy scheme|"
    r"InvalidProxyURL|SOCKS version",
    re.IGNORECASE,
)


def reach_this_machine_directly(*hosts: str) -> None:
    """Set `no_proxy` and `NO_PROXY` for this process and its children: to this machine, and to
    `hosts`, no call goes through a proxy."""
    named = [one for name in _EXCEPTIONS for one in os.environ.get(name, "").split(",")]
    # httpx takes "[::1]" for a port that is no number
    plain = [one.strip().strip("[]") for one in (*named, *THIS_MACHINE, *hosts)]
    together = ",".join(dict.fromkeys(one for one in plain if one))
    os.environ.update(dict.fromkeys(_EXCEPTIONS, together))


@contextmanager
def without_proxies() -> Iterator[None]:
    """Hide every proxy variable within the block: for what speaks to this machine alone."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if _VARIABLE.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def environment_without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that speaks to this machine alone."""
    return {name: value for name, value in environment.items() if not _VARIABLE.fullmatch(name)}


class Proxy(NamedTuple):
    """A proxy in the way: the variable that names it, its address without name and password, and
    every variable that a client might take one from instead."""

    variable: str
    place: str
    others: tuple[str, ...]

    def text(self) -> Text:
        return Text(
            f"the proxy {self.place} that {self.variable} names",
            f"{self.variable} 指定的代理 {self.place}",
        )

    def cure(self, said: str = "") -> Text:
        """What mends a call that failed with the words `said` on the way through it."""
        without = "env " + " ".join(f"-u {name}" for name in (self.variable, *self.others))
        if "socks" in said.lower() and _UNUSABLE.search(said):
            return Text(
                "For a SOCKS proxy install: python -m pip install socksio PySocks - or go without a "
                f"proxy: put {without} before the command.",
                "使用 SOCKS 代理请安装：python -m pip install socksio PySocks；"
                f"若不需要代理，在命令前加 {without}。",
            )
        return Text(
            f"Check {self.variable}; to go without a proxy put {without} before the command. A host "
            "that needs none can stand in no_proxy.",
            f"请检查 {self.variable}；若不需要代理，在命令前加 {without}。"
            "不需要代理的主机可以写进 no_proxy。",
        )


def proxy_for(url: str, more: tuple[str, ...] = (), said: str = "") -> Proxy | None:
    """The proxy that a call to `url` goes through; None for none. What is no URL is taken for a
    https server. `more` are variables of one tool, looked at first. Where the client `said` that it
    cannot use a variable, that may be one for other addresses."""
    try:
        parts = urlsplit(url if "://" in url else "https://unknown")
    except ValueError:  # whoever calls it says so
        return None
    if proxy_bypass(parts.hostname or ""):
        return None
    plain = ("http_proxy", "https_proxy", "all_proxy")
    spellings = [*more, *(name for one in plain for name in (one, one.upper()))]
    found = {name: value for name in spellings if (value := os.environ.get(name, "").strip())}
    asked = (*more, f"{parts.scheme}_proxy", "all_proxy")
    for name in found:
        if name in more or name.lower() in asked or unusable_proxy(said):
            place = re.sub(r"^\w+://", "", found[name]).rpartition("@")[2].rstrip("/")
            return Proxy(name, place, tuple(one for one in found if one != name))
    return None


def unusable_proxy(words: str) -> bool:
    """Whether a client says that it cannot use the variables at all."""
    return bool(_UNUSABLE.search(words))


def without_secrets(address: str) -> str:
    """The address or text with user and password of every URL cut out."""
    return re.sub(r"(?<=//)[^/@\s]+@", "", address)
