"""Pages of Markdown as chunks: never cut inside a sentence, headings kept with what stands below them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

_HEADING = re.compile(r"#{1,6}\s+(.+?)\s*#*\s*")
_FENCE = re.compile(r"\s*(```|~~~)")
# A sentence ends after a Chinese stop, or after a Western one with a space behind it.
_END = re.compile(
    r"(?<=[。！？；!?])(?=[^”’」』）)。！？；!?\s])|(?<=[。！？][”’」』）])|(?<=[.!?])\s+(?=\S)"
)


@dataclass(frozen=True)
class Page:
    """A page's text as Markdown; `number` None where the format has no pages."""

    text: str
    number: int | None = None


@dataclass(frozen=True)
class Chunk:
    """A passage with its place: `page` or None, and the headings above it, outermost first."""

    text: str
    page: int | None
    heading: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sentences(text: str) -> list[str]:
    """The sentences of a text, each verbatim; a line end that is not inside a paragraph ends one too."""
    found = []
    for line in text.splitlines():
        found += [part.strip() for part in _END.split(line) if part and part.strip()]
    return found


def chunks(pages: Iterable[Page], longest: int) -> Iterator[Chunk]:
    """Chunks of at most `longest` characters, unless one sentence alone is longer."""
    headings: list[tuple[int, str]] = []
    for page in pages:
        lines: list[str] = []
        fenced = False
        for line in page.text.splitlines():
            fenced ^= bool(_FENCE.match(line))
            title = None if fenced else _HEADING.fullmatch(line)
            if title is None:
                lines.append(line)
                continue
            yield from _below(lines, headings, page, longest)
            lines = []
            depth = len(line) - len(line.lstrip("#"))
            headings = [one for one in headings if one[0] < depth] + [(depth, title[1])]
        yield from _below(lines, headings, page, longest)


def _below(
    lines: list[str], headings: list[tuple[int, str]], page: Page, longest: int
) -> Iterator[Chunk]:
    heading = " > ".join(title for _, title in headings)
    held = ""
    for part in _parts("\n".join(lines).strip(), longest):
        if held and len(held) + len(part) > longest:
            yield Chunk(held.strip(), page.number, heading)
            held = ""
        held += part
    if held.strip():
        yield Chunk(held.strip(), page.number, heading)


def _parts(text: str, longest: int) -> Iterator[str]:
    """The text in pieces that together are it: paragraphs, or where they are long sentences; what has
    no sentence end for too long is cut at `longest`."""
    for paragraph in re.findall(r".+?(?:\n\s*\n|\Z)", text, re.DOTALL):
        if len(paragraph) <= longest:
            yield paragraph
            continue
        at = 0
        ends = [match.end() for match in _END.finditer(paragraph)]
        ends += [match.end() for match in re.finditer(r"\n", paragraph)]
        for end in sorted({*ends, len(paragraph)}):
            while end - at > 2 * longest:
                yield paragraph[at : at + longest]
                at += longest
            if end > at:
                yield paragraph[at:end]
                at = end
