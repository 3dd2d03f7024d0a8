"""What the page's owner puts right or likes, noted for the next training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..conversation import Message
from ..corrections import forget_liked, note_answer, read_corrections
from ..serving.host import Host
from ..words import Text, filled
from . import words


class Notebook:
    """Writes to a project's corrections. Only the owner's page has one."""

    def __init__(self, folder: Path, host: Host):
        self._folder = folder
        self._host = host

    def correct(self, messages: Sequence[Message], said: str) -> Text:
        """Note that the last of `messages`, an answer, should have been as it stands, and not `said`.
        Returns what the owner is told. Raises UsageError, BlockedError."""
        note_answer(self._folder, messages, "page", said, self._model())
        return self._noted()

    def like(self, messages: Sequence[Message]) -> Text:
        """Note that the last of `messages`, an answer, was good."""
        note_answer(self._folder, messages, "liked", model=self._model())
        return self._noted()

    def unlike(self, messages: Sequence[Message]) -> None:
        """Take back a like that nobody has accepted yet."""
        *before, asked, _ = messages
        forget_liked(self._folder, asked.content, before)

    def _model(self) -> str:
        info = self._host.state().info
        return info.model if info else ""

    def _noted(self) -> Text:
        waiting = sum(one.state == "new" for one in read_corrections(self._folder))
        return filled(words.NOTED, count=waiting)
