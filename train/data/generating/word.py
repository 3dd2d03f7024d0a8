"""The text of a Word document (.docx) in its order: paragraphs, tables, boxes, notes.

python-docx opens the file and knows its styles; its own `text` passes over tables, content controls,
text boxes and tracked insertions, so the text is taken from the XML.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TEXTS = (
    f"{_W}t",
    "{http://schemas.openxmlformats.org/officeDocument/2006/math}t",
)  # of formulas too
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_BOX = f"{_W}txbxContent"
_HEADINGS = ("heading", "title", "标题")
_BREAKS = {f"{_W}tab": " ", f"{_W}br": "\n", f"{_W}cr": "\n"}
_NOTES = ("footnotes", "endnotes")
CELLS = " | "


def text_of(file: Path) -> str:
    """Paragraphs with an empty line between them, headings as `# …`, a row of a table as one
    paragraph with ` | ` between its cells; notes stand at the end, page headers nowhere."""
    import docx

    document = docx.Document(str(file))
    headings = {
        style.style_id for style in document.styles
        if (style.name or "").lower().startswith(_HEADINGS)
    }  # fmt: skip
    blocks = list(_blocks(document.element.body, headings))
    for relation in document.part.rels.values():
        if relation.reltype.rsplit("/", 1)[-1] in _NOTES and not relation.is_external:
            blocks += _notes(relation.target_part.blob)
    return "\n\n".join(block for block in blocks if block.strip())


def _notes(xml: bytes) -> Iterator[str]:
    from docx.oxml import parse_xml

    for note in parse_xml(xml):
        if note.get(f"{_W}type") is None:  # the lines that separate notes have one
            yield " ".join(_blocks(note, set()))


def _blocks(parent: Any, headings: set[str]) -> Iterator[str]:
    """The paragraphs below an element, tables row by row."""
    for element in parent:
        if element.tag == f"{_W}p":
            yield from _paragraph(element, headings)
        elif element.tag == f"{_W}tbl":
            yield from _rows(element)
        elif element.tag != _FALLBACK:  # a wrapper, as of a content control
            yield from _blocks(element, headings)


def _paragraph(element: Any, headings: set[str]) -> Iterator[str]:
    text = "".join(_texts(element)).strip()
    style = element.find(f"{_W}pPr/{_W}pStyle")
    heading = style is not None and style.get(f"{_W}val") in headings
    if text:
        yield f"# {' '.join(text.split())}" if heading else text
    for box in _boxes(element):
        yield from _blocks(box, headings)


def _texts(element: Any) -> Iterator[str]:
    """What is written in an element; deleted text and text boxes are not."""
    for child in element:
        if child.tag in _TEXTS:
            yield child.text or ""
        elif child.tag in _BREAKS:
            yield _BREAKS[child.tag]
        elif child.tag not in (_BOX, _FALLBACK):
            yield from _texts(child)


def _boxes(element: Any) -> Iterator[Any]:
    for child in element:
        if child.tag == _BOX:
            yield child
        elif child.tag != _FALLBACK:
            yield from _boxes(child)


def _rows(table: Any) -> Iterator[str]:
    above: dict[int, str] = {}  # column -> the text of a cell that goes on downwards
    for row in _below(table, "tr"):
        cells, column = [], 0
        for cell in _below(row, "tc"):
            text, width = _cell(cell, above.get(column, "")), _width(cell)
            above[column] = text
            cells.append(text)
            column += width
        if any(cells):
            yield CELLS.join(cells)


def _below(element: Any, name: str) -> Iterator[Any]:
    """The rows of a table or the cells of a row, those in content controls too."""
    for child in element:
        if child.tag == f"{_W}{name}":
            yield child
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"):
            yield from _below(child, name)


def _cell(cell: Any, above: str) -> str:
    merged = cell.find(f"{_W}tcPr/{_W}vMerge")
    if merged is not None and merged.get(f"{_W}val") != "restart":
        return above
    return " ".join(" ".join(_blocks(cell, set())).split())


def _width(cell: Any) -> int:
    span = cell.find(f"{_W}tcPr/{_W}gridSpan")
    value = span.get(f"{_W}val") if span is not None else "1"
    return int(value) if str(value).isdecimal() else 1
