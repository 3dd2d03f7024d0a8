"""What hubs have in common that git fills and whose repositories only a person can make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.errors import BlockedError
from assistant.progress import Report

from ..stage import StagedFile
from ..target import Target
from .base import Listing, Repository
from .git_lfs import GitRemote

DEFAULT_BRANCH = "main"  # of an empty repository


class FilledByGit(ABC):
    """Such a hub, but for where it is, whose token it takes, and what the person must do."""

    @abstractmethod
    def _remote(self, target: Target) -> GitRemote:
        """The repository on its git server."""

    @abstractmethod
    def by_hand(self, target: Target, private: bool) -> BlockedError:
        """What a person must do to make the repository."""

    def repository(self, target: Target) -> Repository | None:
        found = self._remote(target).repository()
        return found[0] if found else None

    def listing(self, target: Target, commit: str) -> Listing:
        remote = self._remote(target)
        found = remote.repository()
        return remote.listing(found[1] or DEFAULT_BRANCH) if found and found[0].head else {}

    def create(self, target: Target, *, private: bool, licence: str, **settings: Any) -> None:
        raise self.by_hand(target, private)

    def send(
        self,
        target: Target,
        files: Sequence[StagedFile],
        *,
        folder: Path,
        head: str,
        message: str,
        report: Report,
    ) -> str:
        remote = self._remote(target)
        found = remote.repository()
        branch = (found[1] if found else "") or DEFAULT_BRANCH
        work = folder.parent / "git"
        return remote.send(
            files, work=work, branch=branch, head=head, message=message, report=report
        )
