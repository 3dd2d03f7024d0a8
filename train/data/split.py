"""`train data split`: rows to train on and rows held out, without a paraphrase on both sides."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assistant.artifacts import (
    MANIFEST_FILE,
    Manifest,
    library_versions,
    now,
    sha256_of,
    whole_folder,
    write_manifest,
)
from assistant.errors import FailedError, UsageError
from assistant.outside import in_line
from assistant.progress import Progress, Report, unreported
from assistant.run import PROBES_FILE, TRAIN_FILE, VALID_FILE
from assistant.words import Text

from .keys import asked, cell
from .lines import conversations_of, refuse_streams, size_of
from .outputs import refuse_losing
from .text.near import essence, near_groups


@dataclass(frozen=True)
class Split:
    """What went where. A group is a question with its paraphrases."""

    folder: Path
    rows: int
    train: int
    valid: int
    groups: int
    largest_group: int

    def as_json(self) -> dict[str, Any]:
        return {"stage": "split"} | asdict(self) | {"folder": str(self.folder)}


def parse_ratio(text: str) -> float:
    """The held-out share of a ratio such as `7:3`. Raises UsageError."""
    try:
        train, valid = (float(part) for part in text.replace("：", ":").split(":"))
        if train > 0 and valid > 0:
            return valid / (train + valid)
    except ValueError:
        pass
    raise UsageError(
        Text(
            f"--ratio {text!r} is not two numbers such as 7:3.",
            f"--ratio {text!r} 不是 7:3 这样的两个数。",
        )
    )


def split(
    files: Sequence[Path],
    folder: Path,
    held_out: float = 0.3,
    seed: int = 42,
    *,
    force: bool = False,
    report: Report = unreported,
) -> Split:
    """Write `train.jsonl`, `valid.jsonl` and a manifest into `folder`; lines stay as they are.

    Rows whose questions are equal or nearly equal go to one side. Which side depends on the seed
    and on the question alone, not on the order of rows.
    Raises UsageError for a line that is no conversation or a `folder` that is there already,
    FailedError if there are not two groups to separate.
    """
    refuse_streams(files)
    started = now()
    if force:
        refuse_losing(folder, (TRAIN_FILE, VALID_FILE, MANIFEST_FILE, PROBES_FILE), files)
    with whole_folder(folder, force=force) as out:
        questions: list[str] = []
        labels = []
        for file in files:
            total = size_of(file)
            what = Text(f"Reading {in_line(file.name)}", f"正在读取 {in_line(file.name)}")
            for row in conversations_of(
                file,
                lambda done, what=what, total=total: report(Progress(what, done, total, "B")),  # type: ignore[misc]
            ):
                questions.append(asked(row.conversation))
                labels.append(cell(row.conversation.meta))
        groups = near_groups(questions, apart=labels, report=report).first.tolist()
        valid = held_out_groups(questions, groups, held_out, seed)
        counts = _write(files, out, [group in valid for group in groups])
        sizes: dict[int, int] = defaultdict(int)
        for group in groups:
            sizes[group] += 1
        result = Split(
            folder, len(questions), counts[0], counts[1], len(sizes), max(sizes.values(), default=0)
        )
        if not (result.train and result.valid):
            raise _nothing_to_separate(result)
        write_manifest(
            out,
            Manifest(
                stage="data",
                inputs={file.name: sha256_of(file) for file in files},
                settings={"held_out": held_out},
                seed=seed,
                libraries=library_versions("rensa", "rapidfuzz"),
                started=started,
                finished=now(),
                notes={key: value for key, value in result.as_json().items() if key != "folder"},
            ),
        )
    return result


def held_out_groups(
    questions: Sequence[str], groups: Sequence[int], share: float, seed: int
) -> set[int]:
    """The groups to hold out: drawn by seed until the share is reached, none that overshoots it."""
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)

    def drawn(group: int) -> bytes:
        key = min(essence(questions[place]) for place in members[group])
        return hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest()

    wanted = share * len(questions)
    chosen: set[int] = set()
    taken = 0
    for group in sorted(members, key=drawn):
        size = len(members[group])
        if taken + size <= wanted + 0.5:
            chosen.add(group)
            taken += size
    return chosen


def _write(files: Sequence[Path], folder: Path, valid: Sequence[bool]) -> tuple[int, int]:
    """Copy each row to its side, byte by byte; returns the numbers of rows."""
    from .lines import raw_lines

    sides = iter(valid)
    counts = [0, 0]
    with (folder / TRAIN_FILE).open("wb") as train, (folder / VALID_FILE).open("wb") as held:
        for file in files:
            for _, line in raw_lines(file):
                side = next(sides)
                counts[side] += 1
                (held if side else train).write(
                    line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf") + b"\n"
                )
    return counts[0], counts[1]


def _nothing_to_separate(result: Split) -> FailedError:
    return FailedError(
        Text(
            f"{result.rows} rows make {result.groups} groups of alike questions, the largest of "
            f"{result.largest_group}: they cannot be separated at this ratio.",
            f"{result.rows} 行只有 {result.groups} 组不同的问题，最大一组 {result.largest_group} 行："
            "按这个比例无法分开。",
        ),
        Text("Add rows with other questions.", "请加入其他问题的数据。"),
    )
