"""`train data import`: any of the field's files -> conversations, one a line.

Rows in = rows out + rows reported, always; what is left out stands in a side file with its row
number and the reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant.artifacts import whole_file, write_json
from assistant.conversation import Conversation
from assistant.errors import FailedError, UsageError
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

from ..lines import cannot_read, size_of
from ..outputs import left_over, refuse_replacing, side_file
from .encodings import DAMAGED
from .records import (
    EXCERPT,
    NOTES,
    REASONS,
    Columns,
    Dropped,
    Options,
    Reading,
    Record,
    UnusableError,
)
from .report import FileCounts, ImportReport
from .shapes import SHAPES, Shaped, shape
from .values import excerpt

__all__ = [
    "NOTES", "REASONS", "SHAPES", "Columns", "ImportReport", "Options", "import_files", "read_file",
]  # fmt: skip

Reader = Callable[[Path, Options, Reading], Iterator[Record | Dropped]]
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
    result = ImportReport(out, side_file(out, "dropped.jsonl"))
    report_file = side_file(out, "report.json")
    refuse_replacing([out, result.dropped_file, report_file], files, force or left_over(out))
    readers = [(file, _reader(file)) for file in files]
    started = time.monotonic()
    with whole_file(out) as rows:
        with whole_file(result.dropped_file) as left_out:
            for file, (kind, reader) in readers:
                counts = FileCounts(str(file), kind, size=size_of(file))
                result.files.append(counts)
                what = Text(f"Reading {file.name}", f"正在读取 {file.name}")
                for _, item in _shaped(file, reader, options or Options(), counts):
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
    kind, reader = _reader(file)
    yield from _shaped(file, reader, options or Options(), FileCounts(str(file), kind))


def _shaped(
    file: Path, reader: Reader, options: Options, counts: FileCounts
) -> Iterator[tuple[int, Conversation | dict[str, Any]]]:
    """Conversations and left-out rows of a file with their numbers, counted."""
    reading = Reading(counts.format)
    for item in reader(file, options, reading):
        counts.format, counts.details = reading.format, reading.details
        counts.share_read = reading.share_read
        rows = item.rows if isinstance(item, Dropped) else 1
        counts.rows_in += rows
        outcome = item if isinstance(item, Dropped) else _try_shape(item, options)
        if isinstance(outcome, Dropped):
            counts.dropped[outcome.reason] += rows
            counts.whole = counts.whole and not outcome.fatal
            yield item.number, _as_line(file, outcome)
            continue
        counts.rows_out += 1
        counts.shapes[outcome.shape] += 1
        counts.notes.update(outcome.notes)
        yield item.number, outcome.conversation


def _try_shape(record: Record, options: Options) -> Shaped | Dropped:
    try:
        shaped = shape(record.value, options)
        whole = "".join(message.content for message in shaped.conversation.messages)
        if DAMAGED in whole or "\0" in whole:
            raise UnusableError("characters")
        whole.encode("utf-8")
        if shaped.conversation.meta:
            json.dumps(shaped.conversation.meta, ensure_ascii=False).encode("utf-8")
    except UnusableError as error:
        shown = excerpt(record.value, EXCERPT)
        return Dropped(record.number, error.reason, error.detail, shown)
    except ValueError:  # pydantic and UTF-8 refuse halves of surrogate pairs
        return Dropped(record.number, "characters", "", excerpt(record.value, EXCERPT))
    return shaped


def _as_line(file: Path, dropped: Dropped) -> dict[str, Any]:
    line: dict[str, Any] = {"file": str(file), "row": dropped.number, "reason": dropped.reason}
    if dropped.rows > 1:
        line["rows"] = dropped.rows
    if dropped.detail:
        line["detail"] = excerpt(dropped.detail, EXCERPT)
    if dropped.fatal:
        line["rest_not_read"] = True
    if dropped.excerpt:
        line["value"] = dropped.excerpt
    return line


def _reader(file: Path) -> tuple[str, Reader]:
    """The kind of a file, by its first bytes and then its name. Raises UsageError."""
    try:
        with file.open("rb") as source:
            head = source.read(4096)
    except OSError as error:
        raise cannot_read(file, error) from None
    from .delimited import delimited_records
    from .json_files import json_records
    from .parquet_files import parquet_records
    from .spreadsheet import spreadsheet_records

    if head.startswith(b"PAR1"):
        return "parquet", parquet_records
    if head.startswith(b"PK\x03\x04"):
        return "xlsx", spreadsheet_records
    suffix = file.suffix.lower()
    if suffix in (".json", ".jsonl", ".ndjson") or (
        suffix == "" and head.lstrip()[:1] in (b"{", b"[")
    ):
        return "json", json_records
    if suffix in (".csv", ".tsv", ".tab", ".txt"):
        return suffix.lstrip("."), delimited_records
    if suffix in (".xlsx", ".xlsm"):
        return "xlsx", spreadsheet_records
    raise _unknown_kind(file, head)


def _unknown_kind(file: Path, head: bytes) -> UsageError:
    old = head.startswith(b"\xd0\xcf\x11\xe0")
    what = Text(" (the old xls format)", "（旧的 xls 格式）") if old else Text("", "")
    return UsageError(
        Text(f"{file} is of no kind known here{what.en}.", f"{file} 不是可识别的类型{what.zh}。"),
        Text(
            "Save it as xlsx, csv, tsv, json, jsonl or parquet. For questions from a text or PDF: "
            "python -m train data generate --documents FILE",
            "请另存为 xlsx、csv、tsv、json、jsonl 或 parquet。要从文档或 PDF 出题："
            "python -m train data generate --documents 文件",
        ),
    )


def _nothing(result: ImportReport) -> FailedError:
    said = result.text()
    if not result.rows_in:
        cure = Text("The file holds no rows.", "文件里没有数据行。")
    elif not result.whole:
        cure = Text(
            "The file is damaged; fetch or save it again.", "文件已损坏，请重新获取或另存。"
        )
    else:
        cure = Text(
            "Say which columns hold what, e.g. --question B --answer C, or --shape.",
            "请指明各列的含义，例如 --question B --answer C，或用 --shape。",
        )
    return FailedError(
        Text(
            f"No conversation was found. {said.en}\nEvery row and its reason: {result.dropped_file}",
            f"没有得到任何对话。{said.zh}\n每一行及原因：{result.dropped_file}",
        ),
        cure,
    )
