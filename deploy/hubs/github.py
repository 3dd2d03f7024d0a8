"""The GitHub repository (or another git server's, GITHUB_SERVER_URL) that OpenXLab runs an app from."""

from __future__ import annotations

import os

from assistant.errors import BlockedError
from assistant.models.failures import without_secrets
from assistant.words import Text

from ..target import Target
from ..tokens import Secret, need_token
from .base import Account
from .git_lfs import GitRemote
from .git_upload import FilledByGit

USER = "x-access-token"


def address() -> str:
    return (os.environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/")


class GitHub(FilledByGit):
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

    def by_hand(self, target: Target, private: bool) -> BlockedError:
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
