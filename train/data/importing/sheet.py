"""The cells of one worksheet, in the order of its XML, a few rows in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple
from xml.parsers import expat

from . import headers

PIECE = 1 << 16
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="\$?([A-Z]+)\$?(\d+):\$?([A-Z]+)\$?(\d+)"')
_PLACE = re.compile(r"([A-Z]+)(\d+)")
_LONGEST_TAG = 512


class Cell(NamedTuple):
    """A cell as it is stored: `kind` is the XML's t ("s", "str", "inlineStr", "b", "e", "d", "n")."""

    column: int
    kind: str
    value: str | None
    style: int
    formula: bool


class SheetRow(NamedTuple):
    number: int
    cells: list[Cell]


class Merge(NamedTuple):
    """A merged block that reaches over several rows; numbers from 1 for rows, from 0 for columns."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int


def merges(source: IO[bytes]) -> list[Merge]:
    """The merged blocks of several rows. They stand behind the cells, so this reads ahead."""
    found = []
    rest = b""
    while piece := source.read(PIECE):
        text = rest + piece
        end = 0
        for match in _MERGE.finditer(text):
            first, top, last, bottom = (part.decode("ascii") for part in match.groups())
            end = match.end()
            if int(bottom) > int(top):
                found.append(
                    Merge(int(top), int(bottom), headers.column_number(first),
                          headers.column_number(last))
                )  # fmt: skip
        rest = text[max(end, len(text) - _LONGEST_TAG) :]
    return sorted(found)


@dataclass
class _State:
    rows: list[SheetRow] = field(default_factory=list)
    row: int = 0
    column: int = -1
    cells: list[Cell] = field(default_factory=list)
    kind: str = "n"
    style: int = 0
    formula: bool = False
    valued: bool = False
    parts: list[str] = field(default_factory=list)
    reading: bool = False
    phonetic: bool = False


def sheet_rows(source: IO[bytes]) -> Iterator[SheetRow]:
    """The rows that the sheet stores. Raises expat.ExpatError for broken XML."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    state = _State()
    parser.StartElementHandler = lambda name, attributes: _start(state, name, attributes)
    parser.EndElementHandler = lambda name: _end(state, name)
    parser.CharacterDataHandler = lambda text: state.parts.append(text) if state.reading else None
    more = True
    while more:
        piece = source.read(PIECE)
        more = bool(piece)
        try:
            parser.Parse(piece, not more)
        finally:
            yield from state.rows
            state.rows.clear()


def _start(state: _State, name: str, attributes: dict[str, str]) -> None:
    tag = name.rpartition(" ")[2]
    if tag == "c":
        place = _PLACE.fullmatch(attributes.get("r", ""))
        state.column = headers.column_number(place[1]) if place else state.column + 1
        state.kind = attributes.get("t", "n")
        style = attributes.get("s", "0")
        state.style = int(style) if style.isdigit() else 0
        state.formula = state.valued = False
        state.parts = []
    elif tag == "row":
        number = attributes.get("r", "")
        state.row = int(number) if number.isdigit() else state.row + 1
        state.column = -1
        state.cells = []
    elif tag == "f":
        state.formula = True
    elif tag == "v" or (tag == "t" and not state.phonetic):
        state.reading = state.valued = True
    elif tag == "rPh":
        state.phonetic = True


def _end(state: _State, name: str) -> None:
    tag = name.rpartition(" ")[2]
    if tag == "c":
        value = "".join(state.parts) if state.valued else None
        if state.formula and state.kind == "n" and not value:
            value = None
        if value is not None or state.formula:
            state.cells.append(Cell(state.column, state.kind, value, state.style, state.formula))
    elif tag == "row":
        state.rows.append(SheetRow(state.row, state.cells))
    elif tag in ("v", "t"):
        state.reading = False
    elif tag == "rPh":
        state.phonetic = False
