"""The one public endpoint, `/chat`: for gradio_client and for other programs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import gradio as gr

from ..config import Config
from ..conversation import Message
from ..engines.base import Sampling
from ..errors import UsageError
from ..serving.answerer import Answerer, Question, Running
from ..serving.failures import said_of
from ..serving.visitors import visitor_of
from ..words import filled
from . import words
from .conversations import from_plain


def add_chat_endpoint(answerer: Answerer, config: Config, *, public: bool, proxies: int) -> None:
    """Add `/chat` to the current Blocks."""
    usual = config.serve.sampling

    async def chat(
        request: gr.Request,
        message: str,
        history: list[dict[str, str]] | None = None,
        system_prompt: str | None = None,
        style: str | None = None,
        max_tokens: int = usual.max_tokens,
        temperature: float = usual.temperature,
        top_p: float = usual.top_p,
        top_k: int = usual.top_k,
        repetition_penalty: float = usual.repetition_penalty,
        seed: int | None = None,
    ) -> AsyncIterator[str]:
        """Answer a message; streams the whole answer so far.

        message: what to answer. history: earlier messages [{"role", "content"}, ...], user and
        assistant in turn, without a system message. system_prompt: instead of the assistant's own
        (null keeps its own, "" leaves it out). style: the name of one of its styles. The rest is
        sampling; temperature 0 always picks the likeliest token.
        """
        running = Running()
        try:
            question = Question(
                text=_text("message", message),
                history=_history(history),
                style=style and _text("style", style),
                system_prompt=system_prompt and _text("system_prompt", system_prompt),
                sampling=Sampling(max_tokens, temperature, top_p, top_k, repetition_penalty, seed),
                visitor=visitor_of(request, proxies),
            )
            async with aclosing(answerer.answer(question, running)) as steps:
                async for step in steps:
                    yield step.text
        except Exception as error:
            raise gr.Error(said_of(error, "en", public=public), print_exception=False) from None

    gr.api(chat, api_name="chat", concurrency_limit=None)


def _history(history: list[dict[str, str]] | None) -> tuple[Message, ...]:
    try:
        return from_plain(history or [])
    except (ValueError, TypeError):
        raise UsageError(words.BAD_HISTORY) from None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(filled(words.FIELD_NOT_TEXT, name=name))
    return value
