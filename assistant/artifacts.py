"""What a stage leaves on disk: whole files and folders that explain themselves.

A file or folder is written beside its place as `<name>.partial` and renamed when whole, so
what stands under its own name was finished. Nothing is replaced unless told to.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, ValidationError

from . import __version__
from .errors import BlockedError, UsageError
from .outside import legible, refusing
from .words import Text

MANIFEST_FILE = "manifest.json"
OPENVINO_FOLDER = "openvino"  # in a model's folder: what the CPU engine reads of it
DISK_REFUSALS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,  # the shell's limit on files (ulimit -f)
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,  # a file where a folder should be
    errno.ENOENT,  # mkdir below /proc
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

HOME_VARIABLE = "ASSISTANT_HOME"
ANOTHER_HOME = Text(
    f"Set {HOME_VARIABLE} to a folder that you may write: export {HOME_VARIABLE}=/path/to/folder",
    f"请用 {HOME_VARIABLE} 指定一个可写的文件夹：export {HOME_VARIABLE}=/路径/文件夹",
)


class Manifest(BaseModel):
    """How a folder came to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    kit_version: str = __version__
    inputs: dict[str, str] = {}  # what was read -> its sha256 (or a model's pinned revision)
    settings: dict[str, Any] = {}
    seed: int | None = None
    libraries: dict[str, str] = {}
    started: str
    finished: str
    notes: dict[str, Any] = {}  # what the stage wants to say of its result


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact folder. Raises UsageError where it is not one."""
    file = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        raise UsageError(
            Text(
                f"{folder} was not made by this kit, or not finished: no readable {MANIFEST_FILE}.",
                f"{folder} 不是本工具的产物，或没有做完：没有可读的 {MANIFEST_FILE}。",
            )
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `manifest.json` into `folder` and return its path."""
    file = folder / MANIFEST_FILE
    inputs = {legible(name): digest for name, digest in manifest.inputs.items()}
    told = manifest.model_copy(update={"inputs": inputs})
    file.write_text(told.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return file


def now() -> str:
    """The present moment as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of the named distributions; those not installed are left out."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def sha256_of(file: Path) -> str:
    """The file's sha256 in hex, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


_hashed: dict[tuple[int, int, int, int], str] = {}  # of files, by what changes with their content


def content_sha256(file: Path) -> str:
    """Return the sha256 of a file, read once while it stays as it is: the same gigabytes are looked
    at for several verdicts, and then staged for each hub as a link."""
    about = file.stat()
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    if key not in _hashed:
        _hashed[key] = sha256_of(file)
    return _hashed[key]


def sha256_of_folder(folder: Path) -> str:
    """One sha256 over the names and contents of all files below `folder`, hidden ones left out."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            digest.update(_bytes(f"{name}\0{sha256_of(file)}\n"))
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """A short key for large inputs whose bytes are too many to hash at every start: the names,
    sizes and modification times of the file, or of all files below the folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256(_bytes(str(real_path(path))))
    for file in files:
        seen = file.stat()
        name = file.relative_to(path.parent)
        digest.update(_bytes(f"{name}\0{seen.st_size}\0{seen.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _bytes(text: str) -> bytes:
    """The text as UTF-8, names in it with whatever bytes they have."""
    return text.encode("utf-8", "surrogateescape")


@contextmanager
def one_builder(result: Path) -> Iterator[bool]:
    """Whether the block is to build `result`: it is not there, and whoever else may be building it
    has been waited for. For what several processes may want at once, as of a cache."""
    if result.exists():
        yield False
        return
    from filelock import FileLock

    lock = FileLock(result.with_name(result.name + ".lock"))
    with _disk_errors(result, ANOTHER_HOME):
        result.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield not result.exists()
    finally:
        lock.release()


@contextmanager
def whole_folder(folder: Path, *, force: bool = False) -> Iterator[Path]:
    """Give `<folder>.partial` to write in, and rename it to `folder` when the block ends well.

    An existing result stays untouched until the new one is whole. A `.partial` left by a killed
    run is thrown away; one whose block raises is removed.
    Raises UsageError if `folder` exists and `force` is not set, BlockedError if the disk is full
    or cannot be written.
    """
    _refuse_unfit_folder(folder)
    if folder.exists() and not force:
        raise UsageError(
            Text(f"{folder} is there already.", f"{folder} 已经存在。"),
            Text("Replace it with --force.", "用 --force 覆盖。"),
        )
    partial = folder.with_name(folder.name + ".partial")
    with _disk_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _replace_folder(partial, folder)


def _refuse_unfit_folder(folder: Path) -> None:
    """Raise UsageError for a place that must never be replaced: the present folder, or one above."""
    whole = Path(os.path.realpath(folder))
    if not folder.name or whole in (here := Path.cwd(), *here.parents):
        raise UsageError(
            Text(f"{folder} holds the folder that you work in: it is never replaced.",
                 f"{folder} 包含当前所在的文件夹，不会覆盖它。"),
            Text("Name a folder of its own.", "请指定一个单独的文件夹。"),
        )  # fmt: skip
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            Text(f"{folder} is a file, not a folder.", f"{folder} 是文件，不是文件夹。"),
            Text("Name another place.", "请换一个位置。"),
        )


def _refuse_unfit_file(file: Path) -> None:
    """Raise UsageError for what a file cannot take the place of: a folder, a device, nothing."""
    if not file.name or file.is_dir():
        raise UsageError(
            Text(f"{file} is a folder, not a file.", f"{file} 是文件夹，不是文件。"),
            Text(f"Name a file in it: {file / 'NAME'}", f"请指定其中的文件：{file / '名称'}"),
        )
    if file.exists() and not file.is_file():
        raise UsageError(
            Text(f"{file} is no ordinary file: it is never replaced.", f"{file} 不是普通文件，不会覆盖它。"),
            Text("Name another file.", "请换一个文件。"),
        )  # fmt: skip


def _replace_folder(new: Path, folder: Path) -> None:
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_path(file: Path) -> Iterator[Path]:
    """Give `<file>.partial` to write, renamed to `file` (replacing an older one) when the block
    ends well and removed when it does not. Raises BlockedError where the disk refuses."""
    _refuse_unfit_file(file)
    partial = file.with_name(file.name + ".partial")
    with _disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(file)


def refuse_unwritable(file: Path) -> None:
    """Raise BlockedError where `file`, or a folder of that name, could not be written: asked before
    long work, not after."""
    with _disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        if not file.exists():
            file.touch()
            file.unlink()


@contextmanager
def whole_file(file: Path) -> Iterator[TextIO]:
    """Open `file` for UTF-8 text so that it appears whole, replacing an older one, or not at all."""
    with whole_path(file) as partial, partial.open("w", encoding="utf-8", newline="\n") as out:
        yield out


def write_json(value: Mapping[str, Any], file: Path) -> None:
    """Write one JSON object, indented, whole or not at all; see `legible` for names in it."""
    with whole_file(file) as out:
        out.write(legible(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


@contextmanager
def _disk_errors(target: Path, cure: Text | None = None) -> Iterator[None]:
    """Say plainly what the disk refused; a trouble with another file is not the target's."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_REFUSALS or not concerns(error, target):
            raise
        raise BlockedError(
            Text(
                f"Cannot write {target}: {error.strerror}. Nothing half-written was left.",
                f"无法写入 {target}：{error.strerror}。没有留下写了一半的文件。",
            ),
            cure or _cure(error, target),
        ) from error


def _cure(error: OSError, target: Path) -> Text:
    folder = os.path.dirname(target) or "."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Text(
            f"Free some space or choose another place ({folder}).",
            f"请腾出空间，或换一个位置（{folder}）。",
        )
    if error.errno == errno.EFBIG:
        return Text(
            "Files may not be so large here: ulimit -f unlimited, or choose another place.",
            "这里不允许这么大的文件：请运行 ulimit -f unlimited，或换一个位置。",
        )
    folder = refusing(folder)
    if os.path.isfile(folder):
        return Text(
            f"{folder} is a file, not a folder: choose another place.",
            f"{folder} 是文件，不是文件夹：请换一个位置。",
        )
    return Text(
        f"Make {folder} writable for you, or choose another place.",
        f"请让自己对 {folder} 有写权限，或换一个位置。",
    )


def concerns(error: OSError, target: Path) -> bool:
    """Whether the file that an error names, if any, is `target`, what it is made in, or a parent."""
    if error.filename is None:
        return True
    named, place = os.path.abspath(os.fsdecode(error.filename)), os.path.abspath(target)
    return named.startswith(place) or place.startswith(named.rstrip(os.sep) + os.sep)


def real_path(path: str | os.PathLike[str]) -> Path:
    """The path with links followed; unlike `Path.resolve` it takes a link that leads to itself."""
    return Path(os.path.realpath(path))


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with a leading `~` filled in; unlike `Path.expanduser` it leaves alone what it does
    not know, as where the machine knows no home."""
    return Path(os.path.expanduser(path))
