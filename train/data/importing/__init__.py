"""`train data import`: any of the field's files -> conversations, one a line.

Rows in = rows out + rows reported, always; what is left out stands in a side file with its row
number and the reason.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from assistant.artifacts import whole_file, write_json
from assistant.conversation import Conversation
from assistant.errors import FailedError
from assistant.outside import in_line, legible
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

from ..lines import refuse_streams, size_of
from ..outputs import left_over, refuse_replacing, side_file
from .encodings import DAMAGED
from .headers import plain_name
from .kinds import Reader, reader_of
from .layout import CHOSEN
from .marks import LOOKED_AT, Evidence, evidence_of
from .records import (
    CURES,
    EXCERPT,
    FINAL,
    NOTES,
    REASONS,
    Columns,
    Dropped,
    Options,
    Reading,
    Record,
    UnusableError,
)
from .report import FileCounts, ImportReport, printable
from .shapes import SHAPES, Shaped, shape
from .values import excerpt

__all__ = [
    "CURES", "NOTES", "REASONS", "SHAPES", "Columns", "ImportReport", "Options", "import_files", "read_file",
]  # fmt: skip

SAID_EVERY = 2000  # rows


def import_files(
    files: Sequence[Path],
    out: Path,
    options: Options | None = None,
    *,
    force: bool = False,
    report: Report = unreported,
) -> ImportReport:
    """Write the conversations of `files` to `out`, what was left out to `<out>.dropped.jsonl`, and
    the counts to `<out>.report.json`.

    Raises UsageError for a file that is not there or of no known kind, or if `out` exists without
    `force`; FailedError if not one conversation was found (the side file tells why).
    """
    refuse_streams(files)
    result = ImportReport(out, side_file(out, "dropped.jsonl"))
    report_file = side_file(out, "report.json")
    refuse_replacing([out, result.dropped_file, report_file], files, force or left_over(out))
    options = options or Options()
    readers = [(file, reader_of(file, options)) for file in files]
    started = time.monotonic()
    with whole_file(out) as rows:
        with whole_file(result.dropped_file) as left_out:
            for file, (kind, reader) in readers:
                counts = FileCounts(str(file), kind, size=size_of(file))
                result.files.append(counts)
                what = Text(f"Reading {in_line(file.name)}", f"正在读取 {in_line(file.name)}")
                for _, item in _shaped(file, reader, options, counts):
                    if isinstance(item, Conversation):
                        rows.write(item.line() + "\n")
                    else:
                        left_out.write(json.dumps(item, ensure_ascii=False) + "\n")
                    if (counts.rows_in - 1) % SAID_EVERY == 0:
                        report(Progress(what, counts.read(), counts.size, "B"))
        result.seconds = time.monotonic() - started
        write_json(result.as_json(), report_file)
        if not result.rows_out:
            raise _nothing(result)
    return result


def read_file(
    file: Path, options: Options | None = None
) -> Iterator[tuple[int, Conversation | dict[str, Any]]]:
    """The conversations of one file of any known kind; a dict for each row that is left out. Each
    with the row's number, as a person would look it up in the file."""
    options = options or Options()
    kind, reader = reader_of(file, options)
    yield from _shaped(file, reader, options, FileCounts(str(file), kind))


def _shaped(
    file: Path, reader: Reader, options: Options, counts: FileCounts
) -> Iterator[tuple[int, Conversation | dict[str, Any]]]:
    """Conversations and left-out rows of a file with their numbers, counted."""
    reading = Reading(counts.format)
    counts.outside = reading.outside
    rows = reader(file, options, reading)
    first = deque(islice(rows, LOOKED_AT))
    evidence = _evidence(first, reading)
    for item in chain(_taken_from(first), rows):
        counts.format, counts.details = reading.format, reading.details
        counts.share_read = reading.share_read
        number = item.rows if isinstance(item, Dropped) else 1
        counts.count(number, item.place)
        outcome = item if isinstance(item, Dropped) else _try_shape(item, options, evidence)
        if isinstance(outcome, Dropped):
            counts.drop(outcome.reason, outcome.detail, number)
            counts.whole = counts.whole and not outcome.fatal
            yield item.number, _as_line(file, outcome)
            continue
        counts.rows_out += 1
        counts.shapes[outcome.shape] += 1
        counts.read_as[outcome.read] += 1
        if outcome.notes:
            counts.notes.update(outcome.notes)
        if outcome.unused:
            counts.not_used.update(outcome.unused)
        yield item.number, outcome.conversation
    counts.format, counts.details = reading.format, reading.details


