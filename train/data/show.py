"""`train data show`: rows for reading, also as training will see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
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


def as_rendered(row: Numbered, tokenizer: Any, max_length: int) -> str:
    """The text of the chat template; what the loss falls on in green, what is cut away in red.

    Without colours (a file, a pipe) the learned parts stand between ⟦ and ⟧, and ✂ before what is
    cut away. Raises TemplateError where the template refuses the row.
    """
    parts = [click.style(f"#{row.line}", bold=True)]
    for sample in rendered_json(row, tokenizer, max_length):
        total, learned, cut = sample["tokens"], sample["learned"], sample["cut"]
        head = Text(
            f"{total} tokens, {learned} learned" + (f", {cut} cut" if cut else ""),
            f"{total} 个 token，学习 {learned} 个" + (f"，截去 {cut} 个" if cut else ""),
        )
        parts.append(click.style(str(head), dim=True))
        parts.append("".join(_painted(part) for part in sample["parts"]))
    return "\n".join(parts)


def _painted(part: dict[str, Any]) -> str:
    if part["cut"]:
        return click.style(f"✂{part['text']}", fg="red")
    return click.style(f"⟦{part['text']}⟧", fg="green") if part["learned"] else part["text"]


def rendered_json(row: Numbered, tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    """The training samples of a row: tokens in all, learned and cut, and the text in parts that
    are learned, only read, or cut away."""
    from .render import IGNORED, render_conversation

    found = []
    for sample in render_conversation(tokenizer, row.conversation):
        kept = sample.cut(max_length)
        states = [(label != IGNORED, False) for label in kept.labels]
        states += [(False, True)] * (len(sample.input_ids) - len(kept.input_ids))
        parts, start = [], 0
        for (learned, cut), run in groupby(states):
            end = start + sum(1 for _ in run)
            text = tokenizer.decode(list(sample.input_ids[start:end]), skip_special_tokens=False)
            parts.append({"text": text, "learned": learned, "cut": cut})
            start = end
        found.append({
            "tokens": len(sample.input_ids), "learned": kept.learned,
            "cut": len(sample.input_ids) - len(kept.input_ids), "parts": parts,
        })  # fmt: skip
    return found
