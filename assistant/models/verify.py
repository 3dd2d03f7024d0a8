"""Downloaded bytes against what the source says they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..errors import BlockedError, DamagedError
from ..progress import Progress, Report
from ..words import Text


@dataclass(frozen=True)
class Expected:
    """A file as its source describes it. An empty hash is not given."""

    path: str
    size: int | None = None
    sha256: str = ""
    git_sha1: str = ""  # of the git blob, where the file is no LFS object


class FileRecord(BaseModel):
    """A file as it was verified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str


def verify(folder: Path, files: Sequence[Expected], report: Report) -> dict[str, FileRecord]:
    """Hash every expected file in `folder`.

    Raises BlockedError where one is missing, DamagedError where one differs; that one is removed, so
    that the next attempt downloads it anew.
    """
    total = sum(file.size or 0 for file in files)
    what = Text("Checking what was downloaded", "检查下载的文件")
    done = 0
    records = {}
    for file in files:
        report(Progress(what, done, total or None, "B"))
        records[file.path] = _verify_one(folder / file.path, file)
        done += records[file.path].size
    report(Progress(what, done, done, "B"))
    return records


def matches(place: Path, file: Expected) -> bool:
    """Whether the file at `place` is the expected one, by size and every hash that is given."""
    if not place.is_file() or (file.size is not None and place.stat().st_size != file.size):
        return False
    sha256, git_sha1 = _hashes(place)
    return file.sha256 in ("", sha256) and file.git_sha1 in ("", git_sha1)


def _verify_one(place: Path, file: Expected) -> FileRecord:
    if not place.is_file():
        raise BlockedError(
            Text(f"{file.path} was not delivered.", f"没有收到 {file.path}。"),
            Text("Try again, or another mirror.", "请重试，或换一个镜像。"),
        )
    size = place.stat().st_size
    if file.size is not None and size != file.size:
        raise _differs(place, file, f"{size:,} B", f"{file.size:,} B")
    sha256, git_sha1 = _hashes(place)
    if file.sha256 and sha256 != file.sha256:
        raise _differs(place, file, f"sha256 {sha256[:12]}…", f"{file.sha256[:12]}…")
    if file.git_sha1 and git_sha1 != file.git_sha1:
        raise _differs(place, file, f"git sha1 {git_sha1[:12]}…", f"{file.git_sha1[:12]}…")
    return FileRecord(size=size, sha256=sha256)


def _hashes(place: Path) -> tuple[str, str]:
    """sha256 of the content, and the sha1 that git gives the same bytes as a blob."""
    sha256 = hashlib.sha256()
    git_sha1 = hashlib.sha1(f"blob {place.stat().st_size}\0".encode(), usedforsecurity=False)
    with place.open("rb") as source:
        while piece := source.read(1 << 20):
            sha256.update(piece)
            git_sha1.update(piece)
    return sha256.hexdigest(), git_sha1.hexdigest()


def _differs(place: Path, file: Expected, found: str, expected: str) -> DamagedError:
    place.unlink()
    return DamagedError(
        Text(
            f"{file.path} arrived damaged: {found} instead of {expected}. It was thrown away.",
            f"{file.path} 下载后已损坏：{found}，应为 {expected}。已丢弃。",
        ),
        Text(
            "Try again; if it stays so, the mirror serves a wrong file: take another.",
            "请重试；如果总是这样，说明镜像上的文件有误，请换一个镜像。",
        ),
    )
