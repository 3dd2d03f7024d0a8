"""ModelScope models (MODELSCOPE_ENDPOINT for a mirror), by modelscope-hub 0.5.

Not by its `upload_folder`: that commits the files which did arrive when others failed, makes a
missing repository public, and prints its report to stdout. Its client's own calls are used
instead: blobs first, then one commit that names them all.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from assistant.errors import BlockedError
from assistant.libraries import installing
from assistant.models.failures import without_secrets
from assistant.models.hubs.modelscope import BRANCH, address
from assistant.models.verify import Expected
from assistant.progress import Report
from assistant.words import Text

from ..stage import StagedFile
from ..target import Target
from ..tokens import Secret, need_token, quiet_clients
from .base import Account, Listing, Repository, digest_of
from .failures import explain
from .upload_progress import read_watched

ATTEMPTS = 4
FIRST_WAIT = 0.5  # seconds, doubled each time
LFS_FROM = 64 << 10
LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf", ".png")
# What the platform reads itself stays in the commit, as its own client keeps it.
INLINE = ("README.md", "config.json", "configuration.json", ".gitattributes")
PRIVATE, PUBLIC = "private", "public"


class ModelScope:
    """Model repositories of ModelScope."""

    file_limit: int | None = 50 * 10**9

    def __init__(self, token: Secret | None):
        self._token = token
        quiet_clients()

    def api(self) -> Any:
        """The client. Raises BlockedError where it is not installed."""
        try:
            import modelscope_hub
        except ImportError:
            raise BlockedError(
                Text("Sharing to ModelScope needs modelscope-hub, which is not installed.",
                     "分享到 ModelScope 需要 modelscope-hub，它没有安装。"),
                installing("modelscope_hub"),
            ) from None  # fmt: skip
        return modelscope_hub.HubApi(
            endpoint=address(), token=self._token.reveal() if self._token else None
        )

    def url(self, target: Target) -> str:
        return f"{without_secrets(address())}/models/{target.repo}"

    def account(self) -> Account:
        need_token("modelscope", self._token, Text("Sharing to ModelScope", "分享到 ModelScope"))
        try:
            name = str(self.api().whoami().username)
        except Exception as error:
            explain(error, Target("modelscope", "?/?"), address(), self._token)
        return Account(name)

    def repository(self, target: Target) -> Repository | None:
        info = self.info(target)
        if info is None:
            return None
        head = digest_of(self.listing(target, ""))
        return Repository("private" if is_private(info) else "public", head)

    def info(self, target: Target, kind: str = "model") -> Any:
        """What the hub says of a repository; None where there is none."""
        api = self.api()
        try:
            from modelscope_hub.errors import NotExistError

            try:
                return api.get_repo(target.repo, kind)
            except NotExistError:
                return None
        except BlockedError:
            raise
        except Exception as error:
            explain(error, target, address(), self._token)

    def listing(self, target: Target, commit: str) -> Listing:
        """All files with sha256. The hub's listing names no commit: always the newest."""
        try:
            found = self.api().list_repo_files(target.repo, "model", revision=BRANCH)
        except Exception as error:
            explain(error, target, address(), self._token)
        return {
            one.path: Expected(one.path, one.size, sha256=one.sha256 or "")
            for one in found
            if not one.is_dir
        }

    def by_hand(self, target: Target, private: bool) -> BlockedError | None:
        return None

    def create(self, target: Target, *, private: bool, licence: str, **settings: Any) -> None:
        try:
            self.api().create_repo(
                target.repo,
                "model",
                visibility=PRIVATE if private else PUBLIC,
                license=licence or None,
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
        client = self.api().legacy
        large = {file.sha256: file for file in files if is_large(file)}
        what = Text(f"Uploading to {target}", f"上传到 {target}")
        try:
            with read_watched([file.place for file in large.values()], what, report):
                for file in large.values():
                    _retrying()(_send_blob, client, target.repo, file)
            _retrying()(
                client.create_commit,
                target.repo,
                "model",
                [_operation(file) for file in files],
                message,
                BRANCH,
            )
        except Exception as error:
            explain(error, target, address(), self._token)
        return digest_of(self.listing(target, ""))


def is_large(file: StagedFile) -> bool:
    """Whether a file goes to the hub's object store instead of into the commit itself."""
    if file.path in INLINE:
        return False
    return file.size > LFS_FROM or file.path.endswith(LFS_SUFFIXES)


def _send_blob(client: Any, repo: str, file: StagedFile) -> None:
    """Upload one file, unless the hub has it already."""
    asked = [{"oid": file.sha256, "size": file.size}]
    url = client.validate_blobs(repo, "model", asked).get(file.sha256)
    if url is not None:
        with file.place.open("rb") as data:
            client.upload_blob(url, data, file.size)


def _operation(file: StagedFile) -> dict[str, Any]:
    common = {"action": "create", "path": file.path, "size": file.size}
    if is_large(file):
        return {**common, "type": "lfs", "sha256": file.sha256, "content": "", "encoding": ""}
    content = base64.b64encode(file.place.read_bytes()).decode()
    return {**common, "type": "normal", "sha256": "", "content": content, "encoding": "base64"}


def _retrying() -> Retrying:
    """Try again where the line broke or the server had a trouble of its own."""
    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_WAIT, max=8),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in (429, 500, 502, 503, 504)
    return bool(getattr(error, "retryable", False)) or isinstance(
        error, (ConnectionError, TimeoutError)
    )


def is_private(info: Any) -> bool:
    """Visibility 1 is private, 3 internal, 5 public. What says nothing is taken for public, so that
    it is never used for a private model."""
    with suppress(TypeError, ValueError):
        return int(info.visibility) == 1
    return info.private is True
