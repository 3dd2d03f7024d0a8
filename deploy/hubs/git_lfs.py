"""git with git-lfs as a way to publish: OpenXLab models, ModelScope studios, app repositories.

The commit is made in a bare repository from the staged files themselves: large ones are linked
into git-lfs's store, not copied, and stand in the tree as pointers. Objects go up before the branch
moves, so a killed push publishes nothing, and goes on with the objects that are not there yet.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from assistant.errors import BlockedError, UsageError
from assistant.models.failures import refuses
from assistant.models.hubs.child import run_child
from assistant.models.hubs.git import git_environment
from assistant.models.verify import Expected
from assistant.progress import Report
from assistant.words import Text

from ..stage import StagedFile, link_or_copy
from ..target import Target
from ..tokens import VARIABLES, Secret
from .base import Listing, Repository
from .failures import explain, explain_output
from .upload_progress import read_watched

FILE_LIMIT = 5 * 10**9  # git-lfs sends a file in one piece, and the hosts take no larger one
LFS_FROM = 1 << 20
LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf", ".png", ".onnx")
ATTRIBUTES = ".gitattributes"
_LFS = "filter=lfs diff=lfs merge=lfs -text"
_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
_POINTER_MAX = 1024
_NOT_FOUND = re.compile(r"[Rr]epository .*not found|error: 404")
SETTINGS = {
    "lfs.transfer.maxretries": "4", "lfs.transfer.maxretrydelay": "8",  # seconds
    "lfs.concurrenttransfers": "4", "lfs.locksverify": "false",
}  # fmt: skip
_AUTHOR = {
    "GIT_AUTHOR_NAME": "assistant kit", "GIT_AUTHOR_EMAIL": "kit@users.noreply.invalid",
    "GIT_COMMITTER_NAME": "assistant kit", "GIT_COMMITTER_EMAIL": "kit@users.noreply.invalid",
}  # fmt: skip


class GitRemote:
    """One repository on a git server. `address` is the server, where the token may go to."""

    def __init__(self, target: Target, address: str, url: str, token: Secret | None, user: str):
        self.target, self.address, self.url = target, address, url
        self._token, self._user = token, user
        for tool in ("git", "git-lfs"):
            if shutil.which(tool) is None:
                raise missing_tool(tool)

    def repository(self) -> tuple[Repository, str] | None:
        """The repository and its branch; None where the server has none that we may see.

        Git tells no visibility: what anybody can list without a token is public.
        """
        ask = ["ls-remote", "--symref", self.url, "HEAD"]
        done = self._run(ask, anonymous=True)
        if not done.returncode:
            return _parse_head(done.stdout.decode(errors="replace"), "public")
        said = done.stderr.decode(errors="replace")
        if not (refuses(said) or _NOT_FOUND.search(said)):  # not known is not private
            raise explain_output(said, self.target, self.address, self._token)
        if self._token is None:
            return None
        try:
            return _parse_head(self._git(ask), "private")
        except UsageError:  # 404
            return None

    def listing(self, branch: str) -> Listing:
        """Files of the newest commit. An LFS object that the server does not hold is left out."""
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            self._begin(work, branch)
            found = self._tree(work)
        missing = self._missing_objects([one for one in found.values() if one.sha256])
        return {path: one for path, one in found.items() if one.sha256 not in missing}

    def send(
        self, files: Sequence[StagedFile], *, work: Path, branch: str, head: str, message: str, report: Report
    ) -> str:  # fmt: skip
        """Push one commit of `files` on top of `head`; gives the commit."""
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        self._begin(work, branch if head else "")
        objects = [file for file in files if is_large(file)]
        for file in files:
            self._add(work, file)
        self._write_attributes(work, objects)
        commit = self._commit(work, head, message)
        self._push_objects(work, objects, report)
        self._git(["push", "-q", "origin", f"{commit}:refs/heads/{branch}"], work)
        return commit

    def _begin(self, work: Path, branch: str) -> None:
        """A bare repository in `work` whose index holds the newest commit of `branch`."""
        self._git(["init", "-q", "--bare", "."], work)
        self._git(["config", "remote.origin.url", self.url], work)
        if branch:
            self._git(["fetch", "-q", "--depth", "1", "origin", f"refs/heads/{branch}"], work)
            self._git(["read-tree", "FETCH_HEAD"], work)

    def _add(self, work: Path, file: StagedFile) -> None:
        place = file.place
        if is_large(file):
            target = work / "lfs" / "objects" / file.sha256[:2] / file.sha256[2:4] / file.sha256
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                link_or_copy(file.place, target)
            place = work / "pointer"
            place.write_text(
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size}\n",
                encoding="utf-8", newline="\n",
            )  # fmt: skip
        self._add_blob(work, place, file.path)

    def _add_blob(self, work: Path, place: Path, path: str) -> None:
        blob = self._git(
            ["hash-object", "-w", "--no-filters", "--", str(place.resolve())], work
        ).strip()
        self._git(["update-index", "--add", "--cacheinfo", f"100644,{blob},{path}"], work)

    def _write_attributes(self, work: Path, objects: Sequence[StagedFile]) -> None:
        """Name the large files in .gitattributes, so that whoever clones gets them, not pointers."""
        if not objects:
            return
        before = self._run(["show", f":{ATTRIBUTES}"], work)  # there may be none yet
        lines = [] if before.returncode else before.stdout.decode(errors="replace").splitlines()
        for file in objects:
            suffix = PurePosixPath(file.path).suffix
            pattern = (
                f"*{suffix}"
                if suffix in LFS_SUFFIXES
                else "/" + file.path.replace(" ", "[[:space:]]")
            )
            if f"{pattern} {_LFS}" not in lines:
                lines.append(f"{pattern} {_LFS}")
        place = work / "attributes"
        place.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        self._add_blob(work, place, ATTRIBUTES)

    def _commit(self, work: Path, head: str, message: str) -> str:
        tree = self._git(["write-tree"], work).strip()
        parents = ["-p", head] if head else []
        return self._git(["commit-tree", tree, *parents, "-m", message], work).strip()

    def _push_objects(self, work: Path, objects: Sequence[StagedFile], report: Report) -> None:
        if not objects:
            return
        what = Text(f"Uploading to {self.target}", f"上传到 {self.target}")
        with read_watched([file.place for file in objects], what, report):
            self._git(["lfs", "push", "--object-id", "origin", *dict.fromkeys(file.sha256 for file in objects)], work)  # fmt: skip

    def _tree(self, work: Path) -> dict[str, Expected]:
        found = {}
        for line in self._git(["ls-tree", "-r", "-l", "-z", "FETCH_HEAD"], work).split("\0"):
            if not line:
                continue
            about, path = line.split("\t", 1)
            _, kind, blob, size = about.split()
            if kind != "blob":
                continue
            found[path] = Expected(path, int(size), git_sha1=blob)
            if int(size) <= _POINTER_MAX:
                pointer = _POINTER.match(self._git(["cat-file", "blob", blob], work))
                if pointer:
                    found[path] = Expected(path, int(pointer[2]), sha256=pointer[1])
        return found

    def _missing_objects(self, files: Sequence[Expected]) -> set[str]:
        """The sha256 of objects that the tree names and the LFS server cannot give."""
        if not files:
            return set()
        asked = {
            "operation": "download", "transfers": ["basic"], "hash_algo": "sha256",
            "objects": [{"oid": file.sha256, "size": file.size} for file in files],
        }  # fmt: skip
        kind = "application/vnd.git-lfs+json"
        headers = {"Accept": kind, "Content-Type": kind}
        request = urllib.request.Request(
            f"{self.url}/info/lfs/objects/batch", json.dumps(asked).encode(), headers
        )
        if self._token:  # unredirected: no other host that the server names is handed the token
            request.add_unredirected_header("Authorization", self._token.basic(self._user))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                said = json.load(answer)
        except Exception as error:
            if getattr(error, "code", None):
                error.status_code = error.code  # type: ignore[attr-defined]
            explain(error, self.target, self.address, self._token)
        there = {
            one["oid"] for one in said.get("objects", []) if "download" in one.get("actions", {})
        }
        return {file.sha256 for file in files} - there

    # The child

    def _git(self, arguments: Sequence[str], work: Path | None = None) -> str:
        """What git prints. Raises what its own words mean."""
        done = self._run(arguments, work)
        if done.returncode:
            said = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
            raise explain_output(said, self.target, self.address, self._token)
        return done.stdout.decode(errors="replace")

    def _run(
        self, arguments: Sequence[str], work: Path | None = None, *, anonymous: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        return run_child(["git", *arguments], self._environment(anonymous), work=work, folder=work)

    def _environment(self, anonymous: bool) -> Mapping[str, str]:
        authorization = "" if anonymous or not self._token else self._token.basic(self._user)
        environment = git_environment(self.address, authorization, SETTINGS)
        for names in VARIABLES.values():  # git needs none of the tokens that lie here
            for name in names:
                environment.pop(name, None)
        return {**environment, **_AUTHOR, "GIT_LFS_SKIP_PUSH": "1"}


def is_large(file: StagedFile) -> bool:
    """Whether a file goes to git-lfs: weights and whatever else is no small text."""
    return file.size > LFS_FROM or PurePosixPath(file.path).suffix in LFS_SUFFIXES


def _parse_head(said: str, visibility: Literal["private", "public"]) -> tuple[Repository, str]:
    branch = re.search(r"^ref: refs/heads/(\S+)\tHEAD", said, re.MULTILINE)
    commit = re.search(r"^([0-9a-f]{40})\tHEAD", said, re.MULTILINE)
    return Repository(visibility, commit[1] if commit else ""), branch[1] if branch else ""


def missing_tool(tool: str) -> BlockedError:
    """git or git-lfs is not installed."""
    return BlockedError(
        Text(f"This needs {tool}, which is not installed.", f"这一步需要 {tool}，它没有安装。"),
        Text(f"Install it, on Debian or Ubuntu: sudo apt-get install {tool}",
             f"请安装它，在 Debian 或 Ubuntu 上：sudo apt-get install {tool}"),
    )  # fmt: skip


def user_from(variable: str, owner: str) -> str:
    """The account's name for git: from the environment, else the owner of the repository."""
    return os.environ.get(variable) or owner
