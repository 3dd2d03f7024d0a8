"""Models of ModelScope or a mirror of it (MODELSCOPE_ENDPOINT), by modelscope-hub.

A private model needs MODELSCOPE_API_TOKEN. The client resumes cut-off files itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import BlockedError
from ...libraries import installing
from ...progress import Report
from ...words import Text
from ..cache import WORK_FOLDER, Download
from ..failures import room_for, without_secrets
from ..reference import Reference
from ..selection import select
from ..verify import Expected, verify
from ..watch import bytes_in, watched

DEFAULT_ENDPOINT = "https://modelscope.cn"
BRANCH = "master"


def address() -> str:
    return (os.environ.get("MODELSCOPE_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def resolve(reference: Reference) -> str:
    """A sha256 over names and hashes of the files.

    The listing names no commit, and branches and tags move; this pins the very files.
    """
    return _digest(_files(reference))


def download(reference: Reference, revision: str, partial: Path, report: Report) -> Download:
    """Fetch the usable files; each is checked by the sha256 of the listing."""
    files = _files(reference)
    total = sum(file.size or 0 for file in files)
    folder = partial / reference.name.rsplit("/", 1)[-1]
    room_for(total - bytes_in(folder), folder)
    api = _client()
    what = Text(f"Downloading {reference}", f"下载 {reference}")
    with watched(folder, what, total, report):
        for file in files:
            api.download_file(
                reference.name, "model", file.path,
                revision=reference.revision or BRANCH,
                local_dir=folder,
                cache_dir=partial / WORK_FOLDER,  # its locks; else they lie in the user's cache
                expected_sha256=file.sha256 or None,
                file_size=file.size,
            )  # fmt: skip
    return Download(
        _digest(files),
        verify(folder, files, report),
        origin=f"{without_secrets(address())}/models/{reference.name}",
    )


def _files(reference: Reference) -> list[Expected]:
    listed = _client().list_repo_files(
        reference.name, "model", revision=reference.revision or BRANCH
    )
    entries = {entry.path: entry for entry in listed if not entry.is_dir}
    return [
        Expected(path, entries[path].size, entries[path].sha256 or "")
        for path in select(entries, reference)
    ]


def _digest(files: Sequence[Expected]) -> str:
    lines = "".join(f"{file.path}\0{file.size}\0{file.sha256}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _client() -> Any:
    try:
        import modelscope_hub
    except ImportError:
        raise BlockedError(
            Text(
                "Models of ModelScope need the package modelscope-hub, which is not installed.",
                "下载 ModelScope 的模型需要 modelscope-hub，它没有安装。",
            ),
            installing("modelscope_hub", alone=True),
        ) from None
    # It logs every attempt to stderr, beside our own progress and errors.
    logging.getLogger("modelscope_hub").setLevel(logging.CRITICAL)
    # Named, because the client remembers for the whole process what it found there first.
    token = os.environ.get("MODELSCOPE_API_TOKEN", "").strip() or None
    return modelscope_hub.HubApi(endpoint=address(), token=token)
