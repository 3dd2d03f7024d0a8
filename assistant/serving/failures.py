"""How a failure is told to a visitor."""

from __future__ import annotations

import logging

from ..errors import AssistantError, EngineError
from ..libraries import missing_library
from . import messages

logger = logging.getLogger(__name__)


def said_of(error: Exception, language: str, *, public: bool) -> str:
    """A failure for the visitor. In public nothing of the inside is told; the log has it."""
    if isinstance(error, ImportError):
        error = missing_library(error) or error
    if not isinstance(error, AssistantError):
        logger.exception("an answer failed", exc_info=error)
        return _UNEXPECTED.in_language(language)
    code = str(getattr(error, "code", ""))
    if not public or not (error.for_operators or code == "internal"):
        return error.in_language(language)
    logger.warning("an answer failed: %s", error.message.en)
    return (_PUBLIC.get(code) or _UNEXPECTED).in_language(language)


_UNEXPECTED = EngineError("internal", messages.UNEXPECTED, messages.UNEXPECTED_CURE)
_PUBLIC = {
    "context_length": EngineError(
        "context_length", messages.TOO_LONG_FOR_MODEL, messages.TOO_LONG_FOR_MODEL_CURE
    ),
    "unavailable": EngineError("unavailable", messages.NO_ANSWER, messages.NO_ANSWER_CURE),
    "truncated": EngineError("truncated", messages.BROKE_OFF, messages.BROKE_OFF_CURE),
}
