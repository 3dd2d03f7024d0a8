"""Where fetched models lie, and how one gets there: whole, or not at all.

    <home>/models/<scheme>/<owner--name>/<revision>/<name>/…   the model
    <home>/models/<scheme>/<owner--name>/<revision>/record.json  where it came from
    <home>/models/<scheme>/<owner--name>/<revision>.partial/   a download that may go on

Model and record are one folder, renamed when both are whole: what stands there was verified.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..artifacts import ANOTHER_HOME, HOME_VARIABLE, expanded, now, whole_file
from ..errors import BlockedError
from ..progress import Progress, Report
from ..words import Text
from .local import LocalModel, licence_of, recognise
from .reference import Reference
from .verify import FileRecord
from .watch import bytes_in

RECORD_FILE = "record.json"
WORK_FOLDER = "work"  # inside a .partial: what only the download itself needs


class CacheRecord(BaseModel):
    """Where a cached model came from, and what was verified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    references: tuple[str, ...]  # every spelling that led here, so that it is found again
    revision: str
    licence: str = ""
    origin: str = ""
    fetched: str
    files: dict[str, FileRecord]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True)
class Download:
    """What a source delivered into `<partial>/<name>`, verified."""

    revision: str
    files: dict[str, FileRecord]
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True)
class CachedModel:
    """A model in the cache, or the rest of a download that did not end."""

    reference: str
    revision: str
    path: Path
    bytes: int
    licence: str
    origin: str
    fetched: str  # ISO 8601; empty for an unfinished one
    complete: bool


def home() -> Path:
    """The kit's own folder: ASSISTANT_HOME, else in the user's cache folder. Raises BlockedError
    where there is neither."""
    if named := os.environ.get(HOME_VARIABLE):
        return expanded(named).absolute()
    from platformdirs import user_cache_path

    try:
        place = user_cache_path("assistant", appauthor=False)
    except RuntimeError:  # no HOME, and a user that the machine does not know
        place = Path()
    if not place.is_absolute():
        raise BlockedError(
            Text("This user has no home folder, where models would be kept.",
                 "当前用户没有主目录，无处存放模型。"),
            ANOTHER_HOME,
        )  # fmt: skip
    return place


class CacheEntry:
    """The place of one model in the cache."""

    def __init__(self, reference: Reference):
        self.reference = reference
        key = "--".join(filter(None, (reference.name, reference.file))).replace("/", "--")
        self.folder = home() / "models" / reference.scheme / key
        self.name = reference.name.rsplit("/", 1)[-1]

    def find(self, written: str, revision: str = "") -> LocalModel | None:
        """The model if it is here and complete; of several, the one fetched last.

        `revision` asks for exactly that one, whatever the reference says.
        """
        asked = str(self.reference)
        found = [
            (record.fetched, folder, record)
            for folder, record in records(self.folder)
            if (record.revision == revision if revision else self._answers(record, asked))
            and _complete(folder / self.name, record)
        ]
        if not found:
            return None
        _, folder, record = max(found, key=lambda item: item[0])
        return self._model(written, folder, record)

    def _answers(self, record: CacheRecord, asked: str) -> bool:
        return asked in record.references or record.revision == self.reference.revision

    def _model(self, written: str, folder: Path, record: CacheRecord) -> LocalModel:
        kind, path = recognise(self._root(folder))
        return LocalModel(
            written, path, kind, revision=record.revision, licence=record.licence,
            origin=record.origin,
        )  # fmt: skip

    def _root(self, folder: Path) -> Path:
        root = folder / self.name
        return root / self.reference.file if self.reference.file else root

    def partial(self, revision: str) -> Path:
        """Where a download of `revision` (empty: not known yet) is made, and goes on."""
        known = revision or self.reference.revision or "latest"
        folder = self.folder / (_safe(known) + ".partial")
        (folder / self.name).mkdir(parents=True, exist_ok=True)
        return folder

    def keep(self, partial: Path, download: Download) -> None:
        """Let a verified download stand under its own name. Raises UsageError if it is no model."""
        _prune(partial / self.name, set(download.files))
        shutil.rmtree(partial / WORK_FOLDER, ignore_errors=True)
        _, path = recognise(self._root(partial))
        final = self.folder / _safe(download.revision)
        record = CacheRecord(
            references=(), revision=download.revision, licence=download.licence or licence_of(path),
            origin=download.origin, fetched=now(), files=download.files,
        )  # fmt: skip
        _write(record, partial)
        if final.exists():  # incomplete, or find() would have taken it
            shutil.rmtree(final)
        partial.rename(final)

    def point_to(self, revision: str) -> None:
        """Note that this reference now means the cached `revision`, and no other."""
        mine = str(self.reference)
        for folder, record in records(self.folder):
            names = [name for name in record.references if name != mine]
            if record.revision == revision:
                names.append(mine)
            if (changed := tuple(names)) != record.references:
                _write(record.model_copy(update={"references": changed}), folder)

    @contextmanager
    def lock(self, report: Report) -> Iterator[None]:
        """Hold this model's lock: of two processes that fetch it, one waits for the other."""
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder.with_name(self.folder.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report(Progress(Text(
                "Another process fetches the same model; waiting for it",
                "另一个进程正在下载同一个模型，等待中",
            )))  # fmt: skip
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def records(folder: Path) -> Iterator[tuple[Path, CacheRecord]]:
    """Every finished download of one model, with its record."""
    for file in sorted(folder.glob(f"*/{RECORD_FILE}")):
        if file.parent.suffix == ".partial":
            continue
        try:
            yield file.parent, CacheRecord.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            continue  # not ours, or of an older kit: fetched anew


def cached() -> list[CachedModel]:
    """What lies in the cache, unfinished downloads included."""
    found = []
    for folder in sorted((home() / "models").glob("*/*/")):
        for place, record in records(folder):
            inner = next((path for path in place.iterdir() if path.is_dir()), place)
            found.append(CachedModel(
                next(iter(record.references), _written(folder)), record.revision, inner,
                record.size, record.licence, record.origin, record.fetched,
                _complete(inner, record),
            ))  # fmt: skip
        for partial in sorted(folder.glob("*.partial/")):
            found.append(CachedModel(
                _written(folder), partial.stem, partial, bytes_in(partial), "", "", "", False
            ))  # fmt: skip
    return found


def _written(folder: Path) -> str:
    """The reference that a model's folder in the cache belongs to, as near as its name tells."""
    return f"{folder.parent.name}:{folder.name.replace('--', '/')}"


def _complete(folder: Path, record: CacheRecord) -> bool:
    """Whether every file is there in its size; hashing gigabytes at each start takes too long."""
    sizes = {path: file.size for path, file in record.files.items()}
    try:
        return all((folder / path).stat().st_size == size for path, size in sizes.items())
    except OSError:
        return False


def _write(record: CacheRecord, folder: Path) -> None:
    with whole_file(folder / RECORD_FILE) as out:
        out.write(record.model_dump_json(indent=2) + "\n")


def _safe(revision: str) -> str:
    return re.sub(r"[^\w.+-]", "-", revision)


def _prune(folder: Path, keep: set[str]) -> None:
    """Remove what a client left beside the model's own files."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in keep:
            path.unlink()


def discard(partial: Path) -> None:
    """Throw an unneeded download away."""
    shutil.rmtree(partial, ignore_errors=True)
