"""Tags that stand for a picture, a sound or a video in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from assistant.conversation import Message

from .records import UnusableError

_TAG = re.compile(
    r"<(image|video|audio|speech)>"
    r"|<\|(?:image|video|audio|vision_start|image_pad)(?:_\d+)?\|>"
    r"|<(?:ImageHere|AudioHere|VideoHere|image_placeholder|image_\d+|IMG_CONTEXT)>"
    r"|<(?:img|audio|video)>[^<>\n]+\.\w{2,5}</(?:img|audio|video)>"
)


def check_tags(messages: Iterable[Message]) -> None:
    """Raise UnusableError where a text holds the place of a picture, a sound or a video.

    `<image>` stands for one at the edge of a line; within a sentence, or closed again, it is spoken
    of, as in a question about HTML.
    """
    for message in messages:
        if "<" in message.content and (tag := media_tag(message.content)):
            raise UnusableError("media", tag)


def media_tag(text: str) -> str:
    """The first tag of a text that stands for a picture, a sound or a video; "" for none."""
    for match in _TAG.finditer(text):
        if match[1] is None:
            return match[0]
        if f"</{match[1]}>" in text:
            continue
        before, after = text[: match.start()], text[match.end() :]
        edge = not before.strip() or before.endswith("\n") or not after.strip() or after[0] == "\n"
        if edge or before.endswith(">"):
            return match[0]
    return ""
