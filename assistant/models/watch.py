"""Progress of a download, seen on the disk: the same for every client, pip and git included."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..progress import Progress, Report, unreported
from ..words import Text

_SECONDS = 0.25


@contextmanager
def watched(folder: Path, what: Text, total: int | None, report: Report) -> Iterator[None]:
    """Report how many bytes lie in `folder` while the block runs (from another thread)."""
    if report is unreported:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            report(Progress(what, bytes_in(folder), total, "B"))

    report(Progress(what, bytes_in(folder), total, "B"))
    watcher = threading.Thread(target=watch, name="download progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    report(Progress(what, bytes_in(folder), total, "B"))


def bytes_in(folder: Path) -> int:
    """The size of all files below `folder`, of which some may vanish meanwhile, folders too."""
    size = 0
    for parent, _, names in os.walk(folder):  # Path.rglob raises where a folder vanishes
        for name in names:
            with suppress(OSError):
                size += os.path.getsize(os.path.join(parent, name))
    return size
