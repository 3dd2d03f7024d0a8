"""An engine without weights: says what was said to it. For tests and for work on the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ..conversation import Message
from .base import Chunk, Engine, EngineInfo, Generation, Sampling, closed_error

CONTEXT_LENGTH = 2048
SECONDS_PER_TOKEN = 0.02


class EchoEngine(Engine):
    """One token is one character. Obeys the same contract as a real engine, at a reader's pace."""

    def __init__(self, seconds_per_token: float = SECONDS_PER_TOKEN):
        self._seconds_per_token = seconds_per_token
        self._closed = threading.Event()
        self._previous_prompt = ""

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        if self._closed.is_set():
            raise closed_error()
        prompt = _prompt(messages)
        cached = _common_prefix(prompt, self._previous_prompt)
        self._previous_prompt = prompt
        return _Echo(
            messages[-1].content, sampling.max_tokens, len(prompt), cached,
            self._seconds_per_token, self._closed,
        )  # fmt: skip

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(_prompt(messages))

    def describe(self) -> EngineInfo:
        return EngineInfo("echo", "none", "echo", CONTEXT_LENGTH)

    def close(self) -> None:
        self._closed.set()


class _Echo(Generation):
    def __init__(
        self, text: str, limit: int, prompt_tokens: int, cached: int,
        seconds: float, engine_closed: threading.Event,
    ):  # fmt: skip
        self._characters = iter(text[:limit])
        self._cut = len(text) > limit
        self._prompt_tokens = prompt_tokens
        self._cached = cached
        self._seconds = seconds
        self._new = 0
        self._cancelled = threading.Event()
        self._engine_closed = engine_closed
        self._ended = False

    def __next__(self) -> Chunk:
        if self._ended:
            raise StopIteration
        if not self._cancelled.is_set() and not self._engine_closed.is_set():
            time.sleep(self._seconds)
            character = next(self._characters, None)
            if character is not None:
                self._new += 1
                return Chunk(character)
        self._ended = True
        stopped = self._cancelled.is_set() or self._engine_closed.is_set()
        return Chunk(
            finish="cancelled" if stopped else "length" if self._cut else "stop",
            prompt_tokens=self._prompt_tokens,
            new_tokens=self._new,
            cached_tokens=self._cached,
        )

    def close(self) -> None:
        self._cancelled.set()


def _prompt(messages: Sequence[Message]) -> str:
    return "".join(f"<{message.role}>{message.content}\n" for message in messages)


def _common_prefix(one: str, other: str) -> int:
    length = min(len(one), len(other))
    return next((place for place in range(length) if one[place] != other[place]), length)
