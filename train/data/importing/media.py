"""Leave out rows whose text has the place of a picture, a sound or a video."""

from __future__ import annotations

from collections.abc import Iterable

from assistant.conversation import Message

from ..text.media import lost_picture, media_mark
from .records import UnusableError


def check_tags(messages: Iterable[Message]) -> None:
    """Raise UnusableError where a text holds the place of a picture, a sound or a video, or is
    meaningless without the picture that it shows."""
    for message in messages:
        if mark := media_mark(message.content) or lost_picture(
            message.content, message.role == "user"
        ):
            raise UnusableError("media", mark)
