"""The account of one answer: when its turn came, its first text, how it ended. No text is kept."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Literal

from ..engines.base import Chunk
from ..errors import AssistantError, EngineError, UsageError
from .limits import BusyError

logger = logging.getLogger(__name__)

# "refused": beyond the limits, or the page is closing. "invalid": the question's own fault.
Outcome = Literal["stop", "length", "cancelled", "refused", "invalid", "failed"]
_ASKERS_FAULTS = ("context_length", "invalid_request")


@dataclass
class AnswerAccount:
    """Filled by the thread that reads the engine and by the one that answers the visitor."""

    asked_at: float = field(default_factory=time.monotonic)
    turn_at: float | None = None
    text_at: float | None = None  # when the last piece of text came
    first_token: float | None = None  # seconds from the turn to the first text
    between: list[float] = field(default_factory=list)  # seconds between two pieces of text
    prompt_tokens: int = 0
    new_tokens: int = 0
    cached_tokens: int = 0
    read_by_engine: bool = False  # the thread that reads the engine closes the account
    outcome: Outcome = "cancelled"  # until something else is known: whoever leaves says nothing
    error: str | None = None  # the kind of failure: an engine's code, or a class

    @property
    def wait(self) -> float | None:
        """Seconds in line; None where the turn never came."""
        return None if self.turn_at is None else self.turn_at - self.asked_at

    def turn(self) -> None:
        """The turn has come."""
        self.turn_at = time.monotonic()

    def piece(self) -> None:
        """Text came."""
        now = time.monotonic()
        if self.text_at is not None:
            self.between.append(now - self.text_at)
        elif self.turn_at is not None:
            self.first_token = now - self.turn_at
        self.text_at = now

    def counts(self, last: Chunk | None) -> None:
        """What the engine's last chunk says."""
        if last is not None:
            self.prompt_tokens = last.prompt_tokens
            self.new_tokens = last.new_tokens
            self.cached_tokens = last.cached_tokens
            self.outcome = last.finish or self.outcome

    def failed(self, error: BaseException) -> None:
        """It ended with an error. One that only closes the iterator is a visitor who left."""
        if isinstance(error, BusyError):
            self.outcome = "refused"
        elif isinstance(error, UsageError) or getattr(error, "code", None) in _ASKERS_FAULTS:
            self.outcome = "invalid"
        elif isinstance(error, Exception):
            self.outcome = "failed"
        if isinstance(error, Exception):
            self.error = error.code if isinstance(error, EngineError) else type(error).__name__

    def log(self) -> None:
        """One line of figures, for the structured log."""
        logger.info("answer", extra={"fields": self.figures()})

    def figures(self) -> dict[str, str | float | int]:
        """What is known, without what was said. Seconds, to the millisecond."""
        now = time.monotonic()
        known = {
            "outcome": self.outcome,
            "error": self.error,
            "queue_wait": self.wait,
            "time_to_first_token": self.first_token,
            "seconds": now - self.asked_at,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "cached_tokens": self.cached_tokens,
        }
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in known.items()
            if value is not None
        }


def is_engines_fault(error: BaseException) -> bool:
    """Whether an error says that the engine itself may be broken, not the question or a server."""
    if isinstance(error, EngineError):
        return error.code == "internal"
    return isinstance(error, Exception) and not isinstance(error, AssistantError)
