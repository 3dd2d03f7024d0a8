"""`train data mix`: files with weights -> one shuffled file."""

from __future__ import annotations

import math
import random
import shlex
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from assistant.artifacts import now, sha256_of, whole_path, write_json
from assistant.errors import FailedError, UsageError
from assistant.outside import in_line
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

from .lines import conversations_of, refuse_streams, size_of
from .outputs import SIDES, refuse_replacing, side_file


@dataclass
class Mix:
    """How many rows of each file were taken."""

    out: Path
    seed: int
    files: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # kind -> files not read

    @property
    def rows(self) -> int:
        return sum(file["rows_out"] for file in self.files)

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": "mix", "out": str(self.out), "seed": self.seed, "rows_out": self.rows,
            "finished": now(), "files": self.files, "left_out": self.left_out,
        }  # fmt: skip


MOST_ROWS = 10_000_000  # each is a pair of numbers in memory
ROWS = (".jsonl", ".ndjson")
IMPORTED = (".json", ".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm", ".xls", ".parquet")
_OWN = (*SIDES, ".report.json")  # what the kit itself writes beside rows


def files_in(sources: Sequence[Path], out: Path) -> list[Path]:
    """The JSONL files of folders, and files as named. Of a folder, `out` and the side files of
    other stages are left out; a file that is named is an input even where it is `out`, so that
    `mix` refuses to write over it.

    Raises UsageError if there is none.
    """
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            found += sorted(
                file for file in source.iterdir()
                if file.suffix.lower() in ROWS and file.is_file() and not file.name.endswith(SIDES)
                and file.absolute() != out.absolute()
            )  # fmt: skip
        else:
            found.append(source)
    if not found:
        others = files_left_out(sources)
        raise UsageError(
            Text("There are no .jsonl files to mix.", "没有可混合的 .jsonl 文件。"),
            said_left_out(others)
            if others
            else Text("Name a folder or files of conversations.", "请指定对话文件或其文件夹。"),
        )
    return found


def files_left_out(sources: Sequence[Path]) -> dict[str, list[str]]:
    """What stands in the folders and is not read, by kind: an ending, or "folder" for folders with
    rows in them. What the kit itself wrote beside rows, and hidden files, are not among them."""
    left: dict[str, list[str]] = {}
    named = {source.absolute() for source in sources}
    for folder in sources:
        if not folder.is_dir():
            continue
        for item in sorted(folder.iterdir()):
            if item.name.startswith((".", "~$")) or item.name.endswith(_OWN):
                continue
            if item.is_dir():
                if item.absolute() not in named and _holds_rows(item):
                    left.setdefault("folder", []).append(str(item))
            elif (kind := item.suffix.lower()) not in ROWS:
                left.setdefault(kind or item.name, []).append(str(item))
    return left


def _holds_rows(folder: Path) -> bool:
    try:
        return any(
            item.suffix.lower() in (*ROWS, *IMPORTED)
            and not item.name.endswith((*_OWN, "lint.json"))
            for item in folder.iterdir()
        )
    except OSError:
        return False


def said_left_out(left: Mapping[str, Sequence[str]]) -> Text:
    """What is not read, and how to bring it in."""
    counts_en, counts_zh = [], []
    for kind, items in ((in_line(kind), items) for kind, items in left.items()):
        counts_en.append(f"{len(items)} {kind}" if kind != "folder" else f"{len(items)} subfolders")
        counts_zh.append(
            f"{len(items)} 个 {kind}" if kind != "folder" else f"{len(items)} 个子文件夹"
        )
    en, zh = [f"Not read: {', '.join(counts_en)}."], [f"未读取：{'、'.join(counts_zh)}。"]
    rows = [item for kind in IMPORTED for item in left.get(kind, ())]
    if rows:
        target = Path(rows[0]).parent / "imported.jsonl"
        command = f"python -m train data import {shlex.join(rows)} -o {shlex.quote(str(target))}"
        en.append(f"To bring them in: {command}")
        zh.append(f"要一并使用，请先运行：{command}")
    if folders := left.get("folder"):
        en.append(f"Name subfolders too: {shlex.join(folders)}")
        zh.append(f"子文件夹请一并写上：{shlex.join(folders)}")
    return Text("\n".join(en), "\n".join(zh))


def parse_weights(texts: Sequence[str], files: Sequence[Path]) -> dict[Path, float]:
    """The weight of each file, from `NAME=2.5`; a file that is not named has 1.

    Raises UsageError for a name that fits no file, or several, and for a weight that is no number
    from 0 on.
    """
    weights = dict.fromkeys(files, 1.0)
    for text in texts:
        name, equals, number = text.rpartition("=")
        fitting = [file for file in files if name in (file.name, file.stem, str(file))]
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not equals or not 0 <= weight < math.inf or len(fitting) != 1:
            names = ", ".join(in_line(file.name) for file in files)
            raise UsageError(
                Text(f"--weight {text!r} is not NAME=NUMBER for one of the files.",
                     f"--weight {text!r} 不是某个文件的 名称=数字。"),
                Text(f"The files are: {names}.", f"文件有：{names}。"),
            )  # fmt: skip
        weights[fitting[0]] = weight
    return weights


