"""One chat completion: the request as a Question, the Steps as OpenAI's objects, whole or streamed."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..config import SamplingTable
from ..conversation import Message
from ..engines.base import Sampling
from ..serving.answerer import Answerer, Question, Running, Step
from ..words import written_language
from .errors import READY_SOON_SECONDS, ApiError, api_error
from .names import style_of
from .schema import ChatRequest, GivenMessage

LEAST_TOP_P = 1e-6  # OpenAI allows 0: the likeliest token alone
SEEDS = 2**63
CLIENT_LEFT = 499
NOT_KEPT = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def question_of(asked: ChatRequest, style: str | None, usual: SamplingTable) -> Question:
    """What is asked, in `style`. Raises ApiError for messages in an order that no model knows."""
    system, history, text = _conversation(asked)
    named = {
        "temperature": asked.temperature,
        "top_p": None if asked.top_p is None else max(asked.top_p, LEAST_TOP_P),
        "top_k": asked.top_k,
        "repetition_penalty": asked.repetition_penalty,
        "max_tokens": asked.max_completion_tokens or asked.max_tokens,
        "seed": None if asked.seed is None else asked.seed % SEEDS,
    }
    chosen = {name: value for name, value in named.items() if value is not None}
    stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    sampling = {**usual.model_dump(), **chosen, "stop": tuple(stop for stop in stops if stop)}
    form = asked.response_format.form() if asked.response_format else None
    return Question(
        text=text,
        history=history,
        style=style,
        system_prompt=system,
        language=written_language(text),
        sampling=Sampling(**sampling, form=form),
        visitor=None,
        chosen=frozenset(chosen),
        whole=True,
    )


def _conversation(asked: ChatRequest) -> tuple[str | None, tuple[Message, ...], str]:
    """The system prompt (None: the persona's own), the turns before, and the question. Several messages
    of one speaker in a row are one."""
    told = list(asked.messages)
    opening = list(takewhile(_of_system, told))
    rest = told[len(opening) :]
    for number, message in enumerate(rest, len(opening)):
        if _of_system(message):
            raise _out_of_order(number, "a system message stands before all others")
    if not rest or rest[-1].role != "user":
        raise _out_of_order(len(told) - 1, "the last message is the user's")
    if rest[0].role != "user":
        raise _out_of_order(len(opening), "the user speaks first")
    *history, question = (
        Message.model_validate({"role": role, "content": _together(same)})
        for role, same in groupby(rest, lambda message: message.role)
    )
    system = _together(opening) if opening else None
    return system, tuple(history), question.content


def _of_system(message: GivenMessage) -> bool:
    return message.role in ("system", "developer")


def _together(messages: Iterable[GivenMessage]) -> str:
    return "\n\n".join(message.content for message in messages)


def _out_of_order(number: int, expected: str) -> ApiError:
    where = f"messages[{number}].role"
    return ApiError(400, f"Invalid value for '{where}': {expected}.", "invalid_value", where)


@dataclass
class Completion:
    """OpenAI's objects of one answer."""

    model: str
    with_usage: bool = False  # a stream's last object
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, last: Step) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": last.text, "refusal": None}
        choice = {"message": message, **_choice(_finish(last))}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(last)}

    def opening(self) -> dict[str, Any]:
        """The first piece of a stream: who speaks."""
        return self._piece({"role": "assistant", "content": ""})

    def text(self, piece: str) -> dict[str, Any]:
        """A piece of the text."""
        return self._piece({"content": piece})

    def closing(self, last: Step) -> list[dict[str, Any]]:
        """The last pieces: why it ended and, where wanted, what it took."""
        end = self._piece({}, _finish(last))
        if not self.with_usage:
            return [end]
        return [end, {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(last)}]

    def _piece(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"delta": delta, **_choice(finish)}
        nothing_yet = {"usage": None} if self.with_usage else {}
        return {**self._head("chat.completion.chunk"), "choices": [choice], **nothing_yet}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _choice(finish: str | None) -> dict[str, Any]:
    return {"index": 0, "logprobs": None, "finish_reason": finish}


def _finish(last: Step) -> str:
    return "length" if last.finish == "length" else "stop"


def usage(last: Step) -> dict[str, Any]:
    """Tokens as the engine counted them."""
    counts = last.counts
    prompt, new, cached = (
        (counts.prompt_tokens, counts.new_tokens, counts.cached_tokens) if counts else (0, 0, 0)
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": new,
        "total_tokens": prompt + new,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class Chat:
    """Answers from the page's own answerer: one engine, one line, one set of limits."""

    def __init__(self, answerer: Answerer, usual: SamplingTable, *, public: bool):
        self._answerer = answerer
        self._usual = usual
        self._public = public

    async def respond(self, request: Request, asked: ChatRequest) -> Response:
        """The answer as a response, once its first text is there: until then a failure has a status of
        its own. A client that leaves stops the engine. Raises ApiError."""
        self._refuse_unready()
        style = style_of(self._answerer.host.state().persona, asked.model)
        question = question_of(asked, style, self._usual)
        running = Running()
        steps = self._answerer.answer(question, running)
        watching = asyncio.create_task(_stop_when_left(request, running))

        async def end() -> None:
            watching.cancel()
            running.stop()
            await steps.aclose()

        streamed = False
        try:
            first = await _until(steps, lambda step: bool(step.text) or step.finish is not None)
            if first.finish == "cancelled":
                return Response(status_code=CLIENT_LEFT)
            if asked.stream:
                streamed = True
                wanted = asked.stream_options
                shown = Completion(asked.model, bool(wanted and wanted.include_usage))
                return EventStream(self._events(first, steps, shown), end)
            last = await _until(steps, lambda step: step.finish is not None, first)
            return JSONResponse(Completion(asked.model).whole(last), headers=NOT_KEPT)
        except Exception as error:
            raise self._told(error) from None
        finally:
            if not streamed:
                await end()

    def _refuse_unready(self) -> None:
        state = self._answerer.host.state()
        if state.phase in ("loading", "restarting"):
            raise ApiError(
                503, "The model is being loaded; ask again in a moment.", "engine_not_ready",
                retry_after=READY_SOON_SECONDS,
            )  # fmt: skip
        if state.phase == "failed":
            what = self._told(state.error).message if state.error else "The model is not loaded."
            raise ApiError(503, what, "engine_not_ready")

    def _told(self, error: Exception) -> ApiError:
        return api_error(error, public=self._public, closing=self._answerer.draining)

    async def _events(
        self, step: Step, steps: AsyncIterator[Step], shown: Completion
    ) -> AsyncIterator[str]:
        """The stream's events. A failure is an event as well; the client's library raises it."""
        sent = 0
        yield event(shown.opening())
        try:
            while True:
                if len(step.text) > sent:
                    yield event(shown.text(step.text[sent:]))
                    sent = len(step.text)
                if step.finish is not None:
                    break
                step = await anext(steps)
            for piece in shown.closing(step):
                yield event(piece)
            yield "data: [DONE]\n\n"
        except Exception as error:
            yield event(self._told(error).body())


class EventStream(StreamingResponse):
    """Server-sent events; `end` is awaited however it ends, also where nobody reads them."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], end: Callable[[], Awaitable[None]]):
        super().__init__(events, headers=NOT_KEPT)
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()


def event(value: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def _until(
    steps: AsyncGenerator[Step, None], holds: Callable[[Step], bool], step: Step | None = None
) -> Step:
    """The first step from `step` on for which it holds; the last one does."""
    while step is None or not holds(step):
        step = await anext(steps)
    return step


async def _stop_when_left(request: Request, running: Running) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    running.stop()
