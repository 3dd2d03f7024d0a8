"""What comes from outside and was not foreseen: terminals of another encoding, disks that refuse."""

from __future__ import annotations

import codecs
import errno
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from .errors import AssistantError, BlockedError, UsageError
from .libraries import missing_library
from .words import Text

_NOT_UTF8 = range(0xDC80, 0xDD00)  # how Python holds a byte that it could not decode (PEP 383)
_HANDLER = "assistant.as_it_can"
_BREAKS_LINE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 60  # characters of a damaged text that a message repeats


def open_standard_streams() -> None:
    """Give this process the streams that it was started without (`<&-`, `>&-`): there is nothing to
    hear, and what is said goes nowhere. Else the next file that is opened takes their place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
        pass
    os.close(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def unwritten_output() -> BlockedError | None:
    """The failure of a stdout that takes no more, as on a full disk; None where it does. What it did
    not take is dropped, or Python would fail on it once more at its end. Raises OSError for a reader
    that has gone."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return BlockedError(
            Text(
                f"The output could not be written: {error.strerror}.",
                f"无法写出结果：{error.strerror}。",
            ),
            Text("Free some space, or write it elsewhere.", "请腾出空间，或写到别处。"),
        )
    return None


def hear_any_bytes() -> None:
    """Let `input` give a line whatever its bytes are; see `damaged`."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")


def speak_any_text() -> None:
    """Let stdout and stderr take any text: what a terminal cannot show becomes "?", and a file name
    goes out with the bytes that it has."""
    codecs.register_error(_HANDLER, _as_it_can)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _as_it_can(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return b"".join(_byte_of(letter) for letter in found), error.end


def _byte_of(letter: str) -> bytes:
    return bytes([ord(letter) - 0xDC00]) if ord(letter) in _NOT_UTF8 else b"?"


def readable(text: str) -> bool:
    """Whether stdout can show every letter of `text`."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeError:
        return False
    return True


