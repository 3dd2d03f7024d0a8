"""Progress of an upload, seen from the kernel: how far each file has been read.

The same for every client: huggingface_hub (plain, multipart and Xet), modelscope-hub, git-lfs in
a child process. None of them has a progress that can be asked for in all its versions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from assistant.progress import Progress, Report, unreported
from assistant.words import Text

_SECONDS = 0.25


@contextmanager
def read_watched(files: Sequence[Path], what: Text, report: Report) -> Iterator[None]:
    """Report how many bytes of `files` were read while the block runs (from another thread)."""
    if report is unreported or not files:
        yield
        return
    sizes = {_identity(file): file.stat().st_size for file in files}
    total = sum(sizes.values())
    furthest = dict.fromkeys(sizes, 0)
    ended = threading.Event()

    def look() -> None:
        for key, position in _positions(sizes).items():
            furthest[key] = max(furthest[key], min(position, sizes[key]))
        report(Progress(what, sum(furthest.values()), total, "B"))

    def watch() -> None:
        while not ended.wait(_SECONDS):
            look()

    look()
    watcher = threading.Thread(target=watch, name="upload progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    report(Progress(what, total, total, "B"))


def _identity(file: Path) -> tuple[int, int]:
    """Device and inode: git-lfs opens a hard link under another name."""
    seen = file.stat()
    return seen.st_dev, seen.st_ino


def _positions(wanted: Mapping[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    """Where the open descriptors of this process and its children stand in the wanted files."""
    found: dict[tuple[int, int], int] = {}
    for process in _family():
        folder = f"/proc/{process}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:  # it ended, or this system has no /proc
            continue
        for descriptor in descriptors:
            try:
                seen = os.stat(f"{folder}/{descriptor}")
                key = (seen.st_dev, seen.st_ino)
                if key in wanted:
                    with open(f"/proc/{process}/fdinfo/{descriptor}") as about:
                        found[key] = max(found.get(key, 0), int(about.readline().split()[1]))
            except (OSError, ValueError, IndexError):
                continue
    return found


def _family() -> list[int]:
    """This process and all below it."""
    family, todo = [], [os.getpid()]
    while todo:
        process = todo.pop()
        family.append(process)
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/children") as children:
                    todo += [int(child) for child in children.read().split()]
        except OSError:
            continue
    return family
