"""Conversations: one JSON object a line, `{"messages": [{"role", "content"}, …], "meta": {…}}`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .artifacts import whole_file
from .errors import UsageError
from .outside import in_line
from .words import Text

Role = Literal["system", "user", "assistant"]


class Message(BaseModel):
    """One turn's half: who speaks, and what is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    content: str


class Conversation(BaseModel):
    """An optional system message, then user and assistant in turn, the user first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...]
    meta: dict[str, Any] = {}

    @model_validator(mode="after")
    def _in_order(self) -> Conversation:
        check_order(self.messages)
        return self

    def line(self) -> str:
        """The conversation as one line of JSONL, without the newline; empty `meta` left out."""
        said = [{"role": message.role, "content": message.content} for message in self.messages]
        value: dict[str, Any] = {"messages": said}
        return json.dumps(value | {"meta": self.meta} if self.meta else value, ensure_ascii=False)


def check_order(messages: Iterable[Message]) -> None:
    """Raise ValueError unless roles are: an optional system, then user, assistant, user, …"""
    spoken = [message.role for message in messages]
    turns = spoken[1:] if spoken[:1] == ["system"] else spoken
    if not turns:
        raise ValueError("no user message")
    for number, role in enumerate(turns):
        expected = ("user", "assistant")[number % 2]
        if role != expected:
            raise ValueError(f"message {number + 1} is of role {role}, expected {expected}")


def read_conversations(file: Path) -> Iterator[Conversation]:
    """Yield the conversations of a JSONL file; blank lines are passed over.

    Raises UsageError naming the first line that is not a conversation.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:  # editors put a mark before it
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield parse_conversation(line, where=f"{in_line(file)}:{number}")
    except UnicodeDecodeError:
        raise UsageError(
            Text(f"{in_line(file)} is not UTF-8 text.", f"{in_line(file)} 不是 UTF-8 文本。")
        ) from None
    except OSError as error:
        raise UsageError(
            Text(
                f"Cannot read {in_line(file)}: {error.strerror}.",
                f"无法读取 {in_line(file)}：{error.strerror}。",
            )
        ) from None


def parse_conversation(line: str, where: str) -> Conversation:
    """One JSONL line as a Conversation. Raises UsageError that begins with `where`."""
    try:
        return Conversation.model_validate_json(line)
    except ValidationError as error:
        what = what_is_wrong(error)
        raise UsageError(
            Text(
                f"{where}: not a conversation ({what.en}).", f"{where}：不是一段对话（{what.zh}）。"
            ),
            Text(
                'A line looks like {"messages":[{"role":"user","content":"…"},'
                '{"role":"assistant","content":"…"}]}.',
                '每行形如 {"messages":[{"role":"user","content":"…"},'
                '{"role":"assistant","content":"…"}]}。',
            ),
        ) from None


def what_is_wrong(error: ValidationError) -> Text:
    """Why a line is no conversation: the keys that one does not have, else the first fault."""
    places = [(".".join(map(str, found["loc"])), found) for found in error.errors()]
    extra = [place for place, found in places if found["type"] == "extra_forbidden"]
    if extra:
        keys = ", ".join(extra[:6])
        return Text(f"keys it does not have: {keys}", f"多出的字段：{keys}")
    place, first = places[0]
    what = f"{place}: {first['msg']}" if place else str(first["msg"])
    return Text(what, what)


def write_conversations(conversations: Iterable[Conversation], file: Path) -> int:
    """Write a JSONL file, whole or not at all; returns the number of conversations."""
    count = 0
    with whole_file(file) as out:
        for conversation in conversations:
            out.write(conversation.line() + "\n")
            count += 1
    return count


def to_markdown(messages: Iterable[Message], names: dict[Role, str]) -> str:
    """A conversation for reading: each message under its speaker's name."""
    return "".join(f"**{names[message.role]}**\n\n{message.content}\n\n" for message in messages)
