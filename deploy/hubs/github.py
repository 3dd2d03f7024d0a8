"""The GitHub repository (or another git server's, GITHUB_SERVER_URL) that OpenXLab runs an app from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from assistant.errors import BlockedError
from assistant.models.failures import without_secrets
from assistant.progress import Report
from assistant.words import Text

from ..stage import StagedFile
from ..target import Target
from ..tokens import Secret, need_token
from .base import Account, Listing, Repository
from .git_lfs import GitRemote

BRANCH = "main"
USER = "x-access-token"


def address() -> str:
    return (os.environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/")


class GitHub:
    """App repositories, one of which OpenXLab clones. `repository` is owner/name there."""

    file_limit: int | None = 100 * 10**6

    def __init__(self, token: Secret | None, repository: str):
        self._token = token
        self.name = repository

    def _remote(self, target: Target) -> GitRemote:
        return GitRemote(target, address(), f"{address()}/{self.name}.git", self._token, USER)

    def url(self, target: Target) -> str:
        return f"{without_secrets(address())}/{self.name}"

    def account(self) -> Account:
        need_token("github", self._token, Text("Pushing to GitHub", "推送到 GitHub"))
        return Account(self.name.split("/")[0])

    def repository(self, target: Target) -> Repository | None:
        found = self._remote(target).repository()
        return found[0] if found else None

    def listing(self, target: Target, commit: str) -> Listing:
        remote = self._remote(target)
        found = remote.repository()
        return remote.listing(found[1] or BRANCH) if found and found[0].head else {}

    def by_hand(self, target: Target, private: bool) -> BlockedError | None:
        seen = Text("private", "私有") if private else Text("public", "公开")
        return BlockedError(
            Text(f"There is no GitHub repository {self.name}, or this token may not see it.",
                 f"没有 GitHub 仓库 {self.name}，或这个令牌看不到它。"),
            Text(
                f"1. Make it, empty and {seen.en}: https://github.com/new\n"
                "2. Make a token that may write its contents: "
                "https://github.com/settings/personal-access-tokens\n"
                "3. Put it into the environment as GITHUB_TOKEN and run this command again.",
                f"1. 创建这个空仓库（{seen.zh}）：https://github.com/new\n"
                "2. 申请可写入其内容的令牌：https://github.com/settings/personal-access-tokens\n"
                "3. 放进环境变量 GITHUB_TOKEN，再运行这条命令。",
            ),
        )  # fmt: skip

    def create(self, target: Target, *, private: bool, licence: str) -> None:
        error = self.by_hand(target, private)
        assert error is not None
        raise error

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
        branch = (found[1] if found else "") or BRANCH
        work = folder.parent / "git"
        return remote.send(
            files, work=work, branch=branch, head=head, message=message, report=report
        )