def damaged(text: str) -> bool:
    """Whether `text` holds bytes that were not decoded, or half letters that nothing can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def legible(text: str) -> str:
    """The text with what cannot be decoded as "\ufffd", so that UTF-8 can hold it: for reports that
    name a file whose name has other bytes."""
    if not damaged(text):
        return text
    return "".join("\ufffd" if damaged(letter) else letter for letter in text)


def shown(text: str) -> str:
    """The text as `legible` makes it, shortened."""
    whole = legible(text)
    return whole if len(whole) <= _SHOWN else whole[: _SHOWN - 1] + "…"


def refuse_damaged(arguments: Mapping[str, Any]) -> None:
    """Raise UsageError for an argument that is text, and not whole. Paths may have any bytes."""
    for name, text in _texts(arguments):
        if damaged(text):
            raise not_whole(text, name)


def _texts(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in arguments.items():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(one, str):
                yield name.replace("_", "-"), one


def not_whole(text: str, name: str = "") -> UsageError:
    """The one wording for text with bytes that are not UTF-8."""
    encoding = sys.getfilesystemencoding().upper()
    where = Text(f" ({name})", f"（{name}）") if name else Text("", "")
    return UsageError(
        Text(
            f"The text{where.en} holds bytes that are not {encoding}: {shown(text)}",
            f"文本{where.zh}里有不是 {encoding} 的字节：{shown(text)}",
        ),
        Text(
            "Set the terminal to UTF-8 and type it again.",
            "请把终端设为 UTF-8 后重新输入。",
        ),
    )


def failure_from_outside(error: BaseException) -> AssistantError:
    """The expected failure behind one of the disk, a file, an encoding or a library that is missing.

    Raises the error itself where that is no library of the requirement lists: a fault of the kit."""
    if isinstance(error, AssistantError):
        return error
    if isinstance(error, ImportError):
        missing = missing_library(error)
        if missing is None:
            raise error
        return missing
    if isinstance(error, UnicodeEncodeError):
        return not_whole(str(error.object)[max(0, error.start - 20) : error.end + 20])
    if isinstance(error, UnicodeError):
        return UsageError(
            Text(f"Text that was read is not in its encoding: {error}.", f"读到的文本编码不对：{error}。"),
            Text("Save the file as UTF-8.", "请把文件另存为 UTF-8。"),
        )  # fmt: skip
    assert isinstance(error, OSError)
    return _of_the_disk(error)


def _of_the_disk(error: OSError) -> BlockedError:
    if "temporary directory" in str(error):
        return BlockedError(
            Text("No folder for temporary files can be written.", "没有可写的临时文件夹。"),
            Text("Name one: export TMPDIR=/path/to/folder", "请指定一个：export TMPDIR=/路径/文件夹"),
        )  # fmt: skip
    reason = error.strerror or str(error)
    if error.filename is None:
        return _unusable_certificates() or BlockedError(
            Text(f"The system refused: {reason}.", f"系统拒绝了操作：{reason}。"),
            _cure(error, "") if error.errno in _FULL else None,
        )
    place = shown_path(error.filename)
    cure = _cure(error, place)
    if (variable := _named_by(os.fsdecode(error.filename))) is not None:
        cure = Text(f"{cure.en} {variable} names it.", f"{cure.zh}它来自环境变量 {variable}。")
    return BlockedError(Text(f"{place}: {reason}.", f"{place}：{reason}。"), cure)


def _named_by(path: str) -> str | None:
    """The variable of the environment that a path comes from."""
    for name in ("GRADIO_TEMP_DIR", "ASSISTANT_HOME", "TMPDIR", "XDG_CACHE_HOME"):
        if (held := os.environ.get(name)) and path.startswith(held):
            return name
    return None


def _unusable_certificates() -> BlockedError | None:
    """The failure of a client that finds no certificates where a variable says they are."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        held = os.environ.get(name)
        if held and not os.path.exists(held):
            return BlockedError(
                Text(f"{name}={shown(held)}: there is no such file.",
                     f"{name}={shown(held)}：没有这个文件。"),
                Text(f"Let it name the certificates, or take it away: unset {name}",
                     f"请让它指向证书文件，或取消它：unset {name}"),
            )  # fmt: skip
    return None


def shown_path(path: Any) -> str:
    """A path for a message: whatever bytes it has."""
    return in_line(os.fsdecode(path) if isinstance(path, (bytes, PurePath)) else path)


def in_line(name: object) -> str:
    """A file's name for one line of a message: line ends, control characters and what turns the
    direction of a line are shown escaped, as \\n and \\u202e."""
    return _BREAKS_LINE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(name))


def refusing(path: str | PurePath) -> str:
    """What stands in the way to a path: the first folder that this user may not enter; else the path
    itself or, where it is not there, the folder in which it would be made."""
    named = os.fspath(path)
    *above, at = _from_the_top(named)
    for folder in above:
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):
            return folder
    return next((place for place in (at, *reversed(above)) if os.path.lexists(place)), named)


def _from_the_top(named: str) -> list[str]:
    """The folders above a path and the path, as it was written; the working folder as "."."""
    steps = [named]
    while (above := os.path.dirname(steps[0])) not in ("", steps[0]):
        steps.insert(0, above)
    return steps if os.path.isabs(named) else [".", *steps]


def _cure(error: OSError, place: str) -> Text:
    if error.errno in _FULL:
        return Text("Free some space, or choose another place.", "请腾出空间，或换一个位置。")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        place = shown_path(refusing(os.fsdecode(error.filename)))
        return Text(
            f"Make {place} readable and writable for you, or choose another place.",
            f"请让自己对 {place} 有读写权限，或换一个位置。",
        )
    if error.errno == errno.ENAMETOOLONG:
        return Text("Choose a shorter name.", "请换一个短一些的名字。")
    return Text("Check that path, or choose another.", "请检查这个路径，或换一个。")
