"""OpenXLab models, or another git server with LFS (OPENXLAB_ENDPOINT).

The `openxlab` package is not used: it corrupts resumed uploads and reports failures as success. Its
own service has no way to make a repository that keeps the folder's layout; a person does that.
"""

from __future__ import annotations

from assistant.errors import BlockedError
from assistant.models.failures import without_secrets
from assistant.models.hubs.git import USER_VARIABLE
from assistant.models.hubs.openxlab import address
from assistant.words import Text

from ..target import Target
from ..tokens import Secret, need_token
from .base import Account
from .git_lfs import FILE_LIMIT, GitRemote, user_from
from .git_upload import FilledByGit

WEB = "https://openxlab.org.cn/models"


class OpenXLab(FilledByGit):
    """Model repositories of OpenXLab."""

    file_limit: int | None = FILE_LIMIT

    def __init__(self, token: Secret | None, owner: str):
        self._token = token
        self._user = user_from(USER_VARIABLE, owner)

    def _remote(self, target: Target) -> GitRemote:
        url = f"{address()}/{target.repo}.git"
        return GitRemote(target, address(), url, self._token, self._user)

    def url(self, target: Target) -> str:
        return f"{without_secrets(address())}/{target.repo}"

    def account(self) -> Account:
        need_token("openxlab", self._token, Text("Sharing to OpenXLab", "分享到 OpenXLab"))
        return Account(self._user)

    def by_hand(self, target: Target, private: bool) -> BlockedError:
        seen = Text("private", "非公开") if private else Text("public", "公开")
        return BlockedError(
            Text(f"{target} is not there, and OpenXLab lets only a person make it.",
                 f"{target} 还不存在，而 OpenXLab 只允许在网页上创建。"),
            Text(
                f"1. Sign in at {WEB} and create a model named {target.name}, {seen.en}, task text generation.\n"
                "2. Make a Git token with write access: https://sso.openxlab.org.cn/usercenter?tab=secret\n"
                f"3. Put it into the environment as OPENXLAB_GIT_TOKEN, and your user name as {USER_VARIABLE} "
                f"if that is not {target.owner}.\n4. Run this command again.",
                f"1. 登录 {WEB}，创建名为 {target.name} 的模型（{seen.zh}，任务：文本生成）。\n"
                "2. 申请有写权限的 Git 令牌：https://sso.openxlab.org.cn/usercenter?tab=secret\n"
                f"3. 放进环境变量 OPENXLAB_GIT_TOKEN；用户名若不是 {target.owner}，放进 {USER_VARIABLE}。\n"
                "4. 再运行这条命令。",
            ),
        )  # fmt: skip
