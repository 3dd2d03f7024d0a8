"""What the assistant is for, in a user's own rows: added to the rest, some of them held out.

A row whose question ends with a style's trigger teaches that style; held out, it becomes a probe of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.conversation import Conversation
from assistant.persona import Persona, Style

from ..keys import asked, cell
from ..split import held_out_groups
from ..text.near import near_groups
from .own_files import apart_from, last_question, rows_of_files
from .systems import shared_out

HELD_SHARE = 0.2  # of the rows are held out,
HELD_ROWS = 60  # and no more than so many


@dataclass(frozen=True)
class Task:
    """Rows of the task to train on, and rows held out."""

    train: list[Conversation]
    held: list[Conversation]


def task_rows(
    persona: Persona, files: Sequence[str], folder: Path, probed: Sequence[str], seed: int,
    chance: random.Random,
) -> Task:  # fmt: skip
    """Read the rows of `files` and divide them.

    Args:
        persona: whose system prompt most rows are given that have none, as facts are.
        files: paths from `folder`.
        folder: where `assistant.toml` stands.
        probed: questions of the check; a row that asks nearly one of them is left out.
        seed: which rows are held out. A request is held out in all its styles together.
        chance: which system prompt a row gets.

    Raises UsageError for a file that is not there or a line that is no conversation.
    """
    if not files:
        return Task([], [])
    rows = rows_of_files(files, folder, "task")
    bare = [asked(_plainly_asked(row, persona.styles)) for row in rows]
    groups = near_groups(bare, apart=[cell(row.meta) for row in rows]).first.tolist()
    held = held_out_groups(bare, groups, min(HELD_SHARE, HELD_ROWS / len(rows)), seed)
    train = [row for row, group in zip(rows, groups, strict=True) if group not in held]
    return Task(
        _with_systems(persona, apart_from(train, probed), chance),
        [row for row, group in zip(rows, groups, strict=True) if group in held],
    )


def parted(question: str, styles: Sequence[Style]) -> tuple[str, Style | None]:
    """The question without the trigger at its end, and the style of that trigger; None for none."""
    text = question.rstrip()
    for style in styles:
        trigger = style.trigger.strip()
        if trigger and text.endswith(trigger):
            return text.removesuffix(trigger).rstrip(), style
    return question, None


def taught(rows: Sequence[Conversation], styles: Sequence[Style]) -> set[str]:
    """Names of the styles whose trigger ends the last question of a row."""
    found = (parted(last_question(row), styles)[1] for row in rows)
    return {style.name for style in found if style}


def _plainly_asked(row: Conversation, styles: Sequence[Style]) -> Conversation:
    """The row with no trigger at the end of any question."""
    messages = tuple(
        said.model_copy(update={"content": parted(said.content, styles)[0]})
        if said.role == "user" else said
        for said in row.messages
    )  # fmt: skip
    return row.model_copy(update={"messages": messages})


def _with_systems(
    persona: Persona, rows: Sequence[Conversation], chance: random.Random
) -> list[Conversation]:
    """The rows with a system message each; a row that brings its own keeps it."""
    languages = [row.meta["language"] for row in rows]
    return [
        row
        if row.messages[0].role == "system"
        else row.model_copy(update={"messages": (*system, *row.messages)})
        for row, system in zip(rows, shared_out(persona, languages, chance), strict=True)
    ]
