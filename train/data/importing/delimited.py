"""Tables in text files: csv, tsv, and whatever else separates its cells by one character."""

from __future__ import annotations

import csv
import re
import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from assistant.errors import UsageError
from assistant.outside import in_line
from assistant.words import Text

from .encodings import (
    DAMAGED,
    bounded_lines,
    choose_encoding,
    open_text,
    share_read,
)
from .headers import plain_name
from .layout import LOOSE_TURNS, TURNS
from .records import EXCERPT, Columns, Dropped, Options, Reading, Record
from .tables import HEADER_WITHIN, Row, TableKind, is_header, table_records
from .values import excerpt

DELIMITERS = (",", "\t", ";", "|", "，", "；")
SNIFFED_ROWS = 50
EVEN = 0.8  # share of the rows of a table without a header that are of one width
LONGEST_LINE = 4 << 20  # characters
LONGEST_ROW = 1000  # lines; a quotation mark open for longer was never closed
_RULE = re.compile(r":?-+:?")
_EXCEL_TEXT = re.compile(r'="(.*)"', re.DOTALL)  # ="00123": how Excel keeps zeros in a csv


def delimited_records(file: Path, options: Options, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of a csv or tsv file."""
    encoding = choose_encoding(file, options.encoding, reading.details)
    with open_text(file, encoding) as source:
        sample = [line for line, _ in zip(bounded_lines(source, LONGEST_LINE), range(200))]  # noqa: B905
    declared = _declared(sample[0]) if sample else None
    delimiter = options.delimiter or declared or _delimiter(sample, file.suffix.lower(), options)
    reading.details["delimiter"] = delimiter
    filled = _filled_rows(sample, delimiter)
    if sample and not options.columns.named() and _is_prose(filled, file.suffix.lower()):
        raise plain_text(file)
    with open_text(file, encoding) as source:
        reading.share_read = share_read(source)
        lines = bounded_lines(source, LONGEST_LINE)
        if declared:
            next(lines)
        rows = _rows(lines, delimiter, first=2 if declared else 1)
        yield from table_records(rows, options, reading, TableKind(overflows=True))


def is_table(text: str, options: Options) -> bool:
    """Whether one of the first lines of a text names question and answer."""
    lines = text.splitlines(keepends=True)[:HEADER_WITHIN]
    return any(
        is_header(row, options.columns)
        for delimiter in DELIMITERS
        for row in _filled_rows(lines, delimiter)[:HEADER_WITHIN]
    )


def _is_prose(rows: list[list[str]], suffix: str) -> bool:
    """Whether rows are the lines of a text: mostly one cell, in a text file also cells that are the
    parts of sentences, and no header among them."""
    single = sum(len(row) == 1 for row in rows)
    uneven = bool(rows) and suffix == ".txt" and _evenness(rows) < EVEN
    return (uneven or single > len(rows) / 2) and not any(
        is_header(row, Columns())
        or (len(row) == 1 and plain_name(row[0]) in (*TURNS, *LOOSE_TURNS))
        for row in rows[:HEADER_WITHIN]
    )


def plain_text(file: Path) -> UsageError:
    """The error for a text that is no table."""
    return UsageError(
        Text(
            f"{in_line(file)} is plain text, not a table of questions and answers.",
            f"{in_line(file)} 是纯文本，不是问答表格。",
        ),
        Text(
            f"Questions from a text: python -m train data generate --documents {shlex.quote(str(file))}",
            f"从文本出题：python -m train data generate --documents {shlex.quote(str(file))}",
        ),
    )


def _declared(line: str) -> str | None:
    """The delimiter that Excel's first line `sep=;` declares."""
    match = re.fullmatch(r"\ufeff?sep=(.)\s*", line)
    return match[1] if match else None


def _delimiter(sample: list[str], suffix: str, options: Options) -> str:
    """The character that the header is divided by, the first of several; where no header is known,
    the one that divides the sample into rows of the same width, more than one."""
    order = ("\t", *DELIMITERS) if suffix in (".tsv", ".tab") else DELIMITERS
    filled = {delimiter: _filled_rows(sample, delimiter) for delimiter in order}
    headed = {
        delimiter: place
        for delimiter, rows in filled.items()
        if options.header and (place := _header_place(rows, options)) is not None
    }
    best = max(
        headed or order,
        key=lambda delimiter: (-headed.get(delimiter, 0), _evenness(filled[delimiter])),
    )
    return best if headed or _evenness(filled[best]) > 0 else order[0]


def _header_place(rows: list[list[str]], options: Options) -> int | None:
    """Which of the first rows names question and answer."""
    looked_at = enumerate(rows[:HEADER_WITHIN])
    return next((place for place, row in looked_at if is_header(row, options.columns)), None)


def _filled_rows(sample: list[str], delimiter: str) -> list[list[str]]:
    """The first rows of the sample that are not blank; none where it cannot be read so."""
    rows = csv.reader(sample, delimiter=delimiter)
    try:
        return [row for row in islice(rows, SNIFFED_ROWS) if any(cell.strip() for cell in row)]
    except csv.Error:
        return []


def _evenness(rows: list[list[str]]) -> float:
    """The share of rows that have the usual width; 0 where that is one cell."""
    widths = [len(row) for row in rows]
    usual = max(set(widths), key=widths.count, default=1)
    return widths.count(usual) / len(widths) if usual > 1 else 0.0


class _RunawayError(Exception):
    """A quotation mark stays open."""


class _Feed:
    """Gives lines to a csv reader, and keeps those of the row under way."""

    def __init__(self, lines: Iterable[str], first: int):
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self.row: list[str] = []
        self.number = first - 1  # of the last line given

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.row) >= LONGEST_ROW:
            raise _RunawayError
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        self.number += 1
        return line

    def at_end(self) -> bool:
        """Whether no line is left."""
        if not self._again:
            self._again.extend(islice(self._lines, 1))
        return not self._again

    def give_back(self) -> str:
        """Keep the first line of the row under way, and give the others again."""
        first, *others = self.row
        self._again.extendleft(reversed(others))
        self.number -= len(others)
        self.row = []
        return first


