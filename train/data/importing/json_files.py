"""json, jsonl, and the `.jsonL` that holds one JSON array: told apart by content, not by name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from .containers import JsonRows, records_of
from .encodings import (
    bounded_lines,
    choose_encoding,
    open_text,
    share_read,
)
from .json_stream import (
    DECODER,
    MOST_READ_AGAIN,
    BrokenError,
    JsonStream,
    TooLongError,
    blanked,
    comment_at,
)
from .records import EXCERPT, Dropped, Options, Reading, Record
from .tables import Row, table_records
from .values import excerpt, text_of

LONGEST_LINE = 16 << 20  # characters
LOOKED_AT = 1 << 16  # characters
_COMMENT = ("//", "#", "/*")  # JSON knows none, and people write them
_SPACE = "\ufeff \t\r\n"


def json_records(file: Path, options: Options, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of a JSON file of any build: an array, objects one a line or one after another,
    and objects that hold arrays of them."""
    encoding = choose_encoding(file, options.encoding, reading.details)
    with open_text(file, encoding) as source:
        by_line, alone = _is_by_line(source)
    reading.format = "jsonl" if by_line and not (alone and file.suffix == ".json") else "json"
    with open_text(file, encoding) as source:
        table = _is_table(source, by_line)
    with open_text(file, encoding) as source:
        reading.share_read = share_read(source)
        if table:
            yield from table_records(_table_rows(source, by_line), options, reading)
        elif by_line:
            yield from _by_line(source, reading.outside, alone)
        else:
            stream = JsonStream(source, LONGEST_LINE)
            yield from JsonRows(stream, reading.outside)
            if stream.comments:
                reading.outside["comments"] += stream.comments


def _is_by_line(source: TextIO) -> tuple[bool, bool]:
    """Whether each filled line is a value of its own, and whether there is one line only."""
    filled = _uncommented(bounded_lines(source, LOOKED_AT))
    first = _bare(next(filled, ""))[0].strip()
    if _parses(first):
        alone = next(filled, None) is None
        return first.startswith("{") or not alone, alone
    if first.startswith("[") or first.endswith(("{", "[", ",")):
        return False, False
    # A damaged first line does not make the file something else: the next ones tell.
    told = any(line.startswith("{") and _parses(line) for line in islice(filled, 5))
    return told, False


def _is_table(source: TextIO, by_line: bool) -> bool:
    """Whether the first value is a row of cells, as [["question", "answer"], ["a?", "A"]] has."""
    stream = JsonStream(source, LONGEST_LINE)
    try:
        if not by_line and stream.peek() == "[":
            stream.step()
        return stream.peek() == "[" and _is_cells(stream.value())
    except ValueError:
        return False


def _is_cells(value: Any) -> bool:
    """Whether a list holds the cells of a row: two or more, and texts among them."""
    scalars = (str, int, float, type(None))
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(cell, scalars) for cell in value)
        and any(isinstance(cell, str) and cell.strip() for cell in value)
    )


def _table_rows(source: TextIO, by_line: bool) -> Iterator[Row | Dropped]:
    """The rows of arrays of cells: all in one array, or one a line."""
    stream = JsonStream(source, LONGEST_LINE)
    number = 0
    try:
        if by_line:
            while stream.peek():
                number += 1
                yield _table_row(stream.value(), number)
        else:
            stream.peek()
            for _ in stream.items():
                number += 1
                yield _table_row(stream.value(), number)
    except BrokenError as error:
        shown = excerpt(error.shown, EXCERPT)
        yield Dropped(number + 1, "broken", str(error), shown, fatal=True)
    except TooLongError:
        yield Dropped(number + 1, "too_long", fatal=True)


def _table_row(value: Any, number: int) -> Row | Dropped:
    if not isinstance(value, list) or any(isinstance(cell, (list, dict)) for cell in value):
        return Dropped(number, "not_object", excerpt=excerpt(value, EXCERPT))
    return Row(number, tuple(cell if isinstance(cell, str) else text_of(cell) for cell in value))


def _uncommented(lines: Iterator[str]) -> Iterator[str]:
    """The filled lines, without comments before their first value, or in their place."""
    inside = False
    for line in lines:
        text = line.strip(_SPACE)
        if inside:
            _, closed, text = text.partition("*/")
            inside = not closed
            text = text.strip(_SPACE)
        while text.startswith(_COMMENT) and (comment := comment_at(text, 0)):
            inside = text.startswith("/*") and not text[: comment[1]].endswith("*/")
            text = text[comment[1] :].strip(_SPACE)
        if text:
            yield text


def _parses(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _by_line(source: TextIO, outside: Counter[str], alone: bool) -> Iterator[Record | Dropped]:
    blank: Dropped | None = None
    inside = False  # a comment that goes on
    for number, line in enumerate(bounded_lines(source, LONGEST_LINE), 1):
        text = line.strip(_SPACE)
        if inside and not text.startswith(("{", "[")):
            inside = "*/" not in text
            yield Dropped(number, "comment", excerpt=excerpt(text, EXCERPT))
            continue
        inside = text.startswith("/*") and "*/" not in text
        if not text:
            blank = blank._replace(rows=blank.rows + 1) if blank else Dropped(number, "blank")
            continue
        if blank:
            yield blank
            blank = None
        yield from _records(number, text, outside, alone)


def _records(
    number: int, text: str, outside: Counter[str], alone: bool
) -> Iterator[Record | Dropped]:
    if len(text) >= LONGEST_LINE:
        yield Dropped(number, "too_long", excerpt=excerpt(text, EXCERPT))
        return
    try:
        value, comments = _decoded(text)
    except RecursionError:
        yield Dropped(number, "broken", "nested too deeply", excerpt(text, EXCERPT))
    except json.JSONDecodeError as error:
        if text.startswith(_COMMENT):
            yield Dropped(number, "comment", excerpt=excerpt(text, EXCERPT))
            return
        said = f"{error.msg}: line {number} column {error.colno}"
        yield Dropped(number, "broken", said, excerpt(text, EXCERPT))
    except ValueError as error:
        yield Dropped(number, "broken", str(error), excerpt(text, EXCERPT))
    else:
        if comments:
            outside["comments"] += comments
        yield from records_of(value, number, outside, alone=alone)


def _decoded(text: str) -> tuple[Any, int]:
    """The value of a line, and how many comments stood in it or behind it."""
    try:
        return DECODER.decode(text), 0
    except json.JSONDecodeError:
        bare, comments = _bare(text)
        if not comments or not bare.strip():
            raise
        return DECODER.decode(bare), comments


def _bare(text: str) -> tuple[str, int]:
    """The text with its comments as spaces, as far as it is JSON, and how many they were."""
    comments = again = 0
    while again <= MOST_READ_AGAIN:
        try:
            DECODER.decode(text)
            break
        except json.JSONDecodeError as error:
            comment = comment_at(text, error.pos)
            if comment is None:
                break
            text = blanked(text, *comment)
            comments += 1
            again += len(text)
        except (ValueError, RecursionError):
            break
    return text, comments
