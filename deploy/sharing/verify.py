"""What lies on the hub against what was sent, file by file, by the hub's own hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from assistant.errors import FailedError
from assistant.models.verify import Expected
from assistant.words import Text

from ..hubs.base import Listing
from ..stage import StagedFile
from .record import SharedFile

Problem = Literal["missing", "differs", "damaged"]


@dataclass(frozen=True)
class Mismatch:
    """A file that is not on the hub as it was sent."""

    path: str
    problem: Problem
    detail: str

    def text(self) -> Text:
        en, zh = {
            "missing": ("not there", "不在那里"),
            "differs": ("differs", "不一致"),
            "damaged": ("what is delivered differs", "下载到的内容不一致"),
        }[self.problem]
        return Text(
            f"{self.path}: {en} {self.detail}".strip(), f"{self.path}：{zh} {self.detail}".strip()
        )


def same(file: StagedFile, there: Expected) -> bool:
    """Whether a staged file is the one on the hub, by size and the hash that the hub gives."""
    if there.size is not None and there.size != file.size:
        return False
    if there.sha256:
        return there.sha256 == file.sha256
    return bool(there.git_sha1) and there.git_sha1 == file.git_sha1()


def as_shared(file: StagedFile, there: Expected | None) -> SharedFile:
    """What the record keeps of a file, so that it can be verified without the run."""
    git_sha1 = file.git_sha1() if there is not None and not there.sha256 else ""
    return SharedFile(size=file.size, sha256=file.sha256, git_sha1=git_sha1)


def compare(files: Mapping[str, SharedFile], listing: Listing) -> list[Mismatch]:
    """Every recorded file that the hub lacks or has otherwise."""
    found = []
    for path, file in files.items():
        there = listing.get(path)
        if there is None:
            found.append(Mismatch(path, "missing", ""))
        elif there.size is not None and there.size != file.size:
            found.append(Mismatch(path, "differs", f"({there.size:,} B ≠ {file.size:,} B)"))
        elif there.sha256 and there.sha256 != file.sha256:
            found.append(
                Mismatch(path, "differs", f"(sha256 {there.sha256[:12]} ≠ {file.sha256[:12]})")
            )
        elif not there.sha256 and there.git_sha1 != file.git_sha1:
            found.append(
                Mismatch(path, "differs", f"(git {there.git_sha1[:12]} ≠ {file.git_sha1[:12]})")
            )
    return found


def refuse_mismatches(target: str, found: list[Mismatch]) -> None:
    """Raise FailedError naming every file that is not as it was sent."""
    if not found:
        return
    texts = [one.text() for one in found]
    raise FailedError(
        Text(f"{target} is not what was sent:\n" + "\n".join(f"  {text.en}" for text in texts),
             f"{target} 与发送的不一致：\n" + "\n".join(f"  {text.zh}" for text in texts)),
        Text("Share it again: only what differs is sent.", "请重新分享：只会发送不一致的文件。"),
    )  # fmt: skip
