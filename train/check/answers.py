"""Answers of the serving engine to probes: greedy, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from assistant.engines.base import Chunk, Engine, Sampling
from assistant.progress import Progress, Report
from assistant.words import Text

from .probing import Asked


@dataclass(frozen=True)
class Answer:
    """What was said to a probe. `prompt` is the prompt's token ids, where the engine shows them."""

    text: str
    ended: bool  # by the model itself, before the limit
    tokens: int
    prompt_tokens: int
    prompt: tuple[int, ...] | None = None


def greedy(max_tokens: int) -> Sampling:
    """The likeliest token each time, nothing penalised: what two programs can agree on."""
    return Sampling(max_tokens=max_tokens, temperature=0, top_p=1, top_k=0, repetition_penalty=1)


def engine_answers(
    engine: Engine, asked: Sequence[Asked], concurrent: int, what: Text, report: Report
) -> list[Answer]:
    """The engine's answers in the order of `asked`, `concurrent` at a time. Raises EngineError."""
    with ThreadPoolExecutor(concurrent) as pool:
        waiting = [pool.submit(_answer, engine, each) for each in asked]
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                future.result()
                report(Progress(what, done, len(waiting)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in waiting]


def _answer(engine: Engine, asked: Asked) -> Answer:
    generation = engine.stream(asked.messages, greedy(asked.max_tokens))
    shown = getattr(generation, "prompt", None)
    text, last = "", Chunk()
    for last in generation:
        text += last.text
    return Answer(
        text,
        last.finish == "stop",
        last.new_tokens,
        last.prompt_tokens,
        None if shown is None else tuple(shown),
    )
