"""Load on any engine: so many people at once, each with a question of their own."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from ..config import Config, EngineName
from ..conversation import Message
from ..engines.base import Engine, Sampling
from ..errors import EngineError
from ..progress import Progress
from ..progress import Report as Tell
from ..serving.load import load_assistant
from ..words import Text
from .load_report import Loaded, LoadReport
from .report import taken_here

Kind = Literal["short", "long prompt", "shared system prompt"]
KINDS: tuple[Kind, ...] = ("short", "long prompt", "shared system prompt")
LONG_WORDS = 480  # about 600 tokens of English
QUICK_WORDS = 120
FEWEST = 4  # answers behind a row
SOUPS = ("onions", "beans", "fish", "carrots", "rice")
STORY = "Tell me a long story about a lighthouse."


@dataclass
class LoadRequest:
    """One question: seconds to the first text and between pieces of text, tokens, or an error."""

    first: float | None = None
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0
    error: str = ""


def run_load(
    config: Config,
    engines: Sequence[EngineName],
    model: str | None,
    concurrent: Sequence[int],
    tokens: int,
    rounds: int,
    tell: Tell,
    command: str,
    longest: int = LONG_WORDS,
) -> LoadReport:
    """Each engine in turn, alone in memory; the second is held against the first.

    `longest` is the length of the long prompts in words, where the context has room for so many.
    Raises UsageError, BlockedError or EngineError where an engine cannot be opened; errors of single
    answers are counted.
    """
    report = LoadReport(**taken_here(command))
    for number, name in enumerate(engines, 1):
        engine = load_assistant(config, tell, name, model).engine
        try:
            info = engine.describe()
            report.engines.append(info)
            words = long_words(engine, tokens, longest)
            for kind in KINDS:
                for people in concurrent:
                    said = f"{info.name}, {kind}, {people}"
                    tell(Progress(Text(f"Asking: {said} at once", f"正在提问：{said} 人同时")))
                    count = max(FEWEST, people * rounds)
                    marks = [f"{number}-{people}-{each}" for each in range(count)]
                    questions = [messages(kind, mark, words) for mark in marks]
                    row = measure(engine, number, kind, people, tokens, questions)
                    report.rows.append(replace(row, words=0 if kind == "short" else words))
        finally:
            engine.close()
    report.compare()
    return report


def long_words(engine: Engine, tokens: int, longest: int = LONG_WORDS) -> int:
    """How many words a long prompt has: no more than half of what the context leaves."""
    room = (engine.describe().context_length - tokens) // 2
    a_word = engine.count_tokens([Message(role="user", content=diary(LONG_WORDS))]) / LONG_WORDS
    return max(1, min(longest, int(room / a_word)))


def messages(kind: Kind, mark: str, words: int) -> list[Message]:
    """A question that no prefix cache has seen, but for the shared system prompt."""
    if kind == "long prompt":
        return [Message(role="user", content=f"{mark}. A diary: {diary(words)}\n\n{STORY}")]
    question = Message(role="user", content=f"{mark}. {STORY}")
    if kind == "shared system prompt":
        system = f"You are a storyteller. You kept this diary: {diary(words)}"
        return [Message(role="system", content=system), question]
    return [question]


def diary(words: int) -> str:
    """So many words that a model can go on from; to mere repetition small ones answer nothing."""
    days = (
        f"On day {day} the keeper of the lighthouse counted {3 + day * 7 % 11} ships, wrote down the "
        f"wind, cleaned lamp {1 + day % 4} and cooked soup with {SOUPS[day % len(SOUPS)]}."
        for day in range(1, words + 1)
    )
    return " ".join(islice((word for day in days for word in day.split()), words))


def measure(
    engine: Engine, number: int, kind: Kind, people: int, tokens: int,
    questions: Sequence[Sequence[Message]],
) -> Loaded:  # fmt: skip
    """`questions` asked by `people` at once, each with the next as soon as one is answered."""
    sampling = Sampling(temperature=0, max_tokens=tokens, repetition_penalty=1.0)
    started = time.perf_counter()
    with ThreadPoolExecutor(people) as visitors:
        answers = list(visitors.map(lambda question: ask(engine, question, sampling), questions))
    seconds = time.perf_counter() - started
    return Loaded.of(
        number, engine.describe().name, kind, people, seconds,
        firsts=[one.first for one in answers if one.first is not None],
        gaps=[gap for one in answers for gap in one.gaps],
        tokens=sum(one.tokens for one in answers),
        requests=len(questions),
        errors=dict(Counter(one.error for one in answers if one.error)),
        memory_mb=memory_mb(),
    )  # fmt: skip


def ask(engine: Engine, question: Sequence[Message], sampling: Sampling) -> LoadRequest:
    """One answer, read to its end as a page would read it."""
    asked = LoadRequest()
    began = last = time.perf_counter()
    try:
        for chunk in engine.stream(question, sampling):
            if chunk.text:
                now = time.perf_counter()
                if asked.first is None:
                    asked.first = now - began
                else:
                    asked.gaps.append(now - last)
                last = now
            if chunk.finish:
                asked.tokens = chunk.new_tokens
    except EngineError as error:
        asked.error = error.code
    return asked


def memory_mb() -> float:
    """Resident memory of this process and of those it started (an engine may be one), in MB."""
    return sum(map(_resident_pages, _family(os.getpid()))) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _family(process: int) -> set[int]:
    """A process, its children, theirs, and so on."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            after_name = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(after_name[1])
    family = {process}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _resident_pages(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:  # it ended meanwhile
        return 0
