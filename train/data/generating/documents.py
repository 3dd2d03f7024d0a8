"""Questions and answers from a person's own documents, passage by passage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assistant.conversation import Message
from assistant.errors import UsageError
from assistant.outside import legible
from assistant.words import Text

from .jobs import Job, Unfit, Work, chance_of, language_of, refuse_leaks, room_for, said
from .reading import ENDINGS, Document, ReadingAccount, read_document, read_documents

__all__ = ["cut_up", "documents_work", "passages", "read_document", "read_pairs"]

PASSAGE_CHARS = 600
SHORTEST_PASSAGE = 40  # characters: less holds nothing to ask about
ANSWER_CHARS = 160  # room for one question with its answer
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_SENTENCE = re.compile(r"(?<=[。！？；!?;])|(?<=\.)\s+")
_PAIR = re.compile(
    r"^\s*(?:\d+[.、)]\s*)?\**(?:问题?|Q|Question)\s*\d*\**\s*[:：]\**\s*(?P<ask>.+?)\s*$\s*"
    r"^\s*\**(?:回?答案?|A|Answer)\s*\d*\**\s*[:：]\**\s*(?P<answer>.+?)\s*"
    r"(?=^\s*(?:\d+[.、)]\s*)?\**(?:问题?|Q|Question)\s*\d*\**\s*[:：]|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
ASK = {
    "zh": (
        "你为一个问答助手编写训练数据。只根据给出的资料提问和回答，不补充资料里没有的内容。",
        "资料（{where}）：\n<<<\n{passage}\n>>>\n\n"
        "请写 {count} 组问答。问题要像一个没有看过这份资料的人会问的，自成一句，不说“本文”“资料中”；"
        "回答完整、准确，不超过 100 字。严格按下面的格式，每组两行：\n问：……\n答：……",
    ),
    "en": (
        "You write training data for an assistant that answers questions. Ask and answer from the "
        "given text only, and add nothing that does not stand there.",
        "Text ({where}):\n<<<\n{passage}\n>>>\n\n"
        "Write {count} pairs of question and answer. Each question stands alone, as somebody would "
        'ask who never saw the text; do not say "the text". Answers are complete and right, at most '
        "60 words. Keep to this form, two lines for a pair:\nQ: …\nA: …",
    ),
}


def documents_work(files: Sequence[Path], pairs: int, seed: int) -> Work:
    """A job for every passage of the documents; folders are searched for documents. What was not
    used is in the work's notes and account.

    Raises UsageError where there is nothing to read.
    """
    documents, account = read_documents(files)
    jobs = []
    for document in documents:
        cut = cut_up(document.text)
        account.short_passages += cut.short
        jobs += [
            _job(document, number, heading, passage, pairs, seed)
            for number, (heading, passage) in enumerate(cut.found, 1)
        ]
    if not jobs:
        raise _nothing(account)
    counted = "document" if len(documents) == 1 else "documents"
    about = Text(
        f"{len(documents)} {counted}, {len(jobs)} passages, {pairs} pairs each",
        f"{len(documents)} 份文档，{len(jobs)} 个段落，每段 {pairs} 组问答",
    )
    return Work(
        "documents", jobs, account.used, about, notes=tuple(account.notes()),
        account={"documents": account.as_json()},
    )  # fmt: skip


def _nothing(account: ReadingAccount) -> UsageError:
    notes = account.notes()
    return UsageError(
        Text(
            "\n".join(["The documents hold no passage to ask about.", *(one.en for one in notes)]),
            "\n".join(["文档里没有可以提问的段落。", *(one.zh for one in notes)]),
        ),
        Text(f"Read are: {' '.join(ENDINGS)}", f"可读取：{' '.join(ENDINGS)}"),
    )


class Cut(NamedTuple):
    """A text in passages: heading and text of each, and how many pieces were too short for one."""

    found: list[tuple[str, str]]
    short: int


def passages(text: str, limit: int = PASSAGE_CHARS) -> list[tuple[str, str]]:
    """The headings and passages of `cut_up`."""
    return cut_up(text, limit).found


def cut_up(text: str, limit: int = PASSAGE_CHARS) -> Cut:
    """Headings and passages: whole paragraphs together up to `limit` characters; a longer paragraph is
    cut between sentences."""
    found: list[tuple[str, str]] = []
    heading, held = "", ""
    for block in _blocks(text):
        title = _HEADING.match(block)
        if title or len(held) + len(block) + 1 > limit:
            found.append((heading, held))
            held = ""
        if title:
            heading = title[1]
        else:
            held = f"{held}\n{block}".strip()
    found.append((heading, held))
    long = [(heading, passage) for heading, passage in found if len(passage) >= SHORTEST_PASSAGE]
    return Cut(long, sum(0 < len(passage) < SHORTEST_PASSAGE for _, passage in found))


def _blocks(text: str) -> Iterator[str]:
    """Headings and pieces of paragraphs, none longer than PASSAGE_CHARS."""
    for paragraph in re.split(r"\n\s*\n|\n(?=#{1,6}\s)|(?<=\n)(?<!#)(?=#{1,6}\s)", text):
        first, _, rest = paragraph.strip().partition("\n")
        if _HEADING.match(first):
            yield first
            paragraph = rest
        piece = ""
        for sentence in _SENTENCE.split(" ".join(paragraph.split())):
            for start in range(0, len(sentence), PASSAGE_CHARS):
                part = sentence[start : start + PASSAGE_CHARS]
                if len(piece) + len(part) > PASSAGE_CHARS:
                    yield piece
                    piece = ""
                piece += part if piece.endswith(tuple("。！？；")) or not piece else f" {part}"
        if piece.strip():
            yield piece.strip()


def _job(document: Document, number: int, heading: str, passage: str, pairs: int, seed: int) -> Job:
    language = language_of(passage)
    stem = legible(document.path.stem)
    where = f"{stem}, {heading}" if heading else stem
    system, prompt = ASK[language]
    name = f"{document.name}#{number}"

    def read(answer: str) -> list[tuple[tuple[Message, ...], dict[str, Any]]]:
        found = read_pairs(answer, passage)
        return [
            ((said("user", ask), said("assistant", reply)), {"pair": place})
            for place, (ask, reply) in enumerate(found[:pairs], 1)
        ]

    return Job(
        name,
        (
            said("system", system),
            said("user", prompt.format(where=where, passage=passage, count=pairs)),
        ),
        room_for(ANSWER_CHARS * pairs),
        chance_of(seed, name),
        read,
        {
            "kind": "generated",
            "language": language,
            "source": name,
            "topic": heading or stem,
        },
    )


def read_pairs(answer: str, passage: str = "") -> list[tuple[str, str]]:
    """The pairs of an answer, each question once. Raises Unfit where there is none."""
    found: dict[str, str] = {}
    for pair in _PAIR.finditer(answer):
        ask, reply = (refuse_leaks(pair[part].strip("* \n"), passage) for part in ("ask", "answer"))
        found.setdefault(ask, reply)
    if not found:
        raise Unfit("no pair of question and answer")
    return list(found.items())
