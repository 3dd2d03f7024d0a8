"""A server that speaks OpenAI's chat completions over the echo engine, with faults to switch on.

Its addresses are vLLM's: `/health`, `/v1/models` with `max_model_len`, `/tokenize` for messages,
and the stream of chunks with a usage chunk before `[DONE]`.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from assistant.conversation import Message
from assistant.engines.base import Engine, Sampling
from assistant.engines.echo import EchoEngine
from assistant.errors import EngineError

MODEL = "echo-chat"


class StandIn:
    """The server on a thread. `faults` are met by the next chat requests, one each; `always` by
    all of them. What it saw is in `requests`, `running` and `cancelled`."""

    def __init__(self, engine: Engine | None = None, port: int = 0):
        self.engine = engine or EchoEngine(seconds_per_token=0.001)
        self.faults: collections.deque[str] = collections.deque()
        self.always: str | None = None
        self.key: str | None = None
        self.retry_after = "0.2"
        self.rejects: tuple[str, ...] = ()
        self.healthy = True
        self.models_status = 200  # another one is what /v1/models answers
        self.owner = "nobody"  # what a model's card calls its `owned_by`
        self.context: int | None = self.engine.describe().context_length
        self.tokenizes = True
        self.answer: Callable[[list[Message]], str] | None = None
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.running = 0
        self.most_running = 0
        self.cancelled = 0
        self.together = 1  # no answer begins before so many run at once
        self._held = _bound(port)  # keeps the port while the server is down
        self.port = self._held.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> StandIn:
        config = uvicorn.Config(
            _app(self), host="127.0.0.1", port=self.port, log_level="error",
            timeout_graceful_shutdown=1, lifespan="off",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        listener = _bound(self.port)
        run = functools.partial(self._server.run, [listener])
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the stand-in did not start"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        assert self._server is not None and self._thread is not None
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()


def _bound(port: int) -> socket.socket:
    """A socket on that port of 127.0.0.1, 0 for any; several may hold it, one may listen."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


@contextmanager
def stand_in(engine: Engine | None = None) -> Iterator[StandIn]:
    server = StandIn(engine).start()
    try:
        yield server
    finally:
        server.stop()


def _app(server: StandIn) -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    def health() -> Response:
        return Response(status_code=200 if server.healthy else 503)

    @app.get("/v1/models")
    def models(request: Request) -> Response:
        if not server.healthy:
            return _error(503, "starting")
        if server.models_status != 200:
            return _error(server.models_status, "no list of models")
        if refused := _refuse_key(server, request):
            return refused
        card = {"id": MODEL, "object": "model", "owned_by": server.owner}
        return JSONResponse(
            {
                "object": "list",
                "data": [card | ({"max_model_len": server.context} if server.context else {})],
            }
        )

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        if not server.tokenizes:
            return _error(404, "Not Found")
        if refused := _refuse_key(server, request):
            return refused
        body = await request.json()
        if "messages" not in body:
            return _error(400, "messages: field required")
        count = server.engine.count_tokens([Message(**one) for one in body["messages"]])
        return JSONResponse(
            {"count": count, "max_model_len": server.context, "tokens": [0] * count}
        )

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        if refused := _refuse_key(server, request):
            return refused
        body = await request.json()
        server.requests.append(body)
        server.times.append(time.monotonic())
        fault = server.always or (server.faults.popleft() if server.faults else "")
        if answer := await _fault_before(server, fault):
            return answer
        for field in server.rejects:
            if field in body:
                return _error(400, f"Unrecognized request argument supplied: {field}")
        if body["model"] != MODEL:
            return _error(404, f"The model {body['model']!r} does not exist.")
        return StreamingResponse(_stream(server, body, fault), media_type="text/event-stream")

    return app


def _refuse_key(server: StandIn, request: Request) -> Response | None:
    given = request.headers.get("authorization", "")
    if server.key is None or given == f"Bearer {server.key}":
        return None
    return _error(401, f"Incorrect API key provided: {given.removeprefix('Bearer ')}")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "code": status}}, status, headers)


async def _fault_before(server: StandIn, fault: str) -> Response | None:
    """Faults that take the place of an answer."""
    if fault == "429":
        return _error(429, "Rate limit reached", {"Retry-After": server.retry_after})
    if fault in ("500", "503", "400"):
        return _error(int(fault), "Something went wrong")
    if fault == "too_long":
        return _error(400, "This model's maximum context length is 10 tokens, you asked for 11.")
    if fault == "empty":
        return Response(b"", media_type="text/event-stream")
    if fault == "proxy":  # LMDeploy's proxy when its node has died
        return JSONResponse({"error_code": 10402, "text": "connection failed"})
    if fault == "html":
        return PlainTextResponse("<html>Welcome to nginx!</html>", media_type="text/html")
    if fault == "hang":
        await asyncio.sleep(600)
    if fault == "slow":
        await asyncio.sleep(1.0)
    return None


async def _stream(server: StandIn, body: dict[str, Any], fault: str) -> AsyncIterator[str]:
    """The answer's events; closing it ends the answer in the engine."""
    server.running += 1
    server.most_running = max(server.most_running, server.running)
    while server.most_running < server.together:
        await asyncio.sleep(0.01)
    messages = [Message(**one) for one in body["messages"]]
    if server.answer:
        prompt, messages = messages, [Message(role="user", content=server.answer(messages))]
    else:
        prompt = messages
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 512
    try:
        generation = server.engine.stream(messages, Sampling(max_tokens=limit, temperature=0))
    except EngineError as error:
        server.running -= 1
        yield _event({"error": {"message": str(error), "code": error.code}})
        return
    try:
        yield _event(_chunk({"role": "assistant", "content": ""}))
        if fault == "cut_first":
            raise ConnectionAbortedError("the stand-in cuts the stream")
        sent = 0
        while True:
            piece = await asyncio.to_thread(next, generation)
            if piece.finish:
                break
            sent += 1
            yield _event(_chunk({"content": piece.text}))
            if sent == 3 and (broken := _fault_inside(fault)) is not None:
                if broken == "hang":
                    await asyncio.sleep(600)
                yield broken
                return
        if fault == "no_finish":
            yield "data: [DONE]\n\n"
            return
        yield _event(_chunk({}, piece.finish))
        if body.get("stream_options", {}).get("include_usage") and fault != "no_usage":
            counted = server.engine.count_tokens(prompt)
            details = {"cached_tokens": min(piece.cached_tokens, counted - 1)}
            yield _event(
                _chunk({}) | {"choices": [], "usage": {
                    "prompt_tokens": counted, "completion_tokens": piece.new_tokens,
                    "total_tokens": counted + piece.new_tokens, "prompt_tokens_details": details,
                }}
            )  # fmt: skip
        yield "data: [DONE]\n\n"
    except asyncio.CancelledError:
        server.cancelled += 1
        raise
    finally:
        server.running -= 1
        generation.close()


def _fault_inside(fault: str) -> str | None:
    """What comes in the middle of the answer instead of the rest."""
    if fault == "cut":
        raise ConnectionAbortedError("the stand-in cuts the stream")
    return {
        "quiet_cut": "",
        "malformed": 'data: {"choices": [{"delta": {"con\n\n',
        "choices_none": _event({"choices": None, "error_code": 10402}),
        "error_event": _event({"error": {"message": "engine died", "code": 500}}),
        "mid_hang": "hang",
    }.get(fault)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
