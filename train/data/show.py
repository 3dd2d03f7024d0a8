"""`train data show`: rows for reading, also as training will see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from assistant.conversation import Conversation
from assistant.words import Text

from .lines import Numbered, conversations_of

ROLES = {"system": Text("system", "系统"), "user": Text("user", "用户"), "assistant": Text("assistant", "助手")}  # fmt: skip
COLOURS = {"system": "magenta", "user": "cyan", "assistant": "green"}


def chosen_rows(files: Sequence[Path], find: str = "", start: int = 1) -> Iterator[Numbered]:
    """The rows from number `start` on, over all files, that hold `find`."""
    number = 0
    for file in files:
        for row in conversations_of(file):
            number += 1
            if number >= start and (not find or _holds(row.conversation, find)):
                yield Numbered(number, row.conversation)


def _holds(conversation: Conversation, text: str) -> bool:
    return any(text.casefold() in message.content.casefold() for message in conversation.messages)


def as_read(row: Numbered) -> str:
    """A row for a person: who says what, and its meta."""
    lines = [click.style(f"#{row.line}", bold=True)]
    for message in row.conversation.messages:
        name = click.style(str(ROLES[message.role]), fg=COLOURS[message.role], bold=True)
        lines.append(f"{name}  {message.content}")
    if row.conversation.meta:
        meta = "  ".join(f"{key}={value}" for key, value in row.conversation.meta.items())
        lines.append(click.style(meta, dim=True))
    return "\n".join(lines)


def as_rendered(row: Numbered, tokenizer: Any, max_length: int | None) -> str:
    """The text of the chat template; what the loss falls on in green, what is cut away in red.

    Without colours (a file, a pipe) the learned parts stand between ⟦ and ⟧.
    """
    parts = [click.style(f"#{row.line}", bold=True)]
    for sample in _samples(row, tokenizer):
        learned = sum(taught for _, taught, _ in sample)
        total = sum(size for _, _, size in sample)
        cut = max(0, total - max_length) if max_length else 0
        head = Text(
            f"{total} tokens, {learned} learned" + (f", {cut} cut" if cut else ""),
            f"{total} 个 token，学习 {learned} 个" + (f"，截去 {cut} 个" if cut else ""),
        )
        parts.append(click.style(str(head), dim=True))
        parts.append("".join(_painted(text, taught, size) for text, taught, size in sample))
    return "\n".join(parts)


def _painted(text: str, taught: int, size: int) -> str:
    return click.style(f"⟦{text}⟧", fg="green") if taught else text


def _samples(row: Numbered, tokenizer: Any) -> Iterator[list[tuple[str, int, int]]]:
    """Each training sample as runs of (text, tokens learned in it, tokens of it)."""
    from ..render import IGNORED, render

    for sample in render(tokenizer, row.conversation.messages):
        runs: list[tuple[str, int, int]] = []
        start = 0
        taught = [label != IGNORED for label in sample.labels]
        for place in range(1, len(taught) + 1):
            if place == len(taught) or taught[place] != taught[start]:
                ids = list(sample.input_ids[start:place])
                text = tokenizer.decode(ids, skip_special_tokens=False)
                runs.append((text, len(ids) if taught[start] else 0, len(ids)))
                start = place
        yield runs


def rendered_json(row: Numbered, tokenizer: Any) -> list[dict[str, Any]]:
    """The samples for --json: text, and its runs with whether they are learned."""
    return [
        {
            "tokens": sum(size for _, _, size in sample),
            "learned": sum(taught for _, taught, _ in sample),
            "parts": [{"text": text, "learned": bool(taught)} for text, taught, _ in sample],
        }
        for sample in _samples(row, tokenizer)
    ]
