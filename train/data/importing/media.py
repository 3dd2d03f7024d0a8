"""Leave out rows whose text has the place of a picture, a sound or a video."""

from __future__ import annotations

from collections.abc import Iterable

from assistant.conversation import Message

from ..text.media import media_mark
from .records import UnusableError


def check_tags(messages: Iterable[Message]) -> None:
    """Raise UnusableError where a text holds the place of a picture, a sound or a video."""
    for message in messages:
        if mark := media_mark(message.content):
            raise UnusableError("media", mark)
