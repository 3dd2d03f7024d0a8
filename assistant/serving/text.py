"""What a person typed, made harmless; and plain text made safe to stand in HTML."""

from __future__ import annotations

import html
import re

# Control characters but newline and tab, and lone surrogates. A set of code points: looking each
# character up took half a second for a megabyte, in which the page answered nobody.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def cleaned(text: str) -> str:
    """`text` without control characters other than newline and tab, and without lone surrogates.

    Line ends become `\\n`. Joiners and direction marks stay: emoji and right-to-left scripts are
    written with them.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _HARMFUL.sub("", text)


def escaped(text: str) -> str:
    """`text` to stand literally in HTML, line ends kept as line breaks."""
    return html.escape(text).replace("\n", "<br>")


def file_name(title: str, suffix: str) -> str:
    """A file name for a download made from a title; letters of any script stay."""
    safe = re.sub(r"[^\w-]+", "-", title).strip("-_")[:60]
    return f"{safe or 'conversation'}{suffix}"
