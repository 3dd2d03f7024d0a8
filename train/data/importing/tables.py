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
from .choices import choice_keys, tells_choice_elsewhere
from .layout import LOOSE_TURNS, TURNS, layout
from .records import CURES, EXCERPT, NOTHING, REASONS, Columns, Dropped, Options, Reading, Record
from .values import excerpt

LONGEST_HEADER = 300  # characters: what is longer is no header
HEADER_WITHIN = 20  # filled rows in which a header is looked for
_SENTENCE_ENDS = ("?", "？", "!", "！", "。", ".", "…")


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
    width: int  # columns that have a title, or are read; what stands beyond has none
    guessed: bool = False  # it was taken for a header because it stands first
    titles: tuple[str, ...] = ()  # its cells as they stand
    choices: frozenset[str] = (
        frozenset()
    )  # columns of a choice question; kept in a row that leaves them empty


class TableKind(NamedTuple):
    """What kind of table it is: `place` names it where a file has several; `overflows` where a cell
    beyond the titles may be the rest of a text that was divided by mistake."""

    place: str = ""
    overflows: bool = False


def table_records(
    rows: Iterable[Row | Dropped], options: Options, reading: Reading, kind: TableKind = TableKind()
) -> Iterator[Record | Dropped]:
    """The records of a table: one for each row below the header, blank rows after the last left out.

    Raises UsageError where it cannot be told which columns hold question and answer.
    """
    incoming = iter(rows)
    first, ahead = looked_at(incoming)
    if not first:
        yield from (item for item in ahead if isinstance(item, Dropped))
        return
    header = _find_header(first, options)
    reading.details["columns"] = {name: header.names[at] for name, at in header.fields.items()}
    others = _others(header)
    if others:
        reading.details["columns_not_used"] = [name for _, name in others]
    if header.guessed:
        reading.details["header"] = list(first[0].cells)
    start = first[header.place].number if header.place >= 0 else -1
    blank: Dropped | None = None
    for row in chain(ahead, incoming):
        if isinstance(row, Dropped):
            yield row._replace(place=kind.place)
        elif row.blank:
            blank = blank._replace(rows=blank.rows + row.rows) if blank else _blank(row, kind)
        else:
            if blank:
                yield blank
                blank = None
            if row.number > start:
                yield _record(row, header, others, kind)
            elif row.number < start or header.guessed:
                reason = "above_header" if row.number < start else "taken_for_header"
                yield Dropped(row.number, reason, excerpt=_shown(row), place=kind.place)


def _blank(row: Row, kind: TableKind) -> Dropped:
    return Dropped(row.number, "blank", rows=row.rows, place=kind.place)


def _others(header: _Header) -> list[tuple[int, str]]:
    """The columns that no field reads, with their names."""
    used = {*header.fields.values()}
    return [(at, name) for at, name in enumerate(header.names) if at not in used]


def looked_at(incoming: Iterator[Row | Dropped]) -> tuple[list[Row], list[Row | Dropped]]:
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
        return _no_header(first, options.columns)
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
    header = _header(0, first[0].cells, options.columns, first)
    named = options.columns.named().values()
    return header._replace(guessed=bool(named) and not headers.all_titled(named, first[0].cells))


def is_header(cells: Sequence[str], columns: Columns) -> bool:
    """Whether a row names question and answer, the turns, or a column that the person named by its
    title."""
    if headers.usable(headers.recognise(cells)):
        return True
    titles = {headers.plain_name(cell) for cell in cells} - {""}
    if not columns.named() and titles & set(TURNS) and len(titles) > 1:
        return True
    return any(
        headers.plain_name(name) in titles
        for name in columns.named().values()
        if not headers.is_letter_of(name, len(cells))
    )


def _no_header(first: Sequence[Row], columns: Columns) -> _Header:
    """Columns by letter. What reaches beyond the usual width of the rows has no column."""
    widths = [len(row.cells) for row in first]
    names = headers.unique([""] * max(widths))
    fields = headers.named_columns(columns, names)
    fields |= {name: headers.find_column(name, names) for name in columns.meta}
    if not headers.usable({field: "" for field in fields}):
        raise UsageError(_untold(), headers.seen_columns(first[0].cells, header_row=False))
    usual = max(set(widths), key=lambda width: (widths.count(width), -width))
    return _Header(-1, names, fields, max([usual, *(at + 1 for at in fields.values())]))


