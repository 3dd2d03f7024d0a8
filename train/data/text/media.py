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
_CODE = re.compile(r"(?P<fence>`{3,}|~{3,}).*?(?:(?P=fence)|\Z)|(?P<tick>`{1,2})[^`\n]+(?P=tick)", re.DOTALL)  # fmt: skip
_PICTURE = re.compile(  # of Markdown, or an element of HTML; the bytes of a picture may be megabytes
    r"!\[[^\]\n]{0,300}\]\(\s{0,9}<?(?:data:[^)\s>]*|(?P<place>[^)\s>]{1,300}))>?(?:\s[^)\n]{0,300})?\)"
    r"|<img\s(?:[^<>]{0,500}?\s)?src\s{0,9}=\s{0,9}[\"']?(?:data:[^\s\"'>]*|(?P<source>[^\s\"'>]{1,300}))[^<>]{0,500}>",
    re.IGNORECASE,
)
_ON_THE_WEB = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_WRITING = re.compile(r"markdown|readme|github|语法|写法|\bsyntax\b|\brender", re.IGNORECASE)
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


def links_picture(text: str) -> bool:
    """Whether a text shows a picture by its address, in Markdown or HTML. Code does not count."""
    return ("![" in text or "<img" in text.lower()) and bool(_PICTURE.search(_CODE.sub(" ", text)))


def lost_picture(text: str, asked: bool) -> str:
    """The first picture of a text that is meaningless without it, "" if there is none.

    That is a picture whose bytes stand in the text, one that is all there is, and, where a person
    asked, a file beside the data in Markdown. A picture of the web in a text that says more is a
    link; a text on Markdown or HTML shows how to write one.
    """
    if not links_picture(text):
        return ""
    plain = _CODE.sub(" ", text)
    if _SPOKEN_OF.search(_PICTURE.sub(" ", plain)) or _WRITING.search(plain):
        return ""
    alone = not _PICTURE.sub("", plain).strip()
    for match in _PICTURE.finditer(plain):
        beside = match["place"] and not _ON_THE_WEB.match(match["place"])
        if alone or (asked and beside) or not (match["place"] or match["source"]):
            return match[0] if len(match[0]) <= 60 else match[0][:59] + "…"
    return ""
