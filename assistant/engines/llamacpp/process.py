"""Starting llama.cpp's server, and ending it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from ...errors import EngineError
from ...libraries import installing
from ...words import Text
from .settings import Room

SCRIPT = Path(__file__).with_name("server.py")
SHOWN = 300  # characters of what llama.cpp says last
ENDS_IN_SECONDS = 5


class ServerProcess:
    """A running server on loopback: its `address`, and the `key` that only this process knows.

    Raises EngineError("unavailable") where llama.cpp is missing or does not take the file.
    """

    def __init__(self, model: Path, room: Room):
        _refuse_missing_library()
        self.key = secrets.token_urlsafe()
        with tempfile.TemporaryFile("w+") as said:
            self._process = subprocess.Popen(
                [sys.executable, str(SCRIPT)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
                start_new_session=True,  # a Ctrl-C is this process's: running answers are ended first
            )  # fmt: skip
            try:
                self.address = self._tell(model, room)
            except BaseException:
                self.close()
                raise
            if not self.address.startswith("http://"):
                self.close()
                said.seek(0)
                raise _refused(model, said.read())

    def _tell(self, model: Path, room: Room) -> str:
        wanted = {
            "model": str(model), "slots": room.slots, "context_length": room.context_length,
            "threads": cores(), "key": self.key,
        }  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended already: what it said tells why
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process and free its memory. May be called twice."""
        with contextlib.suppress(OSError):
            self._process.communicate(timeout=ENDS_IN_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_installed() -> bool:
    """Whether llama.cpp is here."""
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None


def _refuse_missing_library() -> None:
    if not is_installed():
        raise EngineError(
            "unavailable",
            Text("llama.cpp (xllamacpp) is not installed.", "没有安装 llama.cpp（xllamacpp）。"),
            installing("xllamacpp"),
        )


def _refused(model: Path, said: str) -> EngineError:
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1][:SHOWN] if lines else "?"
    return EngineError(
        "unavailable",
        Text(f"llama.cpp cannot load {model}: {last}", f"llama.cpp 无法加载 {model}：{last}"),
    )
