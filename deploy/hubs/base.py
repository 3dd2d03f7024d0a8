"""What every hub can do, and the plain types that pass between it and the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from assistant.errors import BlockedError
from assistant.models.verify import Expected
from assistant.progress import Report

from ..stage import StagedFile
from ..target import Target

Listing = Mapping[str, Expected]  # path -> the hub's own size and hash


@dataclass(frozen=True)
class Account:
    """Whose token it is. `owners` are the names it may write under, None where the hub does not
    tell; `can_write` likewise."""

    name: str
    owners: tuple[str, ...] | None = None
    can_write: bool | None = None


@dataclass(frozen=True)
class Repository:
    """A repository as the hub describes it."""

    visibility: Literal["private", "public"]
    head: str  # the newest commit, or what stands for it; empty for an empty repository


class Hub(Protocol):
    """One hub. Every method raises BlockedError or UsageError for what the hub refuses; no message
    holds a token."""

    file_limit: int | None  # bytes that one file may have; None: no limit that people meet

    def url(self, target: Target) -> str:
        """The page of a repository."""

    def account(self) -> Account:
        """Whose token it is. Raises BlockedError without one."""

    def repository(self, target: Target) -> Repository | None:
        """The repository as it is now; None where there is none."""

    def listing(self, target: Target, commit: str) -> Listing:
        """Files of a commit (empty: the newest), with the hub's own hashes."""

    def by_hand(self, target: Target, private: bool) -> BlockedError | None:
        """What a person must do where the hub lets nobody else make a repository; None where `create`
        can make it."""

    def create(self, target: Target, *, private: bool, licence: str, **settings: Any) -> None:
        """Make the repository; `settings` are an app's, in the hub's own words."""

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
        """Upload `files` (of the staged `folder`) as one commit on top of `head`; give the commit.

        A file that is there already is not sent again, whole or in part.
        """


def state_of(
    hub: Hub, target: Target, commit: str = ""
) -> tuple[Repository, Listing] | tuple[None, None]:
    """The repository and the files of `commit` (empty: of its newest one); None where there is
    none. Raises what the hub refuses."""
    repository = hub.repository(target)
    if repository is None:
        return None, None
    if not repository.head:
        return repository, {}
    return repository, hub.listing(target, commit or repository.head)


def digest_of(listing: Listing) -> str:
    """What stands for a commit where the hub names none: a sha256 over paths, sizes and hashes.
    Empty for an empty listing."""
    if not listing:
        return ""
    lines = "".join(f"{path}\0{one.size}\0{one.sha256}\n" for path, one in sorted(listing.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
