"""How a failure is told to a visitor."""

from __future__ import annotations

import logging

from ..errors import AssistantError, EngineError
from . import words

logger = logging.getLogger(__name__)


def said_of(error: Exception, language: str, *, public: bool) -> str:
    """A failure for the visitor. In public nothing of the inside is told."""
    hidden = public and getattr(error, "code", None) == "internal"
    if isinstance(error, AssistantError) and not hidden:
        return error.in_language(language)
    if not isinstance(error, AssistantError):
        logger.exception("an answer failed", exc_info=error)
    return EngineError("internal", words.UNEXPECTED, words.UNEXPECTED_CURE).in_language(language)