def _rows(lines: Iterable[str], delimiter: str, first: int) -> Iterator[Row | Dropped]:
    """Rows numbered by the line they begin on. A quotation mark that is never closed costs the
    line it stands on, not the rest of the file."""
    csv.field_size_limit(LONGEST_LINE * 2)
    feed = _Feed(lines, first)
    reader = csv.reader(feed, delimiter=delimiter)
    while True:
        feed.row = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _RunawayError:
            yield _open_quote(feed)
            reader = csv.reader(feed, delimiter=delimiter)
            continue
        except csv.Error as error:
            number = feed.number - len(feed.row) + 1
            yield Dropped(number, "broken", str(error), excerpt("".join(feed.row), EXCERPT))
            reader = csv.reader(feed, delimiter=delimiter)
            continue
        text = "".join(feed.row)
        if text.count('"') % 2 and feed.at_end() and not _closed(text, delimiter):
            yield _open_quote(feed)
            reader = csv.reader(feed, delimiter=delimiter)
            continue
        number = feed.number - len(feed.row) + 1
        if text.rstrip("\r\n").endswith(DAMAGED) and len(text) >= LONGEST_LINE:
            yield Dropped(number, "too_long", excerpt=excerpt(text, EXCERPT))
            continue
        if delimiter == "|" and text.lstrip().startswith("|"):  # a table of Markdown
            cells = [cell.strip() for cell in cells]
            if all(_RULE.fullmatch(cell) for cell in cells if cell) and any(cells):
                yield Dropped(number, "table_rule", excerpt=excerpt(text.strip(), EXCERPT))
                continue
        yield Row(number, tuple(_cell(cell) for cell in cells))


def _open_quote(feed: _Feed) -> Dropped:
    line = feed.give_back()
    return Dropped(feed.number, "open_quote", excerpt=excerpt(line, EXCERPT))


def _closed(text: str, delimiter: str) -> bool:
    """Whether the last row of a file is well quoted although its marks are odd in number."""
    try:
        list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end of data" not in str(error)
    return True


def _cell(text: str) -> str:
    match = _EXCEL_TEXT.fullmatch(text)
    return (match[1] if match else text).replace("\r\n", "\n").replace("\r", "\n")
