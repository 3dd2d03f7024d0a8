"""Leave out rows whose text has the place of a picture, a sound or a video, or calls a tool."""

from __future__ import annotations

import re
from collections.abc import Iterable

from assistant.conversation import Message

from ..text.media import lost_picture, media_mark
from .records import UnusableError

# What models write where they call a tool: a mark, and JSON or a name behind it.
_CALL = re.compile(
    r"\A\s*(?:<\|?(?:tool_call|function_?call|tool_calls?_begin|tool▁calls?▁begin|python_tag)\|?>|\[TOOL_CALLS\])\s*[\w{\[<]"
)


def check_tags(messages: Iterable[Message]) -> None:
    """Raise UnusableError where a text holds the place of a picture, a sound or a video, or is
    meaningless without the picture that it shows, and where an answer is the call of a tool."""
    for message in messages:
        if message.role == "assistant" and (call := _CALL.match(message.content)):
            raise UnusableError("tools", call[0].strip()[:40])
        if mark := media_mark(message.content) or lost_picture(
            message.content, message.role == "user"
        ):
            raise UnusableError("media", mark)
