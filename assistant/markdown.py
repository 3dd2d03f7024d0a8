"""Text that Markdown must not read as its own."""

from __future__ import annotations

_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in r"\`*_{}[]<>#|!~"} | {"\n": " "})


def plain(text: str) -> str:
    """`text` so that Markdown shows it as it is, on one line."""
    return text.translate(_SPECIAL)
