"""What the server keeps: bare git repositories, LFS objects, and what Xet left in its folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["model", "space", "studio"]
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "hub", "GIT_AUTHOR_EMAIL": "hub@example.org",
    "GIT_COMMITTER_NAME": "hub", "GIT_COMMITTER_EMAIL": "hub@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file of a commit. `sha256` only for an LFS object."""

    path: str
    blob: str
    size: int
    sha256: str = ""


@dataclass
class Repo:
    """One repository."""

    kind: Kind
    name: str
    private: bool
    branch: str
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    deployed: int = 0


class Store:
    """All repositories. Commits are made under a lock."""

    def __init__(self, root: Path):
        self.root = root
        self.lfs = root / "lfs"
        self.xet = root / "xet"
        self.lfs.mkdir(parents=True)
        self.xet.mkdir()
        self.repos: dict[tuple[Kind, str], Repo] = {}
        self.lock = threading.RLock()

    def create(self, kind: Kind, name: str, private: bool, branch: str = "main") -> Repo:
        folder = self.root / "git" / f"{kind}s" / f"{name}.git"
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run(["git", "init", "-q", "--bare", "-b", branch, str(folder)], self.root)
        _run(["git", "config", "http.receivepack", "true"], folder)
        repo = self.repos[kind, name] = Repo(kind, name, private, branch, folder)
        return repo

    def head(self, repo: Repo) -> str:
        done = _try(
            ["git", "rev-parse", "-q", "--verify", f"refs/heads/{repo.branch}"], repo.folder
        )
        return done.decode().strip()

    def commit_of(self, repo: Repo, revision: str) -> str:
        """The commit of a branch or a hash; "" where there is none."""
        if revision in (repo.branch, "HEAD", ""):
            return self.head(repo)
        return _try(["git", "rev-parse", "-q", "--verify", f"{revision}^{{commit}}"], repo.folder).decode().strip()  # fmt: skip

    def tree(self, repo: Repo, commit: str) -> dict[str, Entry]:
        if not commit:
            return {}
        found = {}
        for line in _run(["git", "ls-tree", "-r", "-l", "-z", commit], repo.folder).split(b"\0"):
            if not line:
                continue
            about, path = line.decode().split("\t", 1)
            _, _, blob, size = about.split()
            found[path] = self._entry(repo, path, blob, int(size))
        return found

    def _entry(self, repo: Repo, path: str, blob: str, size: int) -> Entry:
        if size < 400:
            content = _run(["git", "cat-file", "blob", blob], repo.folder)
            if content.startswith(_POINTER):
                fields = dict(line.split(" ", 1) for line in content.decode().splitlines())
                oid = fields["oid"].removeprefix("sha256:")
                return Entry(path, blob, int(fields["size"]), oid)
        return Entry(path, blob, size)

    def read(self, repo: Repo, entry: Entry) -> bytes:
        """The bytes of a file, wherever they are kept."""
        if not entry.sha256:
            return _run(["git", "cat-file", "blob", entry.blob], repo.folder)
        plain = self.lfs / entry.sha256
        if plain.is_file():
            return plain.read_bytes()
        from .xet import read_from_xet

        return read_from_xet(self.xet, entry.sha256, entry.size)

    def has(self, sha256: str, size: int) -> bool:
        file = self.lfs / sha256
        return file.is_file() and file.stat().st_size == size

    def commit(
        self,
        repo: Repo,
        files: dict[str, bytes],
        deleted: list[str],
        message: str,
        parent: str = "",
    ) -> str:
        """A commit of `files` (LFS pointers among them). Raises ValueError if `parent` moved."""
        with self.lock:
            head = self.head(repo)
            if parent and head and parent != head:
                raise ValueError("parent moved")
            index = {"GIT_INDEX_FILE": str(self.root / f"index-{threading.get_ident()}")}
            Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
            if head:
                _run(["git", "read-tree", head], repo.folder, index)
            lines = []
            for path, content in files.items():
                blob = _run(["git", "hash-object", "-w", "--stdin"], repo.folder, input=content)
                lines.append(f"100644 {blob.decode().strip()}\t{path}\n")
            lines += [f"0 {'0' * 40}\t{path}\n" for path in deleted]
            _run(
                ["git", "update-index", "--index-info"], repo.folder, index, "".join(lines).encode()
            )
            tree = _run(["git", "write-tree"], repo.folder, index).decode().strip()
            parents = ["-p", head] if head else []
            commit = _run(["git", "commit-tree", tree, *parents, "-m", message or "-"], repo.folder)
            name = commit.decode().strip()
            _run(["git", "update-ref", f"refs/heads/{repo.branch}", name], repo.folder)
            return name

    def flip(self, kind: Kind, name: str, path: str) -> None:
        """Damage a stored file behind the hub's back: one byte of an LFS object."""
        repo = self.repos[kind, name]
        entry = self.tree(repo, self.head(repo))[path]
        data = bytearray(self.read(repo, entry))
        data[len(data) // 2] ^= 1
        (self.lfs / entry.sha256).write_bytes(data)

    def rehash(self, kind: Kind, name: str, path: str) -> None:
        """As `flip`, but the hub knows: its listing gives the hash of the damaged bytes."""
        repo = self.repos[kind, name]
        entry = self.tree(repo, self.head(repo))[path]
        data = bytearray(self.read(repo, entry))
        data[len(data) // 2] ^= 1
        oid = hashlib.sha256(data).hexdigest()
        if entry.sha256:
            (self.lfs / oid).write_bytes(data)
        self.commit(repo, {path: pointer(oid, len(data)) if entry.sha256 else bytes(data)}, [], "x")


def pointer(oid: str, size: int) -> bytes:
    """The git-lfs pointer of an object."""
    return _POINTER + f"oid sha256:{oid}\nsize {size}\n".encode()


def _run(
    command: list[str], folder: Path, more: dict[str, str] | None = None, input: bytes | None = None
) -> bytes:
    environment = {**os.environ, **_IDENTITY, **(more or {})}
    return subprocess.run(
        command, cwd=folder, env=environment, input=input, capture_output=True, check=True
    ).stdout


def _try(command: list[str], folder: Path) -> bytes:
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).stdout
