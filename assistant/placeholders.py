"""The placeholders of assistant.toml: `{name}` and `{author}`."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KNOWN = ("name", "author")


def fill_placeholders(text: str, *, name: str, author: str) -> str:
    """Put name and author where `{name}` and `{author}` stand; other braces are left alone."""
    values = {"name": name, "author": author}
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def unknown_placeholders(text: str) -> list[str]:
    """The words in braces that nothing fills, such as `nmae` in `我是{nmae}`."""
    return [word for word in _PLACEHOLDER.findall(text) if word not in _KNOWN]
