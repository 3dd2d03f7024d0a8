"""Where the workshop's commands write: beside the result, never onto an input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assistant.errors import UsageError
from assistant.words import Text


def side_file(out: Path, what: str) -> Path:
    """The file beside `out` that tells of it: `wishes.dropped.jsonl` for `wishes.jsonl`."""
    return out.with_name(f"{out.stem}.{what}")


def refuse_replacing(outputs: Sequence[Path], inputs: Sequence[Path], force: bool) -> None:
    """Raise UsageError if an output is one of the inputs, or is there already without `force`."""
    for out in outputs:
        if not out.exists():
            continue
        if any(file.exists() and out.samefile(file) for file in inputs):
            raise UsageError(
                Text(f"{out} is an input: it is never touched.", f"{out} 是输入文件，不会改动它。"),
                Text("Name another place with --out.", "请用 --out 指定别的位置。"),
            )
        if not force:
            raise UsageError(
                Text(f"{out} is there already.", f"{out} 已经存在。"),
                Text("Replace it with --force.", "用 --force 覆盖。"),
            )
