"""What the owner keeps of the conversations, where `[serve] keep_conversations` names a folder.

Off by default. The page tells visitors when it is on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from ..conversation import Conversation, Message

logger = logging.getLogger(__name__)


class Keeper:
    """Appends each answered conversation to `<folder>/<date>.jsonl` (UTC), one line an answer.

    A line is the whole conversation up to that answer, in the format that training reads. No
    address or name of the visitor is kept.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()

    def keep(self, messages: Sequence[Message], **meta: str | None) -> None:
        """Keep one conversation. A disk that refuses is logged, and the talk goes on."""
        now = datetime.now(timezone.utc)
        known = {name: value for name, value in meta.items() if value is not None}
        line = Conversation(
            messages=tuple(messages), meta={"at": now.isoformat(timespec="seconds"), **known}
        ).line()
        try:
            with self._lock:
                self._folder.mkdir(parents=True, exist_ok=True)
                with (self._folder / f"{now:%Y-%m-%d}.jsonl").open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        except OSError as error:
            logger.error("a conversation could not be kept in %s: %s", self._folder, error.strerror)
