"""The base model's own answers to ordinary questions: asked once per base, kept for ever.

Each answer is kept as soon as it is there, so a killed run asks for nothing twice. The file is for
one base, one engine and one way of sampling; questions are looked up in it one by one, so a bank
that grew asks for what is new only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from assistant.artifacts import fingerprint
from assistant.conversation import Message
from assistant.engines.base import Engine, Sampling
from assistant.models import LocalModel, home
from assistant.progress import Progress, Report
from assistant.words import Text

FORMAT = 1  # counted up when what is asked for changes
WHAT = Text("The base model answers ordinary questions", "基座模型回答日常问题")


class BaseAnswer(BaseModel):
    """What the base said to a question, and whether it ended by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    answer: str
    finish: Literal["stop", "length"]
    tokens: int


def sampling(max_tokens: int) -> Sampling:
    """Greedy, with the mild penalty that answers are served with: a small model repeats without."""
    return Sampling(max_tokens=max_tokens, temperature=0, top_p=1, repetition_penalty=1.05)


def cache_file(model: LocalModel, engine: str, how: Sampling) -> Path:
    """Where the answers of `model` lie."""
    pinned = f"{model.reference}@{model.revision}" if model.revision else fingerprint(model.path)
    key = hashlib.sha256(f"{FORMAT}\0{pinned}\0{engine}\0{how}".encode()).hexdigest()[:16]
    return home() / "ordinary" / f"{key}.jsonl"


def base_answers(
    engine: Engine,
    questions: Sequence[str],
    file: Path,
    how: Sampling,
    at_once: int,
    report: Report,
) -> dict[str, BaseAnswer]:
    """The answers to `questions`, by question, from `file` or else from `engine`.

    Raises EngineError where the engine fails; what was answered until then is kept.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        known = read_answers(file)
        missing = [question for question in dict.fromkeys(questions) if question not in known]
        if missing:
            for answer in _asked(engine, missing, file, how, at_once, report):
                known[answer.question] = answer
    return {question: known[question] for question in questions}


def read_answers(file: Path) -> dict[str, BaseAnswer]:
    """The answers kept in `file`; a last line that a kill cut short is not one."""
    if not file.is_file():
        return {}
    found = {}
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            answer = BaseAnswer.model_validate_json(line)
        except ValidationError:
            continue
        found[answer.question] = answer
    return found


def _asked(
    engine: Engine, questions: list[str], file: Path, how: Sampling, at_once: int, report: Report
) -> Iterator[BaseAnswer]:
    """Ask `at_once` questions side by side: the engine steps them together."""
    report(Progress(WHAT, 0, len(questions)))
    with _appending(file) as out, ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(_ask, engine, question, how) for question in questions]
        try:
            for number, done in enumerate(as_completed(waiting), 1):
                answer = done.result()
                out.write(json.dumps(answer.model_dump(), ensure_ascii=False) + "\n")
                out.flush()
                report(Progress(WHAT, number, len(questions)))
                yield answer
        except BaseException:
            for later in waiting:
                later.cancel()
            raise


@contextmanager
def _appending(file: Path) -> Iterator:
    """Open for adding lines, after an end of line if a kill left none."""
    cut = file.is_file() and file.stat().st_size > 0 and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8", newline="\n") as out:
        if cut:
            out.write("\n")
        yield out


def _ask(engine: Engine, question: str, how: Sampling) -> BaseAnswer:
    """One answer. No system message: the base's template puts in its own, so it stays itself."""
    pieces, last = [], None
    for chunk in engine.stream([Message(role="user", content=question)], how):
        pieces.append(chunk.text)
        last = chunk
    finish: Literal["stop", "length"] = "length"
    if last is not None and last.finish == "cancelled":
        raise InterruptedError("the answer was cancelled")
    if last is not None and last.finish == "stop":
        finish = "stop"
    return BaseAnswer(
        question=question, answer="".join(pieces), finish=finish,
        tokens=last.new_tokens if last else 0,
    )  # fmt: skip
