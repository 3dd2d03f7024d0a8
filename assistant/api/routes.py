"""The addresses of the API, as an ASGI app of its own: alone, or beside the page in one server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ..config import Config
from ..serving.answerer import Answerer
from ..serving.host import HostState
from .chat import Chat
from .errors import ApiError, api_error
from .keys import Door
from .names import model_names, style_of
from .schema import ChatRequest, read_request

PREFIX = "/v1"
LARGEST_BODY = 4_000_000  # bytes: more than any context holds
SHOWN_CHARACTERS = 100  # of an address that is none
ADDRESSES = f"GET {PREFIX}/models, GET {PREFIX}/models/MODEL, POST {PREFIX}/chat/completions"
REFERENCE = "#/components/schemas/{model}"
BODY = {"schema": {"$ref": REFERENCE.format(model=ChatRequest.__name__)}}
FAILURES: dict[int | str, dict[str, Any]] = {
    kind: {"description": "A failure: error.message, .type, .param and .code."}
    for kind in ("4XX", "5XX")
}


def api_of(answerer: Answerer, config: Config, door: Door, *, public: bool) -> FastAPI:
    """The API of one answerer. In `public` failures tell nothing of the inside."""
    app = FastAPI(
        title="OpenAI's API of an assistant", docs_url=None, redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json", responses=FAILURES,
    )  # fmt: skip
    app.router.redirect_slashes = False
    if door.enabled and door.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=door.origins, allow_methods=["GET", "POST"],
            allow_headers=["*"], expose_headers=["Retry-After"],
        )  # fmt: skip
    app.add_exception_handler(ApiError, _as_response)
    app.add_exception_handler(HTTPException, _as_response)
    _add_routes(app, answerer, door, Chat(answerer, config.serve.sampling, public=public))
    _describe_body(app)
    return app


def _describe_body(app: FastAPI) -> None:
    """Put the request's schema into the description: bodies are read here, not by FastAPI, whose failures
    have another shape."""
    schema = ChatRequest.model_json_schema(ref_template=REFERENCE)
    used = schema.pop("$defs", {})
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        described = plain()
        known = described.setdefault("components", {}).setdefault("schemas", {})
        known.update({**used, ChatRequest.__name__: schema})
        return described

    app.openapi = openapi  # type: ignore[method-assign]


async def _as_response(request: Request, error: Exception) -> Response:
    if isinstance(error, ApiError):
        return error.response()
    asked = f"{request.method} {request.url.path}"[:SHOWN_CHARACTERS]
    if isinstance(error, HTTPException) and error.status_code == 405:
        refused = ApiError(
            405, f"Wrong method: {asked}. There are: {ADDRESSES}.", "method_not_supported"
        ).response()
        refused.headers.update(error.headers or {})  # Allow
        return refused
    return ApiError(
        404, f"Unknown request URL: {asked}. There are: {ADDRESSES}.", "unknown_url"
    ).response()


def _add_routes(app: FastAPI, answerer: Answerer, door: Door, chat: Chat) -> None:
    started = int(time.time())

    def described(name: str, state: HostState) -> dict[str, Any]:
        known = {"max_model_len": state.info.context_length} if state.info else {}
        owner = state.persona.author
        return {"id": name, "object": "model", "created": started, "owned_by": owner, **known}

    @app.get(f"{PREFIX}/models")
    async def models(request: Request) -> Response:
        """The assistant, and each of its styles as a model of its own."""
        door.admit(request)
        state = answerer.host.state()
        data = [described(name, state) for name in model_names(state.persona)]
        return JSONResponse({"object": "list", "data": data})

    @app.get(f"{PREFIX}/models/{{model:path}}")
    async def model(request: Request, model: str) -> Response:
        """One model."""
        door.admit(request)
        state = answerer.host.state()
        style_of(state.persona, model)
        return JSONResponse(described(model, state))

    @app.post(
        f"{PREFIX}/chat/completions",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": BODY}}},
    )
    async def chat_completions(request: Request) -> Response:
        """An answer, whole or as server-sent events."""
        caller = door.admit(request)
        asked = read_request(await _body(request))
        try:
            door.count(caller)
        except Exception as error:
            raise api_error(error, public=True) from None
        return await chat.respond(request, asked)


async def _body(request: Request) -> bytes:
    """The body, read no further than LARGEST_BODY. Raises ApiError for a larger one."""
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > LARGEST_BODY:
            raise ApiError(
                413, f"The body is larger than {LARGEST_BODY} bytes.", "request_too_large"
            )
    return bytes(read)


def beside(page: ASGIApp, api: ASGIApp) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """One app that gives the API what is under `/v1` and the page the rest. The page's own middleware,
    which lets in scripts of any origin, does not stand before the API."""

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_api = scope["type"] == "http" and (path == PREFIX or path.startswith(f"{PREFIX}/"))
        await (api if to_api else page)(scope, receive, send)

    return both
