"""The staged copy: the very files that go up, linked or rewritten, so that the run stays untouched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assistant.artifacts import content_sha256, whole_folder
from assistant.errors import BlockedError
from assistant.progress import Progress, Report
from assistant.run import Run
from assistant.words import Text


@dataclass(frozen=True)
class StagedFile:
    """A file that is to go up. `path` is inside the repository."""

    path: str
    place: Path
    size: int
    sha256: str

    def git_sha1(self) -> str:
        """What git calls the same bytes as a blob."""
        digest = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        with self.place.open("rb") as source:
            while piece := source.read(1 << 20):
                digest.update(piece)
        return digest.hexdigest()


@contextmanager
def staging(run: Run, slug: str) -> Iterator[Path]:
    """`runs/R/share/<slug>` for this process alone; removed at the end, and so is one that a killed
    process left. Raises BlockedError where another process shares the same thing now."""
    from filelock import FileLock, Timeout

    folder = run.staging / slug
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{slug}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockedError(
            Text(f"Another process is sharing {slug} right now.", f"另一个进程正在分享 {slug}。"),
            Text("Wait until it has ended.", "请等它结束。"),
        ) from None
    try:
        shutil.rmtree(folder, ignore_errors=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def stage_run(
    folder: Path, names: Iterable[str], out: Path, base: str, more: Mapping[str, Path] = {}
) -> None:
    """Fill `out` with the named files of a run's folder, and with `more` from elsewhere.

    `base` is what adapter_config.json shall call its base: a name that others can fetch, never a
    path. Raises BlockedError where the disk refuses.
    """
    with whole_folder(out) as partial:
        for name in names:
            place = partial / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if name == "adapter_config.json":
                config = json.loads((folder / name).read_text(encoding="utf-8"))
                config["base_model_name_or_path"] = base
                place.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", "utf-8")
            else:
                link_or_copy(folder / name, place)
        for name, source in more.items():
            if not (partial / name).exists():
                link_or_copy(source, partial / name)


def link_or_copy(source: Path, place: Path) -> None:
    """A hard link where the disk allows one: weights need no second copy, and what is published
    stays the same when the run is trained anew meanwhile (stages rename, they never rewrite)."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)


def hashed(folder: Path, report: Report) -> tuple[StagedFile, ...]:
    """Every file below `folder`, sorted, with size and sha256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total = sum(file.stat().st_size for file in files)
    done, found = 0, []
    what = Text("Reading what would go up", "读取要上传的文件")
    for file in files:
        report(Progress(what, done, total, "B"))
        size = file.stat().st_size
        found.append(
            StagedFile(file.relative_to(folder).as_posix(), file, size, content_sha256(file))
        )
        done += size
    report(Progress(what, total, total, "B"))
    return tuple(found)
