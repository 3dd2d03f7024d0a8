"""Tokens: where they come from, and that nothing ever shows one.

A token is read from a file that the person names, the environment, or (Hugging Face) the hub's
own login. It is never an argument of a command, and lies in no file, URL or message of ours.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from assistant.errors import BlockedError, UsageError
from assistant.words import Text

from .target import Service

VARIABLES: dict[Service, tuple[str, ...]] = {
    "hf": ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    "modelscope": ("MODELSCOPE_API_TOKEN",),
    "openxlab": ("OPENXLAB_GIT_TOKEN",),
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
}
WHERE_TO_GET: dict[Service, str] = {
    "hf": "https://huggingface.co/settings/tokens",
    "modelscope": "https://modelscope.cn/my/myaccesstoken",
    "openxlab": "https://sso.openxlab.org.cn/usercenter?tab=secret",
    "github": "https://github.com/settings/personal-access-tokens",
}
HIDDEN = "***"
# What tokens of these services look like, should one appear that we were never given.
_LOOKS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|ms-[0-9a-f]{8}-[0-9a-f-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"
    r"|(?i:(?<=authorization: )(?:basic|bearer) [\w+/=.~-]+)"
    r"|(?<=//)[^/@\s]+:[^/@\s]+(?=@)"
)
_handed: list[Secret] = []  # those from files and logins, to be hidden as well
_FORMATTER = logging.Formatter()
CLIENT_LOGGERS = ("huggingface_hub", "modelscope_hub", "httpx", "httpx2", "urllib3", "hf_xet")


class Secret:
    """A token. It prints as ***; `reveal` is called only where a client is handed it."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str):
        self._value = value
        self.source = source  # a variable, a file, a login: shown to people

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> tuple:  # type: ignore[type-arg]
        raise TypeError("a token is not to be pickled")

    def basic(self, user: str) -> str:
        """The value of an Authorization header for git over HTTP."""
        return "Basic " + base64.b64encode(f"{user}:{self._value}".encode()).decode()


def find_token(service: Service, file: Path | None = None) -> Secret | None:
    """The token for a service, or None: `file`, else the environment, else the hub's own login.

    Raises UsageError for a file that cannot be read or is empty.
    """
    if file is not None:
        _handed.append(_from_file(file))
        return _handed[-1]
    for variable in VARIABLES[service]:
        if value := os.environ.get(variable, "").strip():
            return Secret(value, variable)
    if service == "hf":
        from huggingface_hub import get_token

        if login := get_token():
            _handed.append(Secret(login, "hf auth login"))
            return _handed[-1]
    return None


def refuse_one_file_for_several(services: Iterable[Service], file: Path | None) -> None:
    """Raise UsageError where the one token of a file would be handed to several services."""
    several = sorted(set(services))
    if file is not None and len(several) > 1:
        names = ", ".join(several)
        raise UsageError(
            Text(f"{file} holds one token, and {names} would all be handed it.",
                 f"{file} 里只有一个令牌，却会交给 {names}。"),
            Text("Name one target, or put the tokens into the environment.",
                 "请只写一个目标，或把令牌放进环境变量。"),
        )  # fmt: skip


def need_token(service: Service, token: Secret | None, why: Text) -> Secret:
    """The token. Raises BlockedError with where to get one if there is none."""
    if token is not None:
        return token
    variable, place = VARIABLES[service][0], WHERE_TO_GET[service]
    login = (
        Text(", or run: hf auth login", "，或运行：hf auth login")
        if service == "hf"
        else Text("", "")
    )
    raise BlockedError(
        Text(f"{why.en}: there is no token.", f"{why.zh}：没有令牌。"),
        Text(
            f"Get one with write access at {place} and put it into the environment as {variable} "
            f"(or into a file: --token-file FILE){login.en}.",
            f"请在 {place} 申请有写权限的令牌，放进环境变量 {variable}"
            f"（或写进文件：--token-file 文件）{login.zh}。",
        ),
    )  # fmt: skip


def _from_file(file: Path) -> Secret:
    try:
        value = file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "UTF-8?"
        raise UsageError(
            Text(
                f"Cannot read the token from {file}: {reason}.",
                f"无法从 {file} 读取令牌：{reason}。",
            )
        ) from None
    if not value or len(value.split()) != 1:
        raise UsageError(
            Text(f"{file} should hold one token and nothing else.", f"{file} 里应当只有一个令牌。")
        )
    return Secret(value, str(file))


def hide(text: str, secrets: Iterable[Secret | None] = ()) -> str:
    """`text` with these secrets, and whatever else looks like a token, shown as ***."""
    for secret in secrets:
        if secret is not None:
            for spelling in {
                secret.reveal(),
                quote(secret.reveal(), safe="", errors="surrogateescape"),
            }:
                text = text.replace(spelling, HIDDEN)
    return _LOOKS.sub(HIDDEN, text)


def known_secrets() -> list[Secret]:
    """All tokens that this process could use, for hiding them."""
    found = list(_handed)
    for variables in VARIABLES.values():
        found += [Secret(os.environ[name], name) for name in variables if os.environ.get(name)]
    return found


def quiet_clients() -> None:
    """Keep the hubs' clients from logging to stderr beside our own words."""
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def hide_everywhere() -> None:
    """Let no traceback and no log line of this process show a token (for the command line)."""
    plain = logging.getLogRecordFactory()

    def record(*arguments: object, **named: object) -> logging.LogRecord:
        made = plain(*arguments, **named)
        made.msg, made.args = hide(made.getMessage(), known_secrets()), ()
        if made.exc_info:  # what a formatter would write later, unmasked
            made.exc_text = hide(_FORMATTER.formatException(made.exc_info), known_secrets())
        return made

    def said(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, where))
        sys.stderr.write(hide(text, known_secrets()))

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            said(failed.exc_type, failed.exc_value, failed.exc_traceback)

    if plain.__module__ != __name__:  # it would lie around itself
        logging.setLogRecordFactory(record)
    sys.excepthook, threading.excepthook = said, in_thread
