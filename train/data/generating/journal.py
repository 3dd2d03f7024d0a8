"""Every answer, kept at once: an append-only file, each line on the disk before the next step."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from assistant.errors import UsageError
from assistant.words import Text


class Entry(BaseModel):
    """What came of one request. `unfit` says why the answer was not taken; empty if it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str
    name: str
    answer: str = ""
    unfit: str = ""
    model: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0


class Journal:
    """The entries of one generation. Thread-safe."""

    def __init__(self, entries: list[Entry], out: TextIO):
        self.entries = entries
        self._out = out
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        """Keep an entry; when this returns it is on the disk."""
        line = entry.model_dump_json() + "\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()
            os.fsync(self._out.fileno())
            self.entries.append(entry)


def read_entries(file: Path) -> list[Entry]:
    """The whole lines of a journal; one that a kill cut short is passed over."""
    if not file.is_file():
        return []
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            found.append(Entry.model_validate_json(line))
        except ValidationError:
            continue
    return found


@contextmanager
def open_journal(file: Path, keep: bool) -> Iterator[Journal]:
    """Open for adding; without `keep` it begins anew. Raises UsageError while another has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file.with_name(file.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            Text(f"Another process writes {file}.", f"另一个进程正在写 {file}。"),
            Text(
                "Wait for it, or name another place with --out.",
                "请等它结束，或用 --out 换个位置。",
            ),
        ) from None
    try:
        entries = read_entries(file) if keep else []
        torn = keep and file.is_file() and not file.read_bytes().endswith(b"\n")
        with file.open("a" if keep else "w", encoding="utf-8", newline="\n") as out:
            if torn and out.tell():
                out.write("\n")
            yield Journal(entries, out)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
