"""Failures in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, in English."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from starlette.responses import JSONResponse

from ..errors import UsageError
from ..serving.answerer import MessageTooLongError
from ..serving.failures import said_of
from ..serving.limits import BusyError

READY_SOON_SECONDS = 3  # when a client may ask again that came while the model was being loaded


@dataclass(eq=False)
class ApiError(Exception):
    """What a client is told instead of an answer. `param` is the field at fault."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None

    @property
    def type(self) -> str:
        """The kind of failure, by OpenAI's names."""
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def body(self) -> dict[str, dict[str, str | None]]:
        """What is sent."""
        said = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": said}

    def response(self) -> JSONResponse:
        """The whole response; clients ask again after `Retry-After` by themselves."""
        seconds = None if self.retry_after is None else str(math.ceil(self.retry_after))
        headers = {"Cache-Control": "no-store"} | ({"Retry-After": seconds} if seconds else {})
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)


# An engine's codes (see `EngineErrorCode`); what is not here is the server's own fault.
_OF_ENGINES = {
    "context_length": ApiError(400, "", "context_length_exceeded", "messages"),
    "invalid_request": ApiError(400, "", "invalid_value"),
    "unavailable": ApiError(503, "", "engine_unavailable", retry_after=READY_SOON_SECONDS),
    "truncated": ApiError(502, "", "answer_broke_off"),
}


def api_error(error: Exception, *, public: bool, closing: bool = False) -> ApiError:
    """A failure of an answer as a client is told it; of the inside only what the page would tell."""
    if isinstance(error, ApiError):
        return error
    message = said_of(error, "en", public=public).replace("\n", " ")
    if isinstance(error, BusyError):
        if closing:
            return ApiError(503, message, "server_closing", retry_after=error.retry_after)
        return ApiError(429, message, "rate_limit_exceeded", retry_after=error.retry_after)
    if isinstance(error, MessageTooLongError):
        return ApiError(400, message, "context_length_exceeded", "messages")
    if isinstance(error, UsageError):
        return ApiError(400, message, "invalid_value", "messages")
    known = _OF_ENGINES.get(getattr(error, "code", ""), ApiError(500, "", "internal_error"))
    return replace(known, message=message)
