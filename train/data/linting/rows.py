"""Rows as `lint` reads them: whatever stands there, right or wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError

from assistant.conversation import Conversation, what_is_wrong
from assistant.outside import in_line
from assistant.progress import Progress, Report
from assistant.words import Text

from ..importing import REASONS, read_file
from ..lines import raw_lines, size_of

SAID_EVERY = 1000  # rows of a file that is imported on the way
_CODE_OF = {
    "order": "E102", "role": "E102", "no_question": "E103", "no_answer": "E103", "empty_turn": "E103",
}  # fmt: skip
_NO_MESSAGES = Text(
    "no object with a list of messages, each with role and content",
    "不是带 messages 列表的对象，每条消息要有 role 和 content",
)


class LooseRow(NamedTuple):
    """A row: its turns if it has any, its meta, and the code and words of what is wrong with it."""

    file: str
    row: int
    turns: tuple[tuple[str, str], ...] = ()  # role, content
    meta: Mapping[str, Any] = MappingProxyType({})
    code: str = ""
    detail: str = ""
    imported: bool = False  # from a file of another shape


def loose_rows(file: Path, report: Report) -> Iterator[LooseRow]:
    """The rows of a file of conversations; other files are imported on the way."""
    what = Text(f"Checking {in_line(file.name)}", f"正在检查 {in_line(file.name)}")
    total = size_of(file)
    if not _holds_conversations(file):
        for done, row in enumerate(_imported(file)):
            if done % SAID_EVERY == 0:
                report(Progress(what, done))
            yield row
        return
    for number, line in raw_lines(file, lambda done: report(Progress(what, done, total, "B"))):
        yield _loose(str(file), number, line)


def _holds_conversations(file: Path) -> bool:
    """Whether one of the first lines is an object with `messages`."""
    if file.suffix.lower() not in (".jsonl", ".ndjson", ".json"):
        return False
    for (_, line), _ in zip(raw_lines(file), range(20)):  # noqa: B905
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        return isinstance(value, dict) and "messages" in value
    return False


def _loose(file: str, number: int, line: bytes) -> LooseRow:
    try:
        value = json.loads(line)
        messages = value["messages"]
        turns = tuple((str(message["role"]), message["content"]) for message in messages)
        meta = value.get("meta") or {}
        if not turns or not all(isinstance(content, str) for _, content in turns):
            raise TypeError("content")
        if not isinstance(meta, dict):
            raise TypeError("meta")
    except ValueError as error:
        return LooseRow(file, number, code="E101", detail=f"JSON: {error}"[:120])
    except (TypeError, KeyError, AttributeError, RecursionError):
        return LooseRow(file, number, code="E101", detail=str(_NO_MESSAGES))
    code, detail = _order(turns)
    if not code:
        try:  # the same reading as training's, so that what passes here is not refused there
            Conversation.model_validate_json(line)
        except ValidationError as error:
            return LooseRow(file, number, code="E101", detail=str(what_is_wrong(error))[:120])
    return LooseRow(file, number, turns, meta, code, detail)


def _order(turns: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The code and words of what is wrong with the turns, empty for nothing."""
    spoken = [role for role, _ in turns]
    if "\ufffd" in "".join(content for _, content in turns):
        return "E101", str(REASONS["characters"])
    first = 1 if spoken[0] == "system" else 0
    for place, role in enumerate(spoken[first:]):
        if role != ("user", "assistant")[place % 2]:
            return "E102", f"{place + first + 1}: {role}"
    for place, (_, content) in enumerate(turns[first:], first):
        if not content.strip():
            return "E103", f"{place + 1}: {spoken[place]}"
    if len(spoken) - first < 2 or spoken[-1] != "assistant":
        return "E103", str(REASONS["no_answer"])
    return "", ""


def _imported(file: Path) -> Iterator[LooseRow]:
    for number, item in read_file(file):
        if isinstance(item, Conversation):
            turns = tuple((message.role, message.content) for message in item.messages)
            yield LooseRow(str(file), number, turns, item.meta, imported=True)
        elif item["reason"] not in ("blank", "above_header"):
            code = _CODE_OF.get(item["reason"], "E101")
            yield LooseRow(
                str(file), number, code=code, detail=str(REASONS[item["reason"]]), imported=True
            )
