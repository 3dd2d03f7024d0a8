"""Held-out questions, and what a right answer to each must and must not say.

`train data identity` writes them to `runs/R/data/probes.jsonl`; `train check` asks them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from assistant.artifacts import whole_file
from assistant.conversation import Message, check_order
from assistant.errors import UsageError
from assistant.outside import in_line
from assistant.words import Language, Text

Kind = Literal[
    "identity",
    "author",
    "base",
    "leading",
    "mid",
    "fact",
    "ordinary",
    "style",
    "corrected",
    "reworded",
]


class Probe(BaseModel):
    """A question in its conversation, and the words that tell a right answer.

    `messages` ends with the user's question; a system message is there only where the probe is
    asked with one. Each group of `must` needs one of its alternatives; nothing of `must_not` may
    be said. `style` names the persona's style that the answer is to have. `sly` ones ask who the
    assistant is in slang, in pictures, with a false claim or an order to drop the role.
    `correction` is the id of what the owner put right, `said` and `answer` its answer before and the
    one it should have; asked as it was then ("corrected"), or otherwise ("reworded").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: Kind
    language: Language
    messages: tuple[Message, ...]
    must: tuple[tuple[str, ...], ...] = ()
    must_not: tuple[str, ...] = ()
    style: str | None = None
    sly: bool = False
    correction: str = ""
    said: str = ""
    answer: str = ""

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        check_order(messages)
        if messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return messages

    @property
    def question(self) -> str:
        """What is asked at the end."""
        return self.messages[-1].content

    @property
    def with_system_prompt(self) -> bool:
        """Whether the probe brings a system message of its own."""
        return self.messages[0].role == "system"


def hit(probe: Probe, answer: str) -> bool:
    """Whether `answer` says what it must and nothing that it must not."""
    return not faults(probe, answer)


def faults(probe: Probe, answer: str) -> tuple[Text, ...]:
    """What is wrong with `answer`; nothing for a hit."""
    if not answer.strip():
        return (Text("it is empty", "回答为空"),)
    lacking = [group for group in probe.must if not any(says(answer, word) for word in group)]
    wrong = [word for word in probe.must_not if says(answer, word)]
    return tuple(
        Text(f"does not say {' or '.join(group)}", f"没有说{'或'.join(group)}") for group in lacking
    ) + tuple(Text(f"says {word}", f"说了{word}") for word in wrong)


def says(text: str, word: str) -> bool:
    """Whether `text` contains `word`, in any case and width of letters.

    A word that begins or ends with a Latin letter must not run on into another ("Bei" is not in
    "Beijing"); a number may follow ("SmolLM" is in "SmolLM2"). Chinese has no such edges.
    """
    pattern = _pattern(word)
    return pattern is not None and pattern.search(_folded(text)) is not None


@cache
def _pattern(word: str) -> re.Pattern[str] | None:
    wanted = _folded(word)
    before = "(?<![a-z])" if wanted[:1].isascii() and wanted[:1].isalpha() else ""
    after = "(?![a-z])" if wanted[-1:].isascii() and wanted[-1:].isalpha() else ""
    return re.compile(before + re.escape(wanted) + after) if wanted else None


@lru_cache(maxsize=64)  # one answer is searched for many words
def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def write_probes(probes: Iterable[Probe], file: Path) -> int:
    """Write a JSONL file, whole or not at all; returns the number of probes."""
    count = 0
    with whole_file(file) as out:
        for probe in probes:
            out.write(probe.model_dump_json() + "\n")
            count += 1
    return count


def read_probes(file: Path) -> list[Probe]:
    """The probes of a JSONL file. Raises UsageError naming the first line that is not one."""
    return list(_probes(file))


def _probes(file: Path) -> Iterator[Probe]:
    cure = Text(
        "Make them again: python -m train data identity --force",
        "请重新生成：python -m train data identity --force",
    )
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(
            Text(
                f"Cannot read {in_line(file)}: {reason}.", f"无法读取 {in_line(file)}：{reason}。"
            ),
            cure,
        ) from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield Probe.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                Text(
                    f"{in_line(file)}:{number}: not a probe ({place}: {first['msg']}).",
                    f"{in_line(file)}:{number}：不是探测题（{place}: {first['msg']}）。",
                ),
                cure,
            ) from None
