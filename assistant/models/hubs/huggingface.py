"""Models of the Hugging Face Hub or a mirror of it (HF_ENDPOINT), by huggingface_hub.

Works with huggingface_hub 1.16 to 2.x. A private model needs HF_TOKEN or the hub's own login.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from ...progress import Report
from ...words import Text
from ..cache import Download
from ..failures import room_for, without_secrets
from ..reference import Reference
from ..selection import select
from ..verify import Expected, verify
from ..watch import bytes_in, watched

DEFAULT_ENDPOINT = "https://huggingface.co"
LARGE = 16 << 20  # bytes from which on a file is fetched so that it can go on after a kill


def address() -> str:
    # huggingface_hub reads the variable once, at its import; so it is handed over each time.
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def resolve(reference: Reference) -> str:
    """The commit that the reference means now."""
    return str(_info(reference, reference.revision or None).sha)


def download(reference: Reference, revision: str, partial: Path, report: Report) -> Download:
    """Fetch the usable files of a commit; each is checked by the hub's own hash."""
    files = _files(reference, revision)
    total = sum(file.size or 0 for file in files)
    folder = partial / reference.name.rsplit("/", 1)[-1]
    room_for(total - bytes_in(folder), folder)
    what = Text(f"Downloading {reference}", f"下载 {reference}")
    with watched(folder, what, total, report):
        _get(reference.name, revision, files, folder)
    return Download(
        revision,
        verify(folder, files, report),
        licence=_licence(_info(reference, revision)),
        origin=f"{without_secrets(address())}/{reference.name}",
    )


def _info(reference: Reference, revision: str | None) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=address()).model_info(reference.name, revision=revision)


def _licence(info: Any) -> str:
    named = getattr(info.card_data, "license", None)
    return ", ".join(named) if isinstance(named, list) else str(named or "")


def _files(reference: Reference, revision: str) -> list[Expected]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    tree = HfApi(endpoint=address()).list_repo_tree(
        reference.name, recursive=True, revision=revision
    )
    entries = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    return [expected_of(entries[path]) for path in select(entries, reference)]


def expected_of(entry: Any) -> Expected:
    """A `RepoFile` of the hub's listing, with the hash that the hub keeps of it."""
    if entry.lfs is not None:
        return Expected(entry.path, entry.lfs.size, sha256=entry.lfs.sha256)
    return Expected(entry.path, entry.size, git_sha1=entry.blob_id)


def _get(name: str, revision: str, files: list[Expected], folder: Path) -> None:
    """Bring all files into `folder`: the many small ones by the client, large ones so they resume.

    From 2.0 on huggingface_hub begins a file that was cut off from its start again, over plain
    HTTP and Xet alike; on a line that breaks now and then a large file would never arrive.
    """
    from huggingface_hub import hf_hub_url, snapshot_download

    from .resume import fetch_file

    small = [file.path for file in files if (file.size or 0) < LARGE]
    if small:
        snapshot_download(
            name,
            revision=revision,
            local_dir=folder,
            allow_patterns=[glob.escape(path) for path in small],
            endpoint=address(),
            max_workers=4,
            tqdm_class=_silent_bars(),
        )
    for file in files:
        if (file.size or 0) >= LARGE:
            url = hf_hub_url(name, file.path, revision=revision, endpoint=address())
            fetch_file(url, folder / file.path, file)


def _silent_bars() -> Any:
    """A tqdm class that draws nothing: progress is told by `watched`."""
    from tqdm.auto import tqdm

    class Silent(tqdm):  # type: ignore
        def __init__(self, *args: Any, **options: Any):
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})

    return Silent
