"""What readers give: a record with its number in the file, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assistant.words import Text

REASONS: dict[str, Text] = {
    "blank": Text("blank row", "空行"),
    "above_header": Text("stands above the header row", "在表头之上"),
    "broken": Text("cannot be read", "无法读取"),
    "too_many_cells": Text("more cells than the table has columns", "单元格多于表格的列"),
    "too_long": Text("longer than a row can be", "超过一行的长度上限"),
    "open_quote": Text("a quotation mark is opened and never closed", "引号没有闭合"),
    "characters": Text("damaged characters", "有损坏的字符"),
    "not_object": Text("not a row of named values", "不是由名称和值组成的一行"),
    "unknown_shape": Text("no question and answer were recognised", "认不出问题和回答"),
    "no_question": Text("the question is empty", "问题为空"),
    "no_answer": Text("the answer is empty", "回答为空"),
    "empty_turn": Text("a message is empty", "有一条消息为空"),
    "order": Text("the roles are out of order", "角色顺序不对"),
    "role": Text("a role that is not system, user or assistant", "角色不是系统、用户或助手"),
    "not_text": Text("a value is not text", "有的值不是文字"),
    "error_value": Text("a cell shows an error", "单元格显示错误值"),
    "no_stored_value": Text(
        "a formula whose result is not stored; open and save the file in a spreadsheet program",
        "公式没有保存结果；请用表格软件打开并保存一次",
    ),
}
NOTES: dict[str, Text] = {
    "unanswered_end": Text(
        "a last question without an answer was left out", "末尾没有回答的问题被去掉"
    ),
}
EXCERPT = 200  # characters of a dropped row that the side file keeps


class Record(NamedTuple):
    """A row as the file holds it: `number` as a person would look it up there."""

    number: int
    value: dict[str, Any]


class Dropped(NamedTuple):
    """A row that cannot be used. `reason` is a key of REASONS."""

    number: int
    reason: str
    detail: str = ""
    excerpt: str = ""
    fatal: bool = False  # nothing after it could be read
    rows: int = 1  # how many rows from `number` on


class UnusableError(Exception):
    """A record holds no conversation."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Columns:
    """Which column or key holds what, as the person named it; None: recognised by its name."""

    question: str | None = None
    answer: str | None = None
    input: str | None = None
    system: str | None = None
    history: str | None = None
    meta: tuple[str, ...] = ()

    def named(self) -> dict[str, str]:
        """Field -> column, of those that were named."""
        pairs = {
            "question": self.question, "answer": self.answer, "input": self.input,
            "system": self.system, "history": self.history,
        }  # fmt: skip
        return {name: column for name, column in pairs.items() if column is not None}


@dataclass(frozen=True)
class Options:
    """How to read. What is left None is found out from the file."""

    columns: Columns = Columns()
    shape: str = "auto"
    system: str = ""
    sheet: str | None = None
    header_row: int | None = None
    header: bool = True
    encoding: str | None = None
    delimiter: str | None = None


def nothing_read() -> float:
    """The share of a file that was read before it is known."""
    return 0.0


@dataclass
class Reading:
    """What was found out about one file while it was read, and how much of it was read."""

    format: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    share_read: Callable[[], float] = nothing_read
