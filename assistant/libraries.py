"""Libraries that are not installed: the requirement list that has one, and the command that installs it.

Nothing but Python's own library is imported here, so that this can be said where nothing else is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from .errors import AssistantError, BlockedError
from .words import Text, terminal_language

KIT = Path(__file__).resolve().parents[1]
_NODEPS = "train/requirements-nodeps.txt"
# The smallest first: what stands in several is installed with the least of others.
LISTS = (
    "requirements-cpu.txt", "train/data/requirements.txt", "deploy/requirements.txt",
    "assistant/engines/llamacpp/requirements.txt", "assistant/api/requirements.txt", "assistant/knowledge/requirements.txt", "assistant/tools/requirements.txt", "train/requirements.txt", _NODEPS, "requirements.txt", "deploy/requirements-zerogpu.txt",
)  # fmt: skip
# Packages that are listed under another name than they are imported by, or come with another.
_LISTED_AS = {
    "docx": "python-docx", "stdnum": "python-stdnum", "yaml": "pyyaml", "skimage": "scikit-image",
    "optimum": "optimum-intel", "httpx": "gradio", "starlette": "gradio", "gradio_client": "gradio",
    "fastapi": "gradio", "uvicorn": "gradio", "yapf": "mmengine",
    "safetensors": "transformers", "pydantic_core": "pydantic",
}  # fmt: skip
_OURS = {"__main__", "app", "assistant", "train", "deploy"}
_SAID_AT_MOST = 200


class Listed(NamedTuple):
    """A library of a requirement list: the list's path in the kit, and its line there."""

    list: str
    requirement: str

    @property
    def name(self) -> str:
        return _name(self.requirement)


def listed(module: str) -> Listed | None:
    """Where the requirement lists that are here have what provides `module`."""
    top = module.split(".")[0]
    wanted = _name(_LISTED_AS.get(top, top))
    for file in LISTS:
        for requirement in _requirements(KIT / file):
            if _name(requirement) == wanted:
                return Listed(file, requirement)
    return None


def _requirements(file: Path) -> Iterator[str]:
    if file.is_file():
        for line in file.read_text("utf-8").splitlines():
            requirement = line.split("#")[0].strip()
            if requirement and not requirement.startswith("-"):
                yield requirement


def _name(requirement: str) -> str:
    """A distribution's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=~!\[ ;]", requirement)[0]).lower()


def missing_library(error: ImportError) -> BlockedError | None:
    """The expected failure behind an import that failed; None where it is no listed library's: then
    it is a fault of the kit."""
    at_fault = next((found for name in _suspects(error) if (found := listed(name))), None)
    if at_fault is None:
        return None
    top = (error.name or "").split(".")[0]
    if top and listed(top) == at_fault and find_spec(top) is None:
        return not_installed(at_fault.name)
    said = " ".join(str(error).split())[:_SAID_AT_MOST]
    return _of_operators(BlockedError(
        Text(f"The library {at_fault.name} is installed but does not work here: {said}",
             f"{at_fault.name} 库已安装，但在这里无法使用：{said}"),
        _install(_reinstallation(at_fault)),
    ))  # fmt: skip


def not_installed(module: str) -> BlockedError:
    """The one wording for a library that is not here: what provides `module`."""
    library = _library(module)
    return _of_operators(
        BlockedError(
            Text(f"The library {library.name} is not installed.", f"没有安装 {library.name} 库。"),
            installing(module),
        )
    )


def installing(module: str, alone: bool = False) -> Text:
    """The cure where `module` is missing: its list, or it `alone`, installed for this Python."""
    library = _library(module)
    return _install(_pip(library.requirement) if alone else _installation(library))


def _library(module: str) -> Listed:
    return listed(module) or Listed("", module)  # a published app comes with one list alone


def _of_operators(error: BlockedError) -> BlockedError:
    error.for_operators = True  # the command has this machine's paths
    return error


def _install(command: str) -> Text:
    return Text(f"Install it: {command}", f"请安装：{command}")


def _suspects(error: ImportError) -> Iterator[str]:
    """What was to be imported; then the library in whose code that was. Such code also raises
    ImportError of its own where it is called, for what is optional: that tells nothing here."""
    if error.name:
        yield error.name
        if error.name.split(".")[0] in _OURS:
            return
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if error.name or (frames and frames[-1].f_code.co_name == "<module>"):
        for frame in reversed(frames):
            if _package(frame) in _OURS:
                return
            yield _package(frame)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).split(".")[0]


def _installation(library: Listed) -> str:
    if not library.list:
        return _pip(library.requirement)
    if library.list in ("train/requirements.txt", _NODEPS):
        if _made_by_make("train"):
            return "make train-env" if _here() else f"make -C {shlex.quote(str(KIT))} train-env"
        both = (_pip("-r", "train/requirements.txt"), _pip("--no-deps", "-r", _NODEPS))
        return " && ".join(both)
    return _pip("-r", library.list)


def _reinstallation(library: Listed) -> str:
    more = ("--no-deps",) if library.list == _NODEPS else ()
    return _pip("--force-reinstall", *more, library.requirement)


def _made_by_make(stamp: str) -> bool:
    """Whether `make` looks after this environment, and does not take this set for installed."""
    environment = Path(sys.prefix)
    return environment == KIT / ".venv" and not (environment / f".{stamp}").exists()


def _pip(*words: str) -> str:
    """A call of pip, its lists as they are found from the current folder."""
    lists = [word if _here() or word not in LISTS else str(KIT / word) for word in words]
    if find_spec("pip") is None and shutil.which("uv"):
        return shlex.join(["uv", "pip", "install", "--python", _python(), *lists])
    return shlex.join([_python(), "-m", "pip", "install", *lists])


def _here() -> bool:
    try:
        return Path.cwd() == KIT
    except OSError:  # the folder was deleted
        return False


def _python() -> str:
    """This Python, by the shortest name that the shell has for it."""
    found = shutil.which("python")
    if found and os.path.abspath(found) == os.path.abspath(sys.executable):
        return "python"
    if _here() and Path(sys.executable).is_relative_to(KIT):
        return str(Path(sys.executable).relative_to(KIT))
    return sys.executable


@contextmanager
def missing_libraries_told() -> Iterator[None]:
    """Around the first imports of a program: without click there is no command's edge yet. A listed
    library that is missing ends the program with status 3."""
    try:
        yield
    except ImportError as error:
        expected = missing_library(error)
        if expected is None:
            raise
        _tell(expected)
        sys.exit(expected.exit_code)


def _tell(error: AssistantError) -> None:
    label = Text("Error: ", "错误：")
    print(f"{label}{error.in_language(terminal_language())}", file=sys.stderr)
    if "--json" in sys.argv:
        said = {"message": error.message.en, "cure": error.cure.en if error.cure else None}
        print(json.dumps({"error": said}, ensure_ascii=False))
