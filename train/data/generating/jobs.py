"""A job: one question to the generator, and how its answer becomes rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.conversation import Conversation, Message
from assistant.words import Language, Text

LEAKS = ("{", "}", "[姓名]", "【姓名】", "XX", "××", "○○", "[name]", "[Name]", "[Your")
ROOM_PER_CHARACTER = 2.0  # tokens for a character, small vocabularies included
ROOM = 64  # tokens beyond the wanted length, so that an answer can end by itself


class Unfit(ValueError):
    """An answer that cannot become a row: why."""


@dataclass(frozen=True)
class Job:
    """`read` turns an answer into messages of rows, each with its own part of `meta`; it raises
    Unfit. `name` says for people which cell of the plan this is; it is unique."""

    name: str
    messages: tuple[Message, ...]
    max_tokens: int
    seed: int
    read: Callable[[str], list[tuple[tuple[Message, ...], dict[str, Any]]]]
    meta: dict[str, Any]

    @property
    def id(self) -> str:
        """Changes with what is asked, so that an answer to another question is never taken."""
        asked = json.dumps([self.name, [m.model_dump() for m in self.messages]], ensure_ascii=False)
        return hashlib.sha256(asked.encode()).hexdigest()[:16]

    def rows(self, answer: str, model: str) -> list[Conversation]:
        """The rows of a fit answer. Raises Unfit."""
        return [
            Conversation(
                messages=messages,
                meta=self.meta | own | {"prompt": self.messages[-1].content, "generator": model},
            )
            for messages, own in self.read(answer)
        ]


@dataclass(frozen=True)
class Work:
    """All jobs of one generation, in order; `inputs` are the files they come from. `notes` say what
    of these was not used, `account` says it for the report."""

    name: str
    jobs: Sequence[Job]
    inputs: Sequence[Path]
    about: Text  # what will be asked, for people
    triggers: tuple[str, ...] = ()
    notes: tuple[Text, ...] = ()
    account: Mapping[str, Any] = field(default_factory=dict)


def said(role: str, content: str) -> Message:
    """A message of that role."""
    return Message.model_validate({"role": role, "content": content})


def chance_of(seed: int, *name: str) -> int:
    """A seed of its own for everything that has a name, the same in every run."""
    digest = hashlib.sha256("\0".join([str(seed), *name]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def room_for(characters: int) -> int:
    """The token limit of an answer that should have so many characters."""
    return round(characters * ROOM_PER_CHARACTER) + ROOM


def refuse_leaks(text: str, source: str = "") -> str:
    """The text without outer space. Raises Unfit for nothing at all, or for places left unfilled
    (signs that stand in `source` too are none)."""
    text = text.strip()
    if not text:
        raise Unfit("empty")
    if found := next((leak for leak in LEAKS if leak in text and leak not in source), None):
        raise Unfit(f"unfilled place {found}")
    return text


def language_of(text: str) -> Language:
    """zh where Chinese characters stand in it, else en."""
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"
