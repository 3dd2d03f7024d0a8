"""Expected failures: each says what is wrong, with the value, and what mends it.

Exit codes (design.md): 0 done, 1 it ran and found a failure, 2 wrong use or configuration,
3 blocked by something outside. They are caught once, at the command's edge (`assistant.cli`).
"""

from __future__ import annotations

from typing import Literal

from .words import Text

EngineErrorCode = Literal[
    "context_length", "invalid_request", "unavailable", "truncated", "internal"
]


class AssistantError(Exception):
    """Base of all expected failures. `message` says what is wrong, `cure` what to do about it."""

    exit_code = 1
    for_operators = False  # it names an address or a path: not for visitors of a public page

    def __init__(self, message: Text, cure: Text | None = None):
        self.message = message
        self.cure = cure
        super().__init__(self.in_language("en"))

    def in_language(self, language: str) -> str:
        """Message and cure in one language, the cure on a line of its own."""
        parts = [self.message, self.cure] if self.cure else [self.message]
        return "\n".join(part.in_language(language) for part in parts)


class FailedError(AssistantError):
    """The work ran and found a failure: a gate not passed, lint errors, a mismatch."""

    exit_code = 1


class UsageError(AssistantError):
    """Wrong use or configuration: the person can mend it here."""

    exit_code = 2


class BlockedError(AssistantError):
    """Blocked by something outside: no network, no token, no GPU, no disk space, a taken port."""

    exit_code = 3


class DamagedError(BlockedError):
    """What a source delivered is not what it says it has."""


class EngineError(AssistantError):
    """An engine could not answer. `code` is the same on every engine (see `EngineErrorCode`)."""

    def __init__(self, code: EngineErrorCode, message: Text, cure: Text | None = None):
        super().__init__(message, cure)
        self.code = code
        if code in ("context_length", "invalid_request"):
            self.exit_code = UsageError.exit_code
        elif code in ("unavailable", "truncated"):
            self.exit_code = BlockedError.exit_code
