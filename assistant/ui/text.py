"""What a person typed, made harmless; and plain text made safe to stand in HTML."""

from __future__ import annotations

import html
import re
import unicodedata

_KEPT_CONTROLS = "\n\t"


def cleaned(text: str) -> str:
    """`text` without control characters other than newline and tab, and without lone surrogates.

    Line ends become `\\n`. Joiners and direction marks stay: emoji and right-to-left scripts are
    written with them.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(character for character in text if not _harmful(character))


def _harmful(character: str) -> bool:
    category = unicodedata.category(character)
    return category == "Cs" or (category == "Cc" and character not in _KEPT_CONTROLS)


def escaped(text: str) -> str:
    """`text` to stand literally in HTML, line ends kept as line breaks."""
    return html.escape(text).replace("\n", "<br>")


def file_name(title: str, suffix: str) -> str:
    """A file name for a download made from a title; letters of any script stay."""
    safe = re.sub(r"[^\w-]+", "-", title).strip("-_")[:60]
    return f"{safe or 'conversation'}{suffix}"
