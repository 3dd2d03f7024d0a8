"""pip and git as child processes of which never two work in one folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "child.lock"


def run_child(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    work: Path | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end, in `folder`, and give exit code, stdout and stderr.

    `work` is the folder of the download. When this process is killed the child lives on and still
    writes there; so it inherits a lock, and the next attempt waits until that child has ended.
    """
    lock = _lock(work) if work else None
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            pass_fds=[] if lock is None else [lock],
        )
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Inside the block no child of an earlier attempt writes in `work`."""
    lock = _lock(work)
    try:
        yield
    finally:
        os.close(lock)


def _lock(work: Path) -> int:
    """An open, locked file. Not `filelock`: the lock must outlive this process in its child."""
    import fcntl

    work.mkdir(parents=True, exist_ok=True)
    opened = os.open(work / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(opened, fcntl.LOCK_EX)
    return opened
