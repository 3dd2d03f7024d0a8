"""Commands for a person to paste: quoted for the shell, and for the same project as this one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from .outside import readable
from .words import Text

DEFAULT_CONFIG = Path("assistant.toml")
_PAGE = "python app.py"
_DATA = (
    "identity|generate|import|clean|lint|mix|split|show|corrections (?:list|add|accept|exam|drop)"
)
_TAKES_RUN = r"train (?:data (?:identity|split)|fit|merge|check|all|status)\b"
_TAKES_RUN_FIRST = r"deploy (?:check|model|app|verify|status|serve|quantize)\b"
_OURS = re.compile(r"(?<![\w./-])python(?= (?:app\.py|-m (?:assistant|train|deploy))\b)")
_COMMAND = re.compile(
    rf"python app\.py\b|python -m (?:assistant (?:ask|chat|models|bench)|train (?:data (?:{_DATA})|"
    r"fit|merge|check|all|bench|recipes|status)|"
    r"deploy (?:check|model|app|verify|status|serve|plan|quantize))\b(?!-)"
)


def command_line(*words: str | PurePath) -> str:
    """The words as one line of a POSIX shell. A path that begins with "-" would be read as a flag."""
    plain = (
        f"./{word}" if isinstance(word, PurePath) and str(word).startswith("-") else str(word)
        for word in words
    )  # fmt: skip
    return " ".join(map(quoted, plain))


def quoted(word: str) -> str:
    """The word for a POSIX shell; in bytes where this terminal has no letters for it, as $'\\xe4'."""
    if readable(word):
        return shlex.quote(word)
    held = word.encode("utf-8", "surrogateescape")
    return "$'" + "".join(_in_bytes(byte) for byte in held) + "'"


def _in_bytes(byte: int) -> str:
    letter = chr(byte)
    return (
        letter
        if letter.isascii() and letter.isprintable() and letter not in "\\'"
        else f"\\x{byte:02x}"
    )


def this_python(text: str) -> str:
    """The text, its commands of this kit with the interpreter that runs now where `python` is not
    it: no environment is active, or another one."""
    if not _OURS.search(text):
        return text
    found = shutil.which("python")
    here = os.path.dirname(sys.executable)
    if found and os.path.realpath(os.path.dirname(found)) == os.path.realpath(here):
        return text
    program = os.path.join(here, "python")
    if not os.path.exists(program):
        program = sys.executable
    below = os.path.relpath(program)
    named = quoted(program if below.startswith(os.pardir) else below)
    return _OURS.sub(lambda _: named, text)


def in_same_project(
    text: str, config_file: Path, sets: Sequence[str] = (), run_name: str | None = None
) -> str:
    """The text, its commands of this kit with the `--config`, `--set` and run of the present one,
    where these are not the usual ones."""
    common: list[str | PurePath] = []
    if config_file != DEFAULT_CONFIG:
        common += ["--config", config_file]
    for one in sets:
        common += ["--set", one]

    def more(match: re.Match[str]) -> str:
        command = match[0]
        words = list(common)
        ahead = text[match.end() :].split("\n")[0]
        if run_name and re.search(_TAKES_RUN, command) and " --run" not in ahead:
            words += ["--run", run_name]
        if run_name and command == _PAGE:
            words += ["--set", f"model.run={run_name}"]
        if run_name and re.search(_TAKES_RUN_FIRST, command) and not re.match(r" \w", ahead):
            words.insert(0, run_name)
        return f"{command} {command_line(*words)}" if words else command

    return _COMMAND.sub(more, text)


def both_in_same_project(
    text: Text, config_file: Path, sets: Sequence[str] = (), run_name: str | None = None
) -> Text:
    """`in_same_project` in both languages."""
    return Text(*(in_same_project(one, config_file, sets, run_name) for one in text))