def _taken_from(first: deque[Record | Dropped]) -> Iterator[Record | Dropped]:
    """Each item, and then no longer kept."""
    while first:
        yield first.popleft()


def _evidence(first: Iterable[Record | Dropped], reading: Reading) -> Evidence:
    """What the first rows of a file show of its marks."""
    columns = reading.details.get("columns") or {}
    pairs = any(plain_name(str(name)) in CHOSEN for name in columns.values())
    return evidence_of((item for item in first if isinstance(item, Record)), pairs)


def _try_shape(record: Record, options: Options, evidence: Evidence) -> Shaped | Dropped:
    try:
        shaped = shape(record, options, evidence)
        whole = "".join(message.content for message in shaped.conversation.messages)
        if DAMAGED in whole or "\0" in whole:
            raise UnusableError("characters")
        whole.encode("utf-8")
        if shaped.conversation.meta:
            json.dumps(shaped.conversation.meta, ensure_ascii=False).encode("utf-8")
    except UnusableError as error:
        return _dropped(record, error.reason, error.detail)
    except ValueError:  # pydantic and UTF-8 refuse halves of surrogate pairs
        return _dropped(record, "characters")
    return shaped


def _dropped(record: Record, reason: str, detail: str = "") -> Dropped:
    value = {**record.value, **record.others} if record.others else record.value
    return Dropped(record.number, reason, detail, excerpt(value, EXCERPT), place=record.place)


def _as_line(file: Path, dropped: Dropped) -> dict[str, Any]:
    line: dict[str, Any] = {
        "file": legible(str(file)),
        "row": dropped.number,
        "reason": dropped.reason,
    }
    if dropped.place:
        line["place"] = printable(dropped.place)
    if dropped.rows > 1:
        line["rows"] = dropped.rows
    if dropped.detail:
        line["detail"] = excerpt(dropped.detail, EXCERPT)
    if dropped.fatal:
        line["rest_not_read"] = True
    if dropped.excerpt:
        line["value"] = dropped.excerpt
    return line


def _nothing(result: ImportReport) -> FailedError:
    if not result.rows_in:
        return _no_rows(result)
    said = result.text(cures=False)
    (reason, _), *_ = result.dropped.most_common()
    if not result.whole:
        cure = Text(
            "The file is damaged; fetch or save it again.", "文件已损坏，请重新获取或另存。"
        )
    elif reason in FINAL:
        cure = Text(
            "Nothing in it can be learned here: import a file with questions and answers in words.",
            "其中没有可学的内容：请导入用文字写成问答的文件。",
        )
    else:
        cure = result.cure(reason) or Text(
            "Say which columns hold what, e.g. --question B --answer C, or --shape.",
            "请指明各列的含义，例如 --question B --answer C，或用 --shape。",
        )
    return FailedError(
        Text(
            f"No conversation was found. {said.en}\nEvery row and its reason: {in_line(result.dropped_file)}",
            f"没有得到任何对话。{said.zh}\n每一行及原因：{in_line(result.dropped_file)}",
        ),
        cure,
    )


def _no_rows(result: ImportReport) -> FailedError:
    files = ", ".join(in_line(file.file) for file in result.files)
    beside = "; ".join(str(file.text()).strip() for file in result.files if file.outside)
    return FailedError(
        Text(
            "The file holds no rows: " + (beside or files) + ".",
            "文件里没有数据行：" + (beside or files) + "。",
        ),
        Text(
            "Name a file with questions and answers; the shapes that are read: docs/data-shapes.md",
            "请指定含有问答的文件；可读取的格式见 docs/data-shapes.md",
        ),
    )
