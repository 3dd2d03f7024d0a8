"""Rows of cells -> records: the header row found, columns named, blank rows told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from assistant.errors import UsageError
from assistant.words import Text

from . import headers
from .records import EXCERPT, Columns, Dropped, Options, Reading, Record
from .values import excerpt

HEADER_WITHIN = 20  # filled rows in which a header is looked for


class Row(NamedTuple):
    """A row of a table. `problems` maps a column number to a reason in REASONS; `rows` counts
    the blank rows that one stands for."""

    number: int
    cells: tuple[str, ...]
    problems: Mapping[int, str] = MappingProxyType({})
    rows: int = 1

    @property
    def blank(self) -> bool:
        return not self.problems and not any(cell.strip() for cell in self.cells)


class _Header(NamedTuple):
    place: int  # among the rows looked at; -1: there is none
    names: list[str]
    fields: dict[str, int]


def table_records(
    rows: Iterable[Row | Dropped], options: Options, reading: Reading
) -> Iterator[Record | Dropped]:
    """The records of a table: one for each row below the header, blank rows after the last left out.

    Raises UsageError where it cannot be told which columns hold question and answer.
    """
    incoming = iter(rows)
    first, ahead = _looked_at(incoming)
    if not first:
        yield from (item for item in ahead if isinstance(item, Dropped))
        return
    header = _find_header(first, options)
    reading.details["columns"] = {name: header.names[at] for name, at in header.fields.items()}
    used = {*header.fields.values()}
    unused = [name for number, name in enumerate(header.names) if number not in used]
    if unused:
        reading.details["columns_not_used"] = unused
    start = first[header.place].number if header.place >= 0 else -1
    blank: Dropped | None = None
    for row in chain(ahead, incoming):
        if isinstance(row, Dropped):
            yield row
        elif row.blank:
            blank = blank._replace(rows=blank.rows + row.rows) if blank else _blank(row)
        else:
            if blank:
                yield blank
                blank = None
            if row.number > start:
                yield _record(row, header)
            elif row.number < start:
                yield Dropped(row.number, "above_header", excerpt=_shown(row))


def _blank(row: Row) -> Dropped:
    return Dropped(row.number, "blank", rows=row.rows)


def _looked_at(incoming: Iterator[Row | Dropped]) -> tuple[list[Row], list[Row | Dropped]]:
    """The first filled rows, and everything that was read to get them."""
    filled: list[Row] = []
    ahead: list[Row | Dropped] = []
    for row in incoming:
        ahead.append(row)
        if isinstance(row, Row) and not row.blank:
            filled.append(row)
        if len(filled) == HEADER_WITHIN:
            break
    return filled, ahead


def _find_header(first: Sequence[Row], options: Options) -> _Header:
    if not options.header:
        width = max(len(row.cells) for row in first)
        return _header(-1, [""] * width, options.columns, first)
    if options.header_row is not None:
        for place, row in enumerate(first):
            if row.number == options.header_row:
                return _header(place, row.cells, options.columns, first)
        raise UsageError(
            Text(
                f"Row {options.header_row} is not a header: it is blank or too far down.",
                f"第 {options.header_row} 行不是表头：它是空行，或太靠下。",
            ),
            Text(
                f"Name one of the first {HEADER_WITHIN} filled rows, or leave --header-row out.",
                f"请指定前 {HEADER_WITHIN} 个非空行之一，或不写 --header-row。",
            ),
        )
    for place, row in enumerate(first):
        if is_header(row.cells, options.columns):
            return _header(place, row.cells, options.columns, first)
    return _header(0, first[0].cells, options.columns, first)


def is_header(cells: Sequence[str], columns: Columns) -> bool:
    """Whether a row names question and answer, or a column that the person named by its title."""
    if headers.usable(headers.recognise(cells)):
        return True
    titles = {headers.plain_name(cell) for cell in cells} - {""}
    return any(headers.plain_name(name) in titles for name in columns.named().values())


def _header(place: int, titles: Sequence[str], columns: Columns, first: Sequence[Row]) -> _Header:
    width = max([len(titles), *(len(row.cells) for row in first)])
    names = headers.unique([*titles, *[""] * (width - len(titles))])
    found = {field: names.index(name) for field, name in headers.recognise(names).items()}
    named = headers.named_columns(columns, names)
    taken = set(named.values())
    fields = {field: at for field, at in found.items() if at not in taken} | named
    fields |= {name: headers.find_column(name, names) for name in columns.meta}
    if not headers.usable({field: "" for field in fields}):
        raise UsageError(
            Text(
                "It cannot be told which columns hold the question and the answer.",
                "认不出哪一列是问题、哪一列是回答。",
            ),
            headers.seen_columns(([title for title in titles if title] and list(titles)) or names),
        )
    return _Header(place, names, fields)


def _record(row: Row, header: _Header) -> Record | Dropped:
    for column in header.fields.values():
        if column in row.problems:
            detail = headers.column_letters(column) + str(row.number)
            return Dropped(row.number, row.problems[column], detail, _shown(row))
    if any(at >= len(header.names) and cell.strip() for at, cell in enumerate(row.cells)):
        detail = f"{len(row.cells)} > {len(header.names)}"
        return Dropped(row.number, "too_many_cells", detail, _shown(row))
    value = {
        name: row.cells[column] if column < len(row.cells) else ""
        for name, column in header.fields.items()
    }
    return Record(row.number, value)


def _shown(row: Row) -> str:
    return excerpt(json.dumps(row.cells, ensure_ascii=False), EXCERPT)