def mix(
    weights: Mapping[Path, float],
    out: Path,
    seed: int = 42,
    total: int | None = None,
    left_out: Mapping[str, Sequence[str]] | None = None,
    *,
    force: bool = False,
    report: Report = unreported,
) -> Mix:
    """Write the rows of the files to `out`, shuffled by `seed`.

    A weight of 2.5 takes every row twice and a drawn half of them once more; with `total`, weights
    are shares of that many rows. Each row is checked to be a conversation and copied as it is.
    Raises UsageError if one is not, FailedError if nothing would be taken.
    """
    files = list(weights)
    refuse_streams(files)
    report_file = side_file(out, "report.json")
    refuse_replacing([out, report_file], files, force)
    chooser = random.Random(seed)
    result = Mix(
        out, seed, left_out={kind: list(names) for kind, names in (left_out or {}).items()}
    )
    places = [_offsets(file, report) for file in files]
    counts = _counts(weights, [len(offsets) for offsets in places], total)
    _refuse_too_many(sum(counts))
    rows: list[tuple[int, int]] = []
    for number, (file, offsets, count) in enumerate(zip(files, places, counts, strict=True)):
        whole, rest = divmod(count, len(offsets)) if offsets else (0, 0)
        for _ in range(whole):
            rows += [(number, place) for place in range(len(offsets))]
        rows += [(number, place) for place in sorted(chooser.sample(range(len(offsets)), rest))]
        result.files.append(
            {"file": str(file), "sha256": sha256_of(file), "weight": weights[file],
             "rows_in": len(offsets), "rows_out": count if offsets else 0}
        )  # fmt: skip
    if not rows:
        raise FailedError(
            Text("Nothing would be left with these weights.", "按这些权重什么都不剩。")
        )
    chooser.shuffle(rows)
    _copy(files, places, rows, out, report)
    write_json(result.as_json(), report_file)
    return result


def _refuse_too_many(rows: int) -> None:
    if rows > MOST_ROWS:
        raise UsageError(
            Text(f"That would be {rows:,} rows; at most {MOST_ROWS:,} are mixed at a time.",
                 f"那将是 {rows:,} 行；一次最多混合 {MOST_ROWS:,} 行。"),
            Text("Name a smaller --rows, or smaller weights.", "请减小 --rows 或权重。"),
        )  # fmt: skip


def _offsets(file: Path, report: Report) -> array[int]:
    """Where each conversation of the file begins. Raises UsageError for a line that is none."""
    size = size_of(file)
    what = Text(f"Reading {in_line(file.name)}", f"正在读取 {in_line(file.name)}")
    for _ in conversations_of(file, lambda done: report(Progress(what, done, size, "B"))):
        pass
    offsets: array[int] = array("Q")
    at = 0
    with file.open("rb") as source:
        for line in source:
            if line.strip():
                offsets.append(at)
            at += len(line)
    return offsets


def _counts(weights: Mapping[Path, float], sizes: Sequence[int], total: int | None) -> list[int]:
    """How many rows to take of each file."""
    values = list(weights.values())
    if total is None:
        return [round(weight * size) for weight, size in zip(values, sizes, strict=True)]
    there = [weight if size else 0.0 for weight, size in zip(values, sizes, strict=True)]
    whole = sum(there) or 1.0
    exact = [total * weight / whole for weight in there]
    counts = [int(value) for value in exact]
    order = sorted(range(len(exact)), key=lambda at: (counts[at] - exact[at], at))
    for at in order[: total - sum(counts) if any(there) else 0]:
        counts[at] += 1
    return counts


def _copy(
    files: Sequence[Path], places: Sequence[array[int]], rows: Sequence[tuple[int, int]], out: Path,
    report: Report,
) -> None:  # fmt: skip
    what = Text(f"Writing {in_line(out.name)}", f"正在写入 {in_line(out.name)}")
    sources: list[BinaryIO] = []
    try:
        sources = [file.open("rb") for file in files]
        with whole_path(out) as partial, partial.open("wb") as target:
            for done, (number, place) in enumerate(rows, 1):
                source = sources[number]
                source.seek(places[number][place])
                line = source.readline().rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf")
                target.write(line + b"\n")
                if done % 10_000 == 0:
                    report(Progress(what, done, len(rows)))
    finally:
        for source in sources:
            source.close()
