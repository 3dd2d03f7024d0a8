"""git and git-lfs as checked child processes that neither read nor change the user's settings."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ...errors import AssistantError, BlockedError
from ...words import Text
from ..failures import explain_output
from ..reference import Reference
from .child import run_child

TOKEN_VARIABLE = "OPENXLAB_GIT_TOKEN"
USER_VARIABLE = "OPENXLAB_USERNAME"


class Git:
    """git for one model. The token lies in the child's environment only, in no URL or file."""

    def __init__(self, reference: Reference, address: str, folder: Path | None = None):
        self._reference = reference
        self._address = address
        self._folder = folder
        if shutil.which("git") is None:
            raise _missing("git", "git")

    def run(self, *arguments: str, lfs: bool = False) -> bytes:
        """What git prints. Raises AssistantError with the last of its own words if it fails."""
        if lfs and shutil.which("git-lfs") is None:
            raise _missing("git-lfs", "git-lfs")
        work = self._folder.parent if self._folder else None
        command = ["git", *arguments]
        done = run_child(command, self._environment(), work=work, folder=self._folder)
        if done.returncode:
            raise self._failure(done.stderr.decode(errors="replace"))
        return done.stdout

    def _failure(self, said: str) -> AssistantError:
        folder = self._folder or Path.cwd()
        return explain_output(said, self._reference, folder, self._address)

    def _environment(self) -> dict[str, str]:
        authorization = ""
        if token := os.environ.get(TOKEN_VARIABLE):
            user = os.environ.get(USER_VARIABLE) or self._reference.name.split("/")[0]
            secret = base64.b64encode(f"{user}:{token}".encode()).decode()
            authorization = f"Basic {secret}"
        return git_environment(self._address, authorization)


SETTINGS = {
    "credential.helper": "",
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge --skip -- %f",
    "filter.lfs.required": "true",
    "lfs.transfer.maxretries": "8", "lfs.transfer.maxretrydelay": "10",  # seconds; git-lfs's own
}  # fmt: skip


def git_environment(
    address: str, authorization: str = "", more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a git that neither reads nor changes the user's settings, and asks nobody.

    `authorization` goes to `address` and what is below it, as an HTTP header; it lies in the
    child's environment only. `more` are further settings of git.
    """
    settings = {**SETTINGS, **(more or {})}
    if authorization:
        settings[f"http.{address}/.extraHeader"] = f"Authorization: {authorization}"
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_CONFIG")
    }
    environment.pop(TOKEN_VARIABLE, None)
    environment |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C.UTF-8",  # its messages are read by failures.py
    }
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def _missing(tool: str, package: str) -> BlockedError:
    return BlockedError(
        Text(
            f"Models of OpenXLab need {tool}, which is not installed.",
            f"下载 OpenXLab 的模型需要 {tool}，它没有安装。",
        ),
        Text(
            f"Install it, on Debian or Ubuntu: sudo apt-get install {package}",
            f"请安装它，在 Debian 或 Ubuntu 上：sudo apt-get install {package}",
        ),
    )
