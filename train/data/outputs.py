"""Where the workshop's commands write: beside the result, never onto an input."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from assistant.artifacts import real_path
from assistant.errors import UsageError
from assistant.outside import in_line, legible
from assistant.words import Text

SIDES = (".dropped.jsonl", ".changes.jsonl", ".journal.jsonl")  # what stages write beside rows


def side_file(out: Path, what: str) -> Path:
    """The file beside `out` that tells of it: `wishes.dropped.jsonl` for `wishes.jsonl`. Raises
    UsageError where `out` is no file's name."""
    if not out.name:
        raise UsageError(
            Text(f"{str(out)!r} is not the name of a file.", f"{str(out)!r} 不是文件名。"),
            Text("Name a file with --out.", "请用 --out 指定一个文件。"),
        )
    return out.with_name(f"{out.stem}.{what}")


def left_over(out: Path) -> bool:
    """Whether what stands beside `out` was left by a try that came to nothing: the report tells of
    `out`, and `out` is not there."""
    try:
        told = json.loads(side_file(out, "report.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return not out.exists() and isinstance(told, dict) and told.get("out") == legible(str(out))


def refuse_replacing(outputs: Sequence[Path], inputs: Sequence[Path], force: bool) -> None:
    """Raise UsageError if an output is one of the inputs, or is there already without `force`."""
    for out in outputs:
        if not out.exists():
            continue
        if any(file.exists() and out.samefile(file) for file in inputs):
            raise UsageError(
                Text(
                    f"{in_line(out)} is an input: it is never touched.",
                    f"{in_line(out)} 是输入文件，不会改动它。",
                ),
                Text("Name another place with --out.", "请用 --out 指定别的位置。"),
            )
        if not force:
            raise UsageError(
                Text(f"{in_line(out)} is there already.", f"{in_line(out)} 已经存在。"),
                Text("Replace it with --force.", "用 --force 覆盖。"),
            )


def refuse_losing(folder: Path, own: Collection[str], inputs: Sequence[Path]) -> None:
    """Raise UsageError if replacing `folder` would lose anything but files called as in `own`, or
    one of the inputs."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(
            Text(f"{in_line(folder)} is a file; a folder is written here.", f"{in_line(folder)} 是文件，这里要写的是文件夹。"),
            Text("Name another place with --out.", "请用 --out 指定别的位置。"),
        )  # fmt: skip
    inside = real_path(folder)
    lost = [item.name for item in folder.iterdir() if item.name not in own]
    lost += [file.name for file in inputs if real_path(file).parent == inside]
    if lost:
        raise UsageError(
            Text(f"{in_line(folder)} also holds {in_line(lost[0])}, which would be lost.",
                 f"{in_line(folder)} 里还有 {in_line(lost[0])}，会因此丢失。"),
            Text("Name another folder with --out.", "请用 --out 指定别的文件夹。"),
        )  # fmt: skip


MAKE_DATA = Text("Make it: python -m train data identity", "先生成：python -m train data identity")
MAKE_DATA_AGAIN = Text("Make it again: python -m train data identity --force",
                       "请重新生成：python -m train data identity --force")  # fmt: skip


def make_data(folder: Path) -> Text:
    """What makes a run's data where a file of it is missing: over what is there, if anything is."""
    return MAKE_DATA_AGAIN if folder.exists() else MAKE_DATA
