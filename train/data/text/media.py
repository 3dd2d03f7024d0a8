"""Marks in a text that stand for a picture, a sound or a video beside it."""

from __future__ import annotations

import re

from .placeholders import without_code

_ALONE = re.compile(  # written for models alone
    r"<\|(?:image|audio|video|vision|speech)(?:_\w{1,20})?\|>|<(?:Image|Audio|Video|Speech)Here>"
    r"|<(?:image|audio|video|speech)_?(?:\d{1,3}|pad|token|placeholder|start|end)>|<__media__>|<IMG_CONTEXT>"
    r"|<(?P<file>img|image|audio|video)>[^<>\n]{1,300}\.\w{2,5}</(?P=file)>",
    re.IGNORECASE,
)
_ELEMENT = re.compile(r"<(?P<kind>image|audio|video|speech)>|\[(?:IMG|IMAGE|AUDIO|VIDEO)\]", re.IGNORECASE)  # fmt: skip
_SPOKEN_OF = re.compile(
    r"html|\bsvg\b|\bxml\b|标签|元素|标记|占位符|\belements?\b|\btags?\b|\bmarks?\b|\bplaceholders?\b|\btokens?\b",
    re.IGNORECASE,
)


def media_mark(text: str) -> str:
    """The first mark of a picture, sound or video in `text`, "" if there is none.

    HTML and SVG have elements of the same names: a text that closes them, names HTML, or quotes
    them speaks of those. Code does not count.
    """
    if "<" not in text and "[" not in text:
        return ""
    if not (_ALONE.search(text) or _ELEMENT.search(text)):
        return ""
    plain = without_code(text)
    if _SPOKEN_OF.search(plain):
        return ""
    for match in (*_ALONE.finditer(plain), *_ELEMENT.finditer(plain)):
        kind = match.groupdict().get("kind")
        quoted = plain[: match.start()][-1:] in ('"', "'", "“", "‘", "「", "『")
        closed = kind and (f"</{kind}>" in plain or re.search(rf"<{kind}\s", plain))
        if not quoted and not closed:
            return match[0]
    return ""
