"""What the page's owner puts right or likes, noted for the next training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..conversation import Message
from ..corrections import (
    Correction,
    forget_liked,
    keep_correction,
    made_correction,
    read_corrections,
)
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
        *before, asked, answer = messages
        self._keep(
            made_correction(
                asked.content, answer.content, "page", said=said, before=before, model=self._model()
            )
        )
        return self._noted()

    def like(self, messages: Sequence[Message]) -> Text:
        """Note that the last of `messages`, an answer, was good."""
        *before, asked, answer = messages
        self._keep(
            made_correction(
                asked.content,
                answer.content,
                "liked",
                said=answer.content,
                before=before,
                model=self._model(),
            )
        )
        return self._noted()

    def unlike(self, messages: Sequence[Message]) -> None:
        """Take back a like that nobody has accepted yet."""
        *before, asked, _ = messages
        forget_liked(self._folder, asked.content, before)

    def _keep(self, correction: Correction) -> None:
        keep_correction(self._folder, correction)

    def _model(self) -> str:
        info = self._host.state().info
        return info.model if info else ""

    def _noted(self) -> Text:
        waiting = sum(one.state == "new" for one in read_corrections(self._folder))
        return filled(words.NOTED, count=waiting)
