"""A file system that fills up, for whoever runs the tests.

A person who may mount gets a small tmpfs. Others get it where the system lets them have a user
namespace of their own: the body of the test then runs in a child in which the disk is there. Where
neither is possible the test is skipped, with what the system said.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOUNT = ("mount", "-t", "tmpfs", "-o")
ALONE = ("unshare", "--user", "--map-root-user", "--mount")


@dataclass(frozen=True)
class SmallDisk:
    """Runs a function where a small file system lies at `place`, and nothing else is changed."""

    place: Path
    size: str = "64k"

    def of(self, size: str, place: Path | None = None) -> SmallDisk:
        """Another one: so large ("2m"), and there."""
        return SmallDisk(place or self.place, size)

    def run(self, body: Callable[..., None], *arguments: object) -> None:
        """Call `body(place, *arguments)`, a function of a module of tests. What it raises, this
        raises; in a child its arguments are texts, and its failure comes with all that it printed."""
        self.place.mkdir(parents=True, exist_ok=True)
        if why_not_mounted() == "":
            with mounted(self.place, self.size):
                body(self.place, *arguments)
            return
        if refusal := why_no_namespace():
            pytest.skip(f"this system mounts no small disk: {why_not_mounted()}; {refusal}")
        done = self._in_a_namespace(body, *map(str, arguments))
        assert done.returncode == 0, done.stdout + done.stderr

    def _in_a_namespace(
        self, body: Callable[..., None], *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        call = [body.__module__, body.__name__, self.size, str(self.place), *arguments]
        theirs = Path(str(sys.modules[body.__module__].__file__)).parent
        path = os.pathsep.join(
            [str(ROOT), str(ROOT / "tests"), str(theirs), os.environ.get("PYTHONPATH", "")]
        )
        return subprocess.run(
            [*ALONE, sys.executable, __file__, *call], cwd=ROOT, capture_output=True, text=True,
            check=False, env={**os.environ, "PYTHONPATH": path}, timeout=300,
        )  # fmt: skip


@contextmanager
def mounted(place: Path, size: str) -> Iterator[None]:
    """A tmpfs of that size at `place`."""
    subprocess.run([*MOUNT, f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@cache
def why_not_mounted() -> str:
    """What the system says to a mount by this person; nothing where it does it."""
    return _tried("from small_disk import try_mount; try_mount()")


@cache
def why_no_namespace() -> str:
    """What the system says to a mount in a user namespace; nothing where it does it."""
    return _tried("from small_disk import try_mount; try_mount()", *ALONE)


def _tried(code: str, *before: str) -> str:
    try:
        done = subprocess.run(
            [*before, sys.executable, "-c", code], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, timeout=120,
        )  # fmt: skip
    except OSError as error:
        return str(error)
    lines = (done.stderr + done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else lines[-1] if lines else f"exit code {done.returncode}"


def try_mount() -> None:
    """Mount a small disk and take it away; exits with what the system said."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*MOUNT, "size=64k", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stderr.strip() or f"mount: exit code {done.returncode}")
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> SmallDisk:
    """A file system of 64 KiB, for `small_disk.run(body)`."""
    return SmallDisk(tmp_path / "disk")


def main(module: str, name: str, size: str, place: str, *arguments: str) -> None:
    """In the namespace: mount, import the module of tests, call its function."""
    import importlib

    with mounted(Path(place), size):
        getattr(importlib.import_module(module), name)(Path(place), *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
