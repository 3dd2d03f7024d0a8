"""One request: the sampling in the protocol's words, and its stream as chunks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from ...conversation import Message
from ...errors import EngineError, EngineErrorCode
from ...words import Text
from ..base import Chunk, Finish, Sampling
from .failures import EXTRAS, Failure, broken, refused_fields
from .servers import Server
from .tokens import plain, reported

logger = logging.getLogger(__name__)

LLAMACPP_EXTRAS = ("repeat_penalty", "repeat_last_n", "min_p")
OPTIONAL = (*EXTRAS, *LLAMACPP_EXTRAS, "seed", "stream_options", "max_tokens")
PENALISED = 4096  # tokens to look back at where the server does not say how many it reads
STOPS_SENT = 4  # the protocol's limit; the caller cuts all of them anyway
USAGE_SECONDS = 3.0  # how long to wait for the counts once the answer has ended
ABORTED = ("abort", "error", "content_filter", "insufficient_system_resource")


def request_of(server: Server, messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
    """The arguments of `chat.completions.create`; what the server refused before is left out.

    Switches that are off are sent too: a server's own defaults (LMDeploy's top_k 40, a model's
    generation_config on vLLM) would take their place.
    """
    wanted: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stream_options": {"include_usage": True},
    }
    fields = {
        name: value
        for name, value in wanted.items()
        if value is not None and name not in server.refused
    }
    if "max_tokens" in server.refused:  # OpenAI's newer models know it by this name only
        fields["max_completion_tokens"] = sampling.max_tokens
    if sampling.form:
        schema = {"name": "answer", "strict": True, "schema": sampling.form.value()}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    if sampling.stop:
        fields["stop"] = list(sampling.stop[:STOPS_SENT])
    if extras := _extras(server, sampling):
        fields["extra_body"] = extras
    return {
        "model": server.model,
        "messages": plain(messages),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stream": True,
        **fields,
    }


def _extras(server: Server, sampling: Sampling) -> dict[str, Any]:
    """What is not OpenAI's, by the names that this server knows.

    llama.cpp's takes LMDeploy's name of the penalty without a word and ignores it. It is to hold over
    the whole context, as everywhere else (llama.cpp's default: the last 64 tokens; of -1, which was
    the context once, newer ones know nothing), and without llama.cpp's own min_p.
    """
    if server.is_llamacpp:
        extras: dict[str, Any] = {
            "top_k": sampling.top_k, "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": server.context_length or PENALISED, "min_p": 0.0,
        }  # fmt: skip
    else:
        extras = {name: getattr(sampling, name) for name in EXTRAS}
    return {name: value for name, value in extras.items() if name not in server.refused}


async def open_stream(server: Server, messages: Sequence[Message], sampling: Sampling) -> Any:
    """Send the request. Fields that the server refuses are left out from then on."""
    while True:
        request = request_of(server, messages, sampling)
        try:
            return await server.client.chat.completions.create(**request)
        except Exception as error:
            sent = {*request, *request.get("extra_body", {})} & set(OPTIONAL)
            refused = refused_fields(error, sent)
            if not refused:
                raise
            logger.warning("%s does not take %s", server.address.name, ", ".join(sorted(refused)))
            server.refused |= refused


async def read_answer(
    server: Server, messages: Sequence[Message], sampling: Sampling, prompt_tokens: int
) -> AsyncIterator[Chunk]:
    """Chunks of the answer, the last one with its finish and counts.

    Cancelling closes the request. Raises Failure; one after the first text is final.
    """
    pieces = 0
    try:
        stream = await open_stream(server, messages, sampling)
        try:
            reader = _StreamReader(server)
            async for text in reader.texts(stream):
                pieces += 1
                yield Chunk(text)
        finally:
            await stream.close()
    except Exception as error:
        failure = server.failure(error)
        if pieces and failure.again:
            raise Failure(_broke_off(failure), gone=failure.gone) from None
        raise failure from None
    yield reader.last_chunk(prompt_tokens, pieces)


class _StreamReader:
    """Reads one stream and remembers how it ended."""

    def __init__(self, server: Server):
        self._server = server
        self._whole = WholeText()
        self._finish: str | None = None
        self._usage: Any = None

    async def texts(self, stream: Any) -> AsyncIterator[str]:
        """The pieces of text; raises Failure for a stream that does not say why it ended."""
        empty = True
        while (event := await self._next(stream)) is not None:
            empty = False
            self._usage = getattr(event, "usage", None) or self._usage
            choices = getattr(event, "choices", None)
            if choices is None:
                raise self._broken(Text("sent no choices", "返回的内容里没有 choices"))
            for choice in choices[:1]:
                self._finish = getattr(choice, "finish_reason", None) or self._finish
                text = getattr(getattr(choice, "delta", None), "content", None)
                if isinstance(text, str) and (text := self._whole.add(text)):
                    yield text
        if empty:
            raise self._broken(Text("sent an empty answer", "返回了空的回答"))
        if self._finish is None:
            raise self._broken(
                Text("the answer ended without saying why", "回答没有结束标记就中断了"), "truncated"
            )
        if self._finish in ABORTED:
            raise self._broken(
                Text(f"ended the answer ({self._finish})", f"中止了回答（{self._finish}）"),
                "truncated",
            )

    async def _next(self, stream: Any) -> Any:
        """The next event; None at the end. Once the answer has ended, its counts may be missing."""
        if self._finish is None:
            return await anext(stream, None)
        with suppress(Exception):
            return await asyncio.wait_for(anext(stream, None), USAGE_SECONDS)
        return None

    def _broken(self, reason: Text, code: EngineErrorCode = "unavailable") -> Failure:
        return broken(self._server.address.name, reason, code)

    def last_chunk(self, prompt_tokens: int, pieces: int) -> Chunk:
        """The closing chunk; counts that the server did not send are ours."""
        finish: Finish = "length" if self._finish in ("length", "max_tokens") else "stop"
        prompt = reported(self._usage, "prompt_tokens")
        new = reported(self._usage, "completion_tokens")
        details = getattr(self._usage, "prompt_tokens_details", None)
        return Chunk(
            self._whole.rest(),
            finish,
            prompt_tokens=prompt_tokens if prompt is None else prompt,
            new_tokens=pieces if new is None else new,
            cached_tokens=reported(details, "cached_tokens") or 0,
        )


class WholeText:
    """Joins surrogate halves that a server's JSON put into two pieces."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> str:
        """The text that is whole so far."""
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held, text = text[-1], text[:-1]
        return _joined(text)

    def rest(self) -> str:
        """At the end: half a character is left out."""
        self._held = ""
        return ""


def _joined(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return text


def _broke_off(failure: Failure) -> EngineError:
    return EngineError(
        "truncated",
        Text(
            f"The answer broke off. {failure.error.message.en}",
            f"回答中断了。{failure.error.message.zh}",
        ),
        Text("Ask again.", "请再问一次。"),
    )
