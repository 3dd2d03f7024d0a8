"""A user's own conversations in place of the base's answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from assistant.conversation import Conversation, read_conversations
from assistant.errors import UsageError
from assistant.words import Language, Text

from ..dataset import refuse_unfilled
from .bases import chinese_in
from .likeness import plain, unlike
from .ordinary import HELD_ROWS, Turn

HELD_SHARE = 0.1  # of the rows are held out, up to HELD_ROWS


def rows_of_files(
    files: Iterable[str], folder: Path, kind: Literal["ordinary", "task"] = "ordinary"
) -> list[Conversation]:
    """A user's own conversations, each marked with where it came from and as of this kind, whatever
    kind the rows name themselves ("generated").

    Raises UsageError for a file that is not there, a line that is no conversation, or none at all.
    """
    rows = []
    for name in files:
        conversations = list(read_conversations(folder / name))
        refuse_unfilled(conversations, folder / name)
        for number, row in enumerate(conversations, 1):
            if row.messages[-1].role != "assistant":
                raise UsageError(
                    Text(
                        f"{name}: conversation {number} does not end with an answer.",
                        f"{name}：第 {number} 段对话不是以回答结尾。",
                    )
                )
            said = "".join(message.content for message in row.messages)
            mark = {
                "language": "zh" if chinese_in(said) else "en",
                "topic": "own", "source": f"{Path(name).name}:{number}",
            }  # fmt: skip
            rows.append(row.model_copy(update={"meta": mark | row.meta | {"kind": kind}}))
    if not rows:
        raise UsageError(
            Text(
                "[train.data] ordinary_files or task_files hold no conversation.",
                "[train.data] ordinary_files 或 task_files 里没有对话。",
            )
        )
    return rows


def last_question(row: Conversation) -> str:
    """What the user asks last."""
    return [message.content for message in row.messages if message.role == "user"][-1]


def apart_from(rows: Sequence[Conversation], held: Sequence[str]) -> list[Conversation]:
    """The rows of which no question is near a held-out one."""
    texts = [plain(last_question(row)) for row in rows]
    kept = unlike(texts, [plain(text) for text in held])
    return [row for row, keep in zip(rows, kept, strict=True) if keep]


def turns_of(rows: Sequence[Conversation]) -> list[Turn]:
    """The first question and answer of each row, to stand before another question."""
    turns = []
    for row in rows:
        spoken = [message for message in row.messages if message.role != "system"]
        language: Language = "zh" if row.meta.get("language") == "zh" else "en"
        source = str(row.meta.get("source", ""))
        turns.append(Turn(spoken[0].content, spoken[1].content, language, "own", source))
    return turns


def divided(
    rows: Sequence[Conversation], probed: Sequence[str], chance: random.Random
) -> tuple[list[Conversation], list[Conversation]]:
    """Rows to train on and rows held out; none to train on is near a held-out one or a probe."""
    mixed = chance.sample(rows, len(rows))
    count = min(HELD_ROWS, int(len(mixed) * HELD_SHARE))
    held = mixed[:count]
    return apart_from(mixed[count:], [*probed, *map(last_question, held)]), held
