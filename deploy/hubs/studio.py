"""ModelScope studios: made and started by modelscope-hub, filled by git (its client uploads no apps)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.models.failures import without_secrets
from assistant.models.hubs.modelscope import address
from assistant.progress import Report

from ..stage import StagedFile
from ..target import Target
from ..tokens import Secret
from .base import Listing, Repository
from .failures import explain
from .git_lfs import FILE_LIMIT, GitRemote
from .modelscope import PRIVATE, PUBLIC, ModelScope, is_private

BRANCH = "master"
USER = "oauth2"  # what ModelScope's git takes for a name beside any token


class Studio(ModelScope):
    """App repositories of ModelScope."""

    file_limit: int | None = FILE_LIMIT

    def _remote(self, target: Target) -> GitRemote:
        url = f"{address()}/studios/{target.repo}.git"
        return GitRemote(target, address(), url, self._token, USER)

    def url(self, target: Target) -> str:
        return f"{without_secrets(address())}/studios/{target.repo}"

    def repository(self, target: Target) -> Repository | None:
        info = self.info(target, "studio")
        if info is None:
            return None
        found = self._remote(target).repository()
        return Repository(
            "private" if is_private(info) else "public", found[0].head if found else ""
        )

    def listing(self, target: Target, commit: str) -> Listing:
        return self._remote(target).listing(BRANCH)

    def create(self, target: Target, *, private: bool, licence: str, **settings: Any) -> None:
        try:
            self.api().create_repo(
                target.repo,
                "studio",
                visibility=PRIVATE if private else PUBLIC,
                sdk_type="gradio",
                **settings,
            )
        except Exception as error:
            explain(error, target, address(), self._token)

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
        work = folder.parent / "git"
        return self._remote(target).send(
            files, work=work, branch=BRANCH, head=head, message=message, report=report
        )

    def add_secret(self, target: Target, name: str, value: Secret) -> None:
        """Put a secret into the studio's own store."""
        try:
            api = self.api()
            there = {one.get("key") for one in api.list_secrets(target.repo)}
            store = api.update_secret if name in there else api.add_secret
            store(target.repo, key=name, value=value.reveal())
        except Exception as error:
            explain(error, target, address(), self._token)

    def start(self, target: Target) -> None:
        """Ask the platform to build and run what was pushed."""
        try:
            self.api().deploy_repo(target.repo)
        except Exception as error:
            explain(error, target, address(), self._token)
