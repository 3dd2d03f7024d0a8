"""Which column holds what: by the words people write over their columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from assistant.errors import UsageError
from assistant.words import Text

from .records import Columns

# Field -> names, the surest first. Compared without case, spaces and punctuation.
NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        "instruction", "question", "prompt", "query", "ask", "usermessage", "user", "human",
        "问题", "提问", "指令", "提示词", "提示", "用户输入", "用户问题", "用户提问", "用户", "题目", "问句", "问", "q",
        "problem", "inputs", "message1",
    ),
    "input": (
        "input", "context", "contexts", "article", "passage", "choices", "输入", "上下文", "补充", "补充输入", "背景", "材料",
    ),
    "answer": (
        "correctedanswer", "修正后的回答", "修改后的回答",
        "output", "answer", "completion", "response", "reply", "assistantmessage", "assistant", "target",
        "回答", "答案", "输出", "回复", "答复", "回应", "应答", "助手回答", "助手", "标准答案", "答", "a",
        "generation", "solution", "explanation", "revision", "targets", "message2", "chosen", "chosenresponse",
        "responsechosen", "chosenanswer", "answerchosen", "chosenoutput", "outputchosen", "responseaccepted", "acceptedresponse",
        "preferredresponse", "longanswer",
    ),
    "system": ("system", "systemprompt", "系统提示词", "系统提示", "系统", "人设"),
    "history": ("history", "历史", "对话历史", "历史对话"),
    "role": ("role", "角色", "人物", "对象"),
    "scene": ("scene", "occasion", "场景", "场合"),
    "style": ("style", "风格"),
}  # fmt: skip
META_FIELDS = ("role", "scene", "style")
_FIELD_OF = {
    name: (field, rank) for field, names in NAMES.items() for rank, name in enumerate(names)
}
_LETTERS = re.compile(r"[A-Za-z]{1,3}")


@lru_cache(maxsize=1024)
def plain_name(name: str) -> str:
    """A header as it is compared."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


def recognise(names: Sequence[str]) -> dict[str, str]:
    """Field -> the name among `names` that stands for it. An `input` alone is the question."""
    best: dict[str, tuple[int, str]] = {}
    lettered = "b" in map(plain_name, names)  # A stands for the first choice there
    for name in names:
        field, rank = _FIELD_OF.get(plain_name(name), ("", 0))
        if lettered and plain_name(name) == "a":
            continue
        if field and (field not in best or rank < best[field][0]):
            best[field] = (rank, name)
    found = {field: name for field, (_, name) in best.items()}
    if "question" not in found and "input" in found:
        found["question"] = found.pop("input")
    return found


def usable(fields: Mapping[str, str]) -> bool:
    """Whether question and answer are both there."""
    return "question" in fields and "answer" in fields


def column_number(letters: str) -> int:
    """0 for "A", 26 for "AA"."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def column_letters(number: int) -> str:
    """ "A" for 0, "AA" for 26."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def is_letter_of(name: str, columns: int) -> bool:
    """Whether a name may mean one of so many columns by its letter."""
    return bool(_LETTERS.fullmatch(name)) and column_number(name) < max(columns, 1)


def all_titled(names: Iterable[str], header: Sequence[str]) -> bool:
    """Whether each of the names stands over a column."""
    titles = {plain_name(title) for title in header} - {""}
    wanted = [plain_name(name) for name in names]
    return bool(wanted) and all(name in titles for name in wanted)


def named_columns(columns: Columns, header: Sequence[str]) -> dict[str, int]:
    """Field -> column number for the columns a person named, by header or by letter.

    Names that are all letters are titles only where each of them is one: a cell that reads "A" is
    mostly the answer of a row. Raises UsageError for a column that is not there, and where one
    column is to be both question and answer.
    """
    named = columns.named()
    titles = header
    lettered = all(is_letter_of(name, len(header)) for name in named.values())
    if lettered and not all_titled(named.values(), header):
        titles = [""] * len(header)
    found = {field: _place(name, titles, header) for field, name in named.items()}
    if "question" in found and found["question"] == found.get("answer"):
        raise UsageError(
            Text(
                f"Question and answer are one column: {named['question']}.",
                f"问题和回答是同一列：{named['question']}。",
            ),
            seen_columns(header),
        )
    return found


def find_column(name: str, header: Sequence[str]) -> int:
    """The number of the column called `name`, or lettered so. Raises UsageError."""
    return _place(name, header, header)


def _place(name: str, titles: Sequence[str], shown: Sequence[str]) -> int:
    for number, title in enumerate(titles):
        if plain_name(title) == plain_name(name) and plain_name(name):
            return number
    if is_letter_of(name, len(titles)):
        return column_number(name)
    raise UsageError(
        Text(f"There is no column {name!r}.", f"没有叫 {name!r} 的列。"), seen_columns(shown)
    )


def seen_columns(header: Sequence[str], header_row: bool = True) -> Text:
    """The columns, as a hint how to name them. `header_row`: the row they stand on is a header."""
    titles = [
        f"{column_letters(number)}={_short(title)!r}" for number, title in enumerate(header[:12])
    ]
    shown = ", ".join(titles) or "-"
    if len(header) > 12:
        shown += ", …"
    if not header_row:
        return Text(
            f"The first row reads {shown}. If it is data, say which column is which: "
            "--no-header --question A --answer B",
            f"第一行是 {shown}。如果它是数据行，请指明各列：--no-header --question A --answer B",
        )
    return Text(
        f"The columns are {shown}. Say which is which: --question A --answer B "
        "(and --no-header if the first row is data)",
        f"这些列是 {shown}。请指明：--question A --answer B（如果第一行就是数据，再加 --no-header）",
    )


def _short(title: str) -> str:
    flat = " ".join(title.split())
    return flat if len(flat) <= 24 else flat[:23] + "…"


def unique(header: Sequence[str]) -> list[str]:
    """Column names that are all different: empty or repeated ones get their letter."""
    seen: set[str] = set()
    names = []
    for number, title in enumerate(header):
        name = title.strip() or column_letters(number)
        if name in seen:
            name = f"{name} ({column_letters(number)})"
        seen.add(name)
        names.append(name)
    return names
