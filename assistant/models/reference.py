"""What a person may write for a model, read into one frozen type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..artifacts import expanded, real_path
from ..errors import UsageError
from ..words import Text

HubName = Literal["hf", "modelscope", "openxlab"]
Scheme = Literal["hf", "modelscope", "openxlab", "pypi", "local"]

# Nothing may begin with "-" or ".": it would be read as an option of git or pip, or leave a folder.
_WORD = r"(?!\.)[\w.][\w.-]*"
_HUB = re.compile(
    rf"(?P<name>{_WORD}/{_WORD})"
    rf"(?:/(?P<file>(?:{_WORD}/)*{_WORD}\.gguf))?"
    r"(?:@(?P<revision>\w[\w./-]*))?",
    re.ASCII,
)
_PYPI = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:(?:==|@)(?P<revision>\d[\w.!+-]*))?",
    re.ASCII,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+_-]+):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A model reference. `name` is owner/name, a package, or for "local" the path as written."""

    scheme: Scheme
    name: str
    revision: str = ""  # as asked for: branch, tag, commit, version; empty: the source's newest
    file: str = ""  # one GGUF file of a hub repository that holds several
    path: Path | None = None  # only for "local"

    def __str__(self) -> str:
        """The one spelling of this reference, by which the cache knows it."""
        if self.scheme == "local":
            return self.name
        return (
            f"{self.scheme}:{self.name}"
            + (f"/{self.file}" if self.file else "")
            + (f"@{self.revision}" if self.revision else "")
        )


def parse(value: str, base_folder: Path) -> Reference:
    """Read a model reference; local paths start from `base_folder`.

    Raises UsageError for anything that is neither a known form nor an existing path.
    """
    text = value.strip()
    split = _SCHEME.fullmatch(text)
    scheme = split[1].lower() if split else ""
    if split and scheme in get_args(HubName):
        return _hub(scheme, split[2], value)
    if split and scheme == "pypi":
        return _pypi(split[2], value)
    path = base_folder / expanded(text) if text else None
    if path is not None and path.exists():
        return Reference("local", text, path=real_path(path))
    if split:
        raise _unknown(value)
    raise _no_such_path(value, path)


def _hub(scheme: str, rest: str, value: str) -> Reference:
    match = _HUB.fullmatch(rest)
    if match is None or ".." in rest:
        raise _unknown(value)
    hub: HubName = next(name for name in get_args(HubName) if name == scheme)
    return Reference(hub, match["name"], match["revision"] or "", match["file"] or "")


def _pypi(rest: str, value: str) -> Reference:
    match = _PYPI.fullmatch(rest)
    if match is None:
        raise _unknown(value)
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    return Reference("pypi", name, match["revision"] or "")


_FORMS = (
    "hf:owner/name[@revision], modelscope:owner/name[@revision], openxlab:owner/name[@revision], "
    "pypi:package[==version], ./folder, ./model.gguf"
)


def _unknown(value: str) -> UsageError:
    return UsageError(
        Text(f"{value!r} is not a model reference.", f"{value!r} 不是模型引用。"),
        Text(f"Known forms: {_FORMS}.", f"可用的写法：{_FORMS}。"),
    )


def _no_such_path(value: str, path: Path | None) -> UsageError:
    if re.fullmatch(rf"{_WORD}/{_WORD}", value.strip(), re.ASCII):
        guess = f"hf:{value.strip()}"
        return UsageError(
            Text(f"There is no model at {path}.", f"{path} 没有模型。"),
            Text(
                f"A model of a hub is written with the hub's name: {guess}, modelscope:{value}. "
                f"Known forms: {_FORMS}.",
                f"平台上的模型要写平台名：{guess}、modelscope:{value}。可用的写法：{_FORMS}。",
            ),
        )
    where = f" ({path})" if path is not None else ""
    return UsageError(
        Text(
            f"{value!r} is neither a model reference nor an existing folder or file{where}.",
            f"{value!r} 既不是模型引用，也不是已有的文件夹或文件{where}。",
        ),
        Text(f"Known forms: {_FORMS}.", f"可用的写法：{_FORMS}。"),
    )
