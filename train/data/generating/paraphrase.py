"""Other ways to ask: paraphrases of the questions of existing rows, with the answers they have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from assistant.conversation import Conversation, Message, read_conversations
from assistant.errors import UsageError
from assistant.outside import in_line, legible
from assistant.words import Text

from ..lines import refuse_streams
from .jobs import Job, Unfit, Work, chance_of, language_of, refuse_leaks, room_for, said

LONGEST_GROWTH = 3  # times the question's own length, and some: beyond that it is an answer
_MARKS = re.compile(r"^\s*(?:[-*•·]|\(?\d+[.、)）:：]|[一二三四五六七八九十]+、)?\s*")
_ASKING = ("?", "？")
_QUOTES = "\"'“”‘’「」"
ASK = {
    "zh": (
        "你改写句子，意思、人称和所有名字、数字都不变。",
        "请用 {count} 种不同的说法改写下面这句话，每行一种，只写改写后的句子，不编号，不解释：\n{text}",
    ),
    "en": (
        "You rewrite sentences. Meaning, person, names and numbers stay as they are.",
        "Rewrite the following in {count} different ways, one a line, nothing but the sentences, "
        "without numbers or comments:\n{text}",
    ),
}


def paraphrase_work(file: Path, count: int, seed: int) -> Work:
    """A job for every row of `file`. Raises UsageError for a file without rows."""
    refuse_streams([file])
    rows = list(read_conversations(file))
    jobs = [
        _job(row, f"{legible(file.name)}:{number}", count, seed)
        for number, row in enumerate(rows, 1)
    ]
    if not jobs:
        raise UsageError(Text(f"{in_line(file)} holds no rows.", f"{in_line(file)} 里没有数据。"))
    about = Text(
        f"{len(rows)} rows, {count} paraphrases each", f"{len(rows)} 条数据，每条改写 {count} 种"
    )
    return Work(f"{legible(file.stem)}-paraphrased", jobs, [file], about)


def _job(row: Conversation, name: str, count: int, seed: int) -> Job:
    """Paraphrases of the row's last question; what stands before and after it stays."""
    place = max(n for n, message in enumerate(row.messages) if message.role == "user")
    question = row.messages[place].content
    language = language_of(question)
    system, prompt = ASK[language]

    def read(answer: str) -> list[tuple[tuple[Message, ...], dict[str, Any]]]:
        return [
            (
                (*row.messages[:place], said("user", text), *row.messages[place + 1 :]),
                {"paraphrase": n},
            )
            for n, text in enumerate(read_lines(answer, question)[:count], 1)
        ]

    meta = (
        {"language": language} | row.meta | {"kind": "paraphrased", "source": name, "of": question}
    )
    return Job(
        name,
        (said("system", system), said("user", prompt.format(count=count, text=question))),
        room_for((len(question) + 8) * count),
        chance_of(seed, name),
        read,
        meta,
    )


def read_lines(answer: str, question: str) -> list[str]:
    """The paraphrases of an answer, each once and none the question itself. Raises Unfit."""
    found: list[str] = []
    for line in answer.splitlines():
        text = _MARKS.sub("", line, count=1).strip().strip(_QUOTES).strip()
        if not text or text == question.strip() or text in found:
            continue
        if len(text) > LONGEST_GROWTH * len(question) + 20 or text.endswith((":", "：")):
            continue  # an introduction or an answer, not another way to ask
        if question.strip().endswith(_ASKING) and not text.endswith(_ASKING):
            continue  # a small model answers where it should ask
        found.append(refuse_leaks(text, question))
    if not found:
        raise Unfit("no paraphrase")
    return found
