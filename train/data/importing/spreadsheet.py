"""xlsx: what a person sees in the sheet, read as a stream.

openpyxl reads the workbook, its styles and dates. The cells are read here: openpyxl's streaming
reader knows no merged cells, tells a formula without a result from an empty cell only by a second
pass, and holds all strings in memory; calamine is fast and holds the whole sheet.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from xml.parsers import expat

from assistant.errors import UsageError
from assistant.outside import in_line
from assistant.words import Text

from .number_format import GENERAL, shown_moment, shown_number
from .records import Dropped, Options, Reading, Record, nothing_read
from .sheet import Cell, Merge, merges, sheet_rows
from .strings import SharedStrings, unescaped
from .tables import Row, TableKind, is_header, looked_at, table_records


def spreadsheet_records(
    file: Path, options: Options, reading: Reading
) -> Iterator[Record | Dropped]:
    """The records of an xlsx file: of the sheet that was named, else of every sheet that names
    question and answer. Sheets that are not read are named with their rows.

    Raises UsageError for a file that is none, or if no sheet can be read.
    """
    with _Workbook(file) as workbook:
        chosen = _chosen(workbook, options)
        reading.details["sheet"] = chosen[0]
        if len(workbook.names) > 1:
            reading.details["other_sheets"] = [
                other for other in workbook.names if other != chosen[0]
            ]
        several = len(chosen) > 1
        sheets: list[dict[str, Any]] = []
        for done, name in enumerate(chosen):
            reading.share_read = partial(_share, workbook, done, len(chosen))
            kind = TableKind(name if several else "")
            own = Reading()
            for item in table_records(workbook.rows(name), options, own, kind):
                _keep(own, reading, first=not sheets)
                yield item
            _keep(own, reading, first=not sheets)
            sheets.append({"sheet": name, **own.details})
        if several:
            reading.details["sheets"] = sheets
        left = {name: workbook.filled(name) for name in workbook.names if name not in chosen}
        if left := {name: rows for name, rows in left.items() if rows}:
            reading.details["sheets_not_read"] = left


def _keep(own: Reading, reading: Reading, first: bool) -> None:
    """What was found of the first sheet is told of the file."""
    if first:
        reading.details |= own.details


def _share(workbook: _Workbook, done: int, sheets: int) -> float:
    return (done + workbook.share_read()) / sheets


def _chosen(workbook: _Workbook, options: Options) -> list[str]:
    """The sheets to read: the one that was named, else those that name question and answer and are
    not hidden, else the one in front."""
    if options.sheet is not None or len(workbook.names) == 1:
        return [workbook.sheet(options.sheet)]
    front = workbook.sheet(None)
    if not options.header or options.header_row is not None:
        return [front]
    found = [
        name
        for name in workbook.names
        if name in workbook.shown and _is_table(workbook, name, options)
    ]
    if not found:
        return [front]
    return found


def _is_table(workbook: _Workbook, name: str, options: Options) -> bool:
    first, _ = looked_at(workbook.rows(name))
    return any(is_header(row.cells, options.columns) for row in first)


class _Workbook:
    """An open xlsx file: its sheets, strings and number formats."""

    def __init__(self, file: Path):
        from openpyxl.reader.excel import ExcelReader

        class Reader(ExcelReader):  # type: ignore[misc]
            """openpyxl's, but it leaves the strings to us."""

            def read_strings(self) -> None:
                self.shared_strings: list[str] = []

        # An open file: openpyxl refuses names that do not end as a workbook's.
        self._opened = file.open("rb")
        try:
            self._reader = Reader(self._opened, read_only=True, data_only=True, keep_links=False)
            self._reader.read()
            self._archive = zipfile.ZipFile(file)
        except Exception as error:  # openpyxl raises whatever its parsers meet in a damaged file
            self._opened.close()
            raise _not_xlsx(file, error) from error
        self._file = file
        book = self._reader.wb
        self._sheets = {sheet.title: sheet._worksheet_path for sheet in book.worksheets}
        self.shown = {sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"}
        self._active = book.active.title if book.active is not None else ""
        self._epoch = book.epoch
        self._formats = _formats(book)
        self._strings: SharedStrings | None = None
        self.share_read: Callable[[], float] = nothing_read

    def __enter__(self) -> _Workbook:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()
        self._reader.archive.close()
        self._opened.close()
        if self._strings is not None:
            self._strings.close()

    @property
    def names(self) -> list[str]:
        return list(self._sheets)

    def sheet(self, wanted: str | None) -> str:
        """The name of the sheet called or numbered `wanted`; the one in front for None."""
        names = self.names
        if wanted is None:
            name = self._active if self._active in self._sheets else (names[0] if names else "")
        elif wanted in self._sheets:
            name = wanted
        elif wanted.isdigit() and 1 <= int(wanted) <= len(names):
            name = names[int(wanted) - 1]
        else:
            name = ""
        if not name:
            there = ", ".join(f"{number}={title}" for number, title in enumerate(names, 1)) or "-"
            raise UsageError(
                Text(
                    f"{in_line(self._file)} has no sheet {wanted!r}.",
                    f"{in_line(self._file)} 没有工作表 {wanted!r}。",
                ),
                Text(f"Its sheets are: {there}", f"它的工作表有：{there}"),
            )
        return name

    def filled(self, name: str) -> int:
        """How many rows of a sheet hold anything."""
        return sum(isinstance(row, Dropped) or not row.blank for row in self.rows(name))

    def rows(self, name: str) -> Iterator[Row | Dropped]:
        """The sheet's rows as text, blank ones between filled ones included."""
        path = self._sheets[name].lstrip("/")
        last = 0
        try:
            if self._strings is None:
                self._strings = self._read_strings()
            with self._archive.open(path) as source:
                carried = _Carried(merges(source))
            with closing(self._archive.open(path)) as source:
                size = max(1, self._archive.getinfo(path).file_size)
                self.share_read = lambda: 1.0 if source.closed else source.tell() / size
                for stored in sheet_rows(source):
                    if stored.number > last + 1:
                        yield Row(last + 1, (), rows=stored.number - last - 1)
                    last = max(last, stored.number)
                    yield carried.fill(self._row(stored.number, stored.cells))
        except (
            expat.ExpatError,
            zipfile.BadZipFile,
            OSError,
            EOFError,
            LookupError,
            ValueError,
            zlib.error,
        ) as error:
            yield Dropped(last + 1, "broken", str(error), fatal=True)

    def _read_strings(self) -> SharedStrings | None:
        from openpyxl.xml.constants import SHARED_STRINGS

        part = self._reader.package.find(SHARED_STRINGS)
        if part is None:
            return None
        with self._archive.open(part.PartName.lstrip("/")) as source:
            return SharedStrings(source)

    def _row(self, number: int, cells: list[Cell]) -> Row:
        texts: list[str] = []
        problems: dict[int, str] = {}
        for cell in cells:
            if cell.column >= len(texts):
                texts += [""] * (cell.column + 1 - len(texts))
            if cell.value is None:
                problems[cell.column] = "no_stored_value"
            elif cell.kind == "e":
                problems[cell.column] = "error_value"
                texts[cell.column] = cell.value
            else:
                texts[cell.column] = self._text(cell, cell.value)
        return Row(number, tuple(texts), problems)

    def _text(self, cell: Cell, value: str) -> str:
        if cell.kind == "s":
            return self._strings[int(value)] if self._strings is not None else ""
        if cell.kind in ("str", "inlineStr"):
            return unescaped(value)
        if cell.kind == "b":
            return "TRUE" if value.strip() == "1" else "FALSE"
        code = self._formats[cell.style] if cell.style < len(self._formats) else GENERAL
        if cell.kind == "d":
            return _moment(lambda: _iso(value), code, value)
        return self._number(value, code)

    def _number(self, value: str, code: str) -> str:
        from openpyxl.styles.numbers import is_date_format, is_timedelta_format
        from openpyxl.utils.datetime import from_excel

        try:
            number = float(value)
        except ValueError:
            return value
        if is_date_format(code):
            span = is_timedelta_format(code)
            return _moment(lambda: from_excel(number, self._epoch, timedelta=span), code, value)
        return shown_number(number, code)


def _moment(make: Callable[[], Any], code: str, stored: str) -> str:
    """A moment as shown; one that is out of the calendar as it is stored."""
    try:
        return shown_moment(make(), code)
    except (ValueError, OverflowError, TypeError):
        return stored


def _iso(value: str) -> Any:
    from openpyxl.utils.datetime import from_ISO8601

    return from_ISO8601(value)


def _formats(book: Any) -> list[str]:
    """The number format of each cell style."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS, BUILTIN_FORMATS_MAX_SIZE

    own = list(book._number_formats)

    def code(number: int) -> str:
        if number < BUILTIN_FORMATS_MAX_SIZE:
            return str(BUILTIN_FORMATS.get(number, GENERAL))
        place = number - BUILTIN_FORMATS_MAX_SIZE
        return str(own[place]) if place < len(own) else GENERAL

    return [code(style.numFmtId) for style in book._cell_styles]


class _Carried:
    """Gives the rows of a merged block the value of its first cell."""

    def __init__(self, blocks: list[Merge]):
        self._coming = list(reversed(blocks))
        self._open: list[tuple[Merge, str, str | None]] = []

    def fill(self, row: Row) -> Row:
        if not self._coming and not self._open:
            return row
        self._open = [item for item in self._open if item[0].last_row >= row.number]
        cells, problems = list(row.cells), dict(row.problems)
        for block, value, problem in self._open:
            at = block.first_column
            cells += [""] * (at + 1 - len(cells))
            cells[at] = value
            if problem:
                problems[at] = problem
        while self._coming and self._coming[-1].first_row <= row.number:
            block = self._coming.pop()
            at = block.first_column
            value = cells[at] if at < len(cells) else ""
            self._open.append((block, value, problems.get(at)))
        return row._replace(cells=tuple(cells), problems=problems)


def _not_xlsx(file: Path, error: Exception) -> UsageError:
    return UsageError(
        Text(
            f"{in_line(file)} is not an xlsx file that can be read ({type(error).__name__}: {error}).",
            f"{in_line(file)} 不是可以读取的 xlsx 文件（{type(error).__name__}：{error}）。",
        ),
        Text(
            "Open it in a spreadsheet program and save it as .xlsx again.",
            "请用表格软件打开，并重新另存为 .xlsx。",
        ),
    )
