"""The Hugging Face Hub or a mirror of it (HF_ENDPOINT), by huggingface_hub 1.16 to 2.x.

Everything goes up as one commit: large files first, into the hub's store, where nobody sees them;
then the commit that names them. A killed upload publishes nothing, and goes on where it stood:
plain LFS knows every file that arrived, Xet every lot of 64 MB that it noted before the kill: the last
ones may go up again (measured on 189 MB, processor busy: 1.0 to 1.6 times the bytes in all).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.errors import BlockedError
from assistant.models.failures import without_secrets
from assistant.models.hubs.huggingface import address, expected_of
from assistant.progress import Report
from assistant.words import Text

from ..stage import StagedFile
from ..target import Target
from ..tokens import Secret, need_token, quiet_clients
from .base import Account, Listing, Repository
from .failures import explain
from .upload_progress import read_watched


class HuggingFace:
    """Models and Spaces of the Hugging Face Hub."""

    file_limit: int | None = 500 * 10**9

    def __init__(self, token: Secret | None):
        self._token = token
        quiet_clients()

    def _api(self) -> Any:
        # No telemetry, and no bars of its own beside ours; the library reads both at its import.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        # After a kill hf_xet goes on with the lots of 64 MB it has noted; note each one at once.
        os.environ.setdefault("HF_XET_DATA_SESSION_XORB_METADATA_FLUSH_MAX_COUNT", "1")
        from huggingface_hub import HfApi

        # False, not None: None would fall back to a login that the plan did not show.
        return HfApi(endpoint=address(), token=self._token.reveal() if self._token else False)

    def url(self, target: Target) -> str:
        folder = "spaces/" if target.what == "app" else ""
        return f"{without_secrets(address())}/{folder}{target.repo}"

    def account(self) -> Account:
        need_token("hf", self._token, Text("Sharing to Hugging Face", "分享到 Hugging Face"))
        try:
            said = self._api().whoami()
        except Exception as error:
            explain(error, Target("hf", "?/?"), address(), self._token)
        role = said.get("auth", {}).get("accessToken", {}).get("role")
        owners = (said["name"], *(org["name"] for org in said.get("orgs", [])))
        return Account(said["name"], owners, None if role is None else role != "read")

    def repository(self, target: Target) -> Repository | None:
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            info = self._api().repo_info(target.repo, repo_type=_type(target))
        except RepositoryNotFoundError:
            return None
        except Exception as error:
            explain(error, target, address(), self._token)
        return Repository("private" if info.private else "public", info.sha or "")

    def listing(self, target: Target, commit: str) -> Listing:
        from huggingface_hub.hf_api import RepoFile

        try:
            tree = self._api().list_repo_tree(
                target.repo, recursive=True, revision=commit or None, repo_type=_type(target)
            )
            return {one.path: expected_of(one) for one in tree if isinstance(one, RepoFile)}
        except Exception as error:
            explain(error, target, address(), self._token)

    def by_hand(self, target: Target, private: bool) -> BlockedError | None:
        return None

    def create(self, target: Target, *, private: bool, licence: str, **settings: Any) -> None:
        """Make the repository; `settings` are those of `create_repo` for a Space."""
        try:
            self._api().create_repo(
                target.repo, repo_type=_type(target), private=private, exist_ok=False, **settings
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
        additions = [_addition(file) for file in files]
        what = Text(f"Uploading to {target}", f"上传到 {target}")
        try:
            with read_watched([file.place for file in files], what, report):
                done = self._api().create_commit(
                    target.repo,
                    operations=additions,
                    commit_message=message,
                    repo_type=_type(target),
                    parent_commit=head or None,
                )
        except Exception as error:
            explain(error, target, address(), self._token)
        return str(done.oid)

    def add_secret(self, target: Target, name: str, value: Secret) -> None:
        """Put a secret into a Space's own store."""
        try:
            self._api().add_space_secret(target.repo, name, value.reveal())
        except Exception as error:
            explain(error, target, address(), self._token)


def _type(target: Target) -> str:
    return "space" if target.what == "app" else "model"


def _addition(file: StagedFile) -> Any:
    from huggingface_hub import CommitOperationAdd

    addition = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=str(file.place))
    info = addition.upload_info
    if hasattr(info, "is_hashed") and not info.is_hashed:
        info.sha256 = bytes.fromhex(file.sha256)  # known from the plan: not read a second time
    return addition