def _header(place: int, titles: Sequence[str], columns: Columns, first: Sequence[Row]) -> _Header:
    width = max([len(titles), *(len(row.cells) for row in first)])
    names = headers.unique([*titles, *[""] * (width - len(titles))])
    titled_names = [name for name, title in zip(names, titles, strict=False) if title.strip()]
    found = {field: names.index(name) for field, name in headers.recognise(titled_names).items()}
    named = headers.named_columns(columns, names)
    taken = set(named.values())
    fields = {field: at for field, at in found.items() if at not in taken} | named
    fields |= {name: headers.find_column(name, names) for name in columns.meta}
    if not headers.usable({field: "" for field in fields}):
        if named or (turns := _turns_column(names)) is None:
            raise _not_told(titles, names, first[place + 1 :])
        fields = {headers.plain_name(names[turns]): turns}
    titled = [at + 1 for at, title in enumerate(titles) if title.strip()]
    beyond = max([0, *titled, *(at + 1 for at in fields.values())])
    choices = frozenset(choice_keys(titled_names))
    return _Header(place, names, fields, beyond, titles=tuple(titles), choices=choices)


def _turns_column(names: Sequence[str]) -> int | None:
    """The column whose cells are whole conversations, as JSON or as text."""
    plain = [headers.plain_name(name) for name in names]
    for name in (*TURNS, *LOOSE_TURNS):
        if name in plain:
            return plain.index(name)
    return None


def _not_told(titles: Sequence[str], names: Sequence[str], rows: Sequence[Row]) -> UsageError:
    """The error for a table whose question and answer are not recognised."""
    refused = layout(tuple(names)).refused
    if not refused and (keys := choice_keys(titles)):
        told = (
            tells_choice_elsewhere(dict(zip(names, row.cells, strict=False)), keys) for row in rows
        )
        refused = "choices" if any(told) else ""
    if refused:
        said = REASONS[refused]
        return UsageError(
            Text(f"Such rows are not read: {said.en}.", f"不读取这样的行：{said.zh}。"),
            CURES.get(refused),
        )
    data = any(title.strip().endswith(_SENTENCE_ENDS) for title in titles)
    shown = ([title for title in titles if title] and list(titles)) or names
    cure = headers.seen_columns(shown, header_row=not data)
    if sum(map(len, titles)) > LONGEST_HEADER:
        cure = Text(
            "This looks like running text, not like rows. Questions from it: python -m train data "
            f"generate --documents FILE\n{cure.en}",
            "这看起来是连续的文章，不是一行行的数据。由它生成问答：python -m train data generate "
            f"--documents FILE\n{cure.zh}",
        )
    return UsageError(_untold(), cure)


def _untold() -> Text:
    return Text(
        "It cannot be told which columns hold the question and the answer.",
        "认不出哪一列是问题、哪一列是回答。",
    )


def _record(
    row: Row, header: _Header, others: Sequence[tuple[int, str]], kind: TableKind
) -> Record | Dropped:
    cells = row.cells
    if cells and cells == header.titles:
        return Dropped(row.number, "header_again", excerpt=_shown(row), place=kind.place)
    for column in header.fields.values():
        if column in row.problems:
            detail = headers.column_letters(column) + str(row.number)
            return Dropped(row.number, row.problems[column], detail, _shown(row), place=kind.place)
    beyond = header.width if kind.overflows else len(header.names)
    if len(cells) > beyond and any(cell.strip() for cell in cells[beyond:]):
        detail = f"{len(cells)} > {beyond}"
        return Dropped(row.number, "too_many_cells", detail, _shown(row), place=kind.place)
    value = {
        _key(field, header.names[column], header): cells[column] if column < len(cells) else ""
        for field, column in header.fields.items()
    }
    if not others:
        return Record(row.number, value, kind.place)
    held = ((name, cells[at] if at < len(cells) else "") for at, name in others)
    filled = {name: cell for name, cell in held if cell.strip() or name in header.choices}
    return Record(row.number, value, kind.place, filled or NOTHING)


def _key(field: str, title: str, header: _Header) -> str:
    """The name of a cell in its record: the field's, but a column of choices keeps its own."""
    return title if title in header.choices and field == "input" else field


def _shown(row: Row) -> str:
    return excerpt(json.dumps(row.cells, ensure_ascii=False), EXCERPT)
