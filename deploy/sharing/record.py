"""`runs/R/deploy.json`: what was shared where, with hashes. No tokens, no paths of this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from assistant import __version__
from assistant.artifacts import whole_file
from assistant.errors import UsageError
from assistant.run import Run
from assistant.words import Text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SharedFile(_Part):
    """A file as it was verified on the hub."""

    size: int
    sha256: str
    git_sha1: str = ""  # where the hub keeps it in git itself


class Shared(_Part):
    """One thing that was shared: its newest state."""

    target: str
    what: str
    kind: str
    url: str
    repository: str = ""  # an OpenXLab app's on GitHub, where that is not called as the app
    commit: str
    visibility: str
    check: str
    kit_version: str = __version__
    shared: str  # ISO 8601, UTC
    files: dict[str, SharedFile]


class ShareRecord(_Part):
    """The whole file."""

    shared: tuple[Shared, ...] = ()

    def find(self, target: str) -> Shared | None:
        return next((one for one in self.shared if one.target == target), None)


def read_record(run: Run) -> ShareRecord:
    """What was shared of a run. Raises UsageError for a file that is not ours."""
    file = run.share_record
    try:
        return ShareRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return ShareRecord()
    except (OSError, ValidationError):
        raise UsageError(
            Text(f"{file} cannot be read.", f"无法读取 {file}。"),
            Text("Share again; move that file away first.", "请移走这个文件后重新分享。"),
        ) from None


def note_shared(run: Run, shared: Shared) -> Path:
    """Write `shared` into the record, in place of what was known of the same target."""
    others = [
        one for one in read_record(run).shared
        if (one.target, one.what) != (shared.target, shared.what)
    ]  # fmt: skip
    file = run.share_record
    with whole_file(file) as out:
        out.write(ShareRecord(shared=(*others, shared)).model_dump_json(indent=2) + "\n")
    return file
