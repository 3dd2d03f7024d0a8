"""Models of OpenXLab or another git server (OPENXLAB_ENDPOINT), by git and git-lfs.

The `openxlab` package is not used: it corrupts resumed files and reports failures as success.
A private model needs OPENXLAB_GIT_TOKEN (and OPENXLAB_USERNAME where that is not the owner).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...progress import Report
from ...words import Text
from ..cache import WORK_FOLDER, Download
from ..failures import refused, room_for, without_secrets
from ..reference import Reference
from ..selection import select
from ..verify import Expected, matches, verify
from ..watch import watched
from .child import alone
from .git import Git

DEFAULT_ENDPOINT = "https://code.openxlab.org.cn"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*"
    rb"oid sha256:(?P<sha256>[0-9a-f]{64})\nsize (?P<size>\d+)\n"
)
_POINTER_MAX = 1024


def address() -> str:
    return (os.environ.get("OPENXLAB_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def resolve(reference: Reference) -> str:
    """The commit that the reference means now."""
    if _COMMIT.fullmatch(reference.revision):
        return reference.revision
    asked = reference.revision or "HEAD"
    lines = Git(reference, address()).run("ls-remote", _url(reference), asked).decode().split("\n")
    commits = [line.split("\t")[0] for line in lines if "\t" in line]
    if not commits:
        raise refused(404, reference, address(), "RevisionNotFoundError")
    return commits[0]


def download(reference: Reference, revision: str, partial: Path, report: Report) -> Download:
    """Fetch one commit's usable files, without history; weights are checked by their LFS sha256."""
    work = partial / WORK_FOLDER / "git"
    git = Git(reference, address(), work)
    commit = _fetch_commit(git, work, reference, revision)
    blobs = _blobs(git, reference)
    folder = partial / reference.name.rsplit("/", 1)[-1]
    files, pointers = _unpack(git, blobs, folder)
    missing = [file for file in pointers if not matches(folder / file.path, file)]
    total = sum(file.size or 0 for file in missing)
    room_for(total - sum(_pick_up(work, file) for file in missing), folder)
    if missing:
        what = Text(f"Downloading {reference}", f"下载 {reference}")
        with watched(work / ".git" / "lfs", what, total, report):
            _fetch_objects(git, missing)
        for file in missing:
            _move_object(work, file, folder)
    return Download(
        commit,
        verify(folder, files + pointers, report),
        origin=f"{without_secrets(address())}/{reference.name}",
    )


def _url(reference: Reference) -> str:
    return f"{address()}/{reference.name}.git"


def _fetch_commit(git: Git, work: Path, reference: Reference, revision: str) -> str:
    """Bring the commit's tree and small files into an empty repository; give the commit."""
    with alone(work):
        for folder, _, names in os.walk(work / ".git"):
            for name in names:
                if name.endswith(".lock"):
                    os.unlink(os.path.join(folder, name))  # of a killed attempt
    git.run("init", "-q", ".")
    git.run("config", "remote.origin.url", _url(reference))  # git-lfs finds its server by it
    # A branch or tag by its name: not every server gives a commit that no name points to.
    git.run("fetch", "-q", "--depth", "1", "origin", reference.revision or "HEAD")
    commit = git.run("rev-parse", "FETCH_HEAD^{commit}").decode().strip()
    git.run("update-ref", "--no-deref", "HEAD", commit)
    return commit


def _blobs(git: Git, reference: Reference) -> dict[str, tuple[str, int]]:
    """Path -> (blob, its size in git) of the files to take."""
    entries = {}
    for line in git.run("ls-tree", "-r", "-l", "-z", "HEAD").split(b"\0"):
        if line:
            about, path = line.decode().split("\t", 1)
            mode, kind, blob, size = about.split()
            if kind == "blob" and mode != "120000":  # no symbolic links: they may lead anywhere
                entries[path] = (blob, int(size))
    return {path: entries[path] for path in select(entries, reference)}


def _unpack(
    git: Git, blobs: dict[str, tuple[str, int]], folder: Path
) -> tuple[list[Expected], list[Expected]]:
    """Write the ordinary files; give them, and what the LFS pointers stand for."""
    files, pointers = [], []
    for path, (blob, size) in blobs.items():
        content = git.run("cat-file", "blob", blob)
        if size <= _POINTER_MAX and (match := _POINTER.match(content)):
            pointers.append(Expected(path, int(match["size"]), match["sha256"].decode()))
            continue
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        files.append(Expected(path, size, git_sha1=blob))
    return files, pointers


def _fetch_objects(git: Git, files: list[Expected]) -> None:
    """git-lfs brings the objects (it goes on with cut-off ones) and checks each sha256."""
    # In its patterns a comma separates; the few names with one are matched by "?" instead.
    wanted = ",".join("/" + file.path.replace(",", "?") for file in files)
    git.run("lfs", "fetch", "--include", wanted, "--exclude", "", "origin", "HEAD", lfs=True)


def _object_path(work: Path, file: Expected) -> Path:
    oid = file.sha256
    return work / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid


def _pick_up(work: Path, file: Expected) -> int:
    """Bytes of an object that are here already, whole or in part.

    git-lfs writes to `<oid><random>` and goes on only with `<oid>.part`, the name it gives when
    it fails in good order; after a kill we do that for it.
    """
    if (whole := _object_path(work, file)).exists():
        return whole.stat().st_size
    parts = sorted(
        (work / ".git" / "lfs" / "incomplete").glob(f"{file.sha256}*"),
        key=lambda part: part.stat().st_size,
    )
    if not parts:
        return 0
    return parts[-1].replace(parts[-1].with_name(f"{file.sha256}.part")).stat().st_size


def _move_object(work: Path, file: Expected, folder: Path) -> None:
    """Move, not copy: weights never lie on the disk twice. One that is missing fails in verify."""
    source = _object_path(work, file)
    place = folder / file.path
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.exists():
        source.replace(place)
