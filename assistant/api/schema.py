"""What a client may ask: `POST /v1/chat/completions` as OpenAI describes it, and as far as it goes here.

What would change the answer and cannot be done is refused by name; every other field is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ..engines.form import Form, form_of
from .errors import ApiError

MOST_STOPS = 16
SHOWN_CHARACTERS = 40  # of a value that is refused


def _asks_nothing(value: Any) -> bool:
    return not value


def _is_one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


def _type_of(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else value


# What would change the answer, and the values that ask for nothing.
UNSUPPORTED: dict[str, Callable[[Any], bool]] = {
    "audio": _asks_nothing,
    "frequency_penalty": _asks_nothing,
    "function_call": _is_one_of(None, "none", "auto"),
    "functions": _asks_nothing,
    "grammar": _asks_nothing,
    "guided_choice": _asks_nothing,
    "guided_grammar": _asks_nothing,
    "guided_json": _asks_nothing,
    "guided_regex": _asks_nothing,
    "json_schema": _asks_nothing,
    "logit_bias": _asks_nothing,
    "logprobs": _asks_nothing,
    "min_p": _asks_nothing,
    "modalities": _is_one_of(None, [], ["text"]),
    "n": _is_one_of(None, 1),
    "presence_penalty": _asks_nothing,
    "response_format": lambda value: value is None or _type_of(value) in ("text", "json_schema"),
    "structured_outputs": _asks_nothing,
    "tool_choice": _is_one_of(None, "none", "auto"),
    "tools": _asks_nothing,
    "top_logprobs": _asks_nothing,
    "verbosity": _is_one_of(None, "medium"),
    "web_search_options": _is_one_of(None),
}


class _Given(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def _joined(content: Any) -> Any:
    """A list of text parts as the text they are."""
    if not isinstance(content, list):
        return content
    parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    texts = [text for part in parts if isinstance(text := part.get("text"), str)]
    if len(texts) < len(content):
        raise PydanticCustomError("parts", 'Each part must be {"type": "text", "text": "..."}')
    return "\n".join(texts)


class GivenMessage(_Given):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        str,
        BeforeValidator(
            _joined, json_schema_input_type=str | list[dict[Literal["type", "text"], str]]
        ),
    ]


class StreamOptions(_Given):
    """How a stream ends."""

    include_usage: bool | None = None


class NamedSchema(_Given):
    """A JSON schema; its name and `strict` tell nothing here."""

    value: dict[str, Any] = Field(alias="schema")


class ResponseFormat(_Given):
    """What the answer must look like."""

    type: Literal["text", "json_schema"]
    json_schema: NamedSchema | None = None

    def form(self) -> Form | None:
        """The form of the answer. Raises ApiError where the schema cannot be kept."""
        where = "response_format.json_schema"
        if self.type == "text":
            return None
        if self.json_schema is None:
            raise ApiError(400, f"Missing required parameter: '{where}'.",
                           "missing_required_parameter", where)  # fmt: skip
        try:
            return form_of(self.json_schema.value)
        except ValueError as error:
            said = f"Invalid value for '{where}.schema': {error}."
            raise ApiError(400, said, "invalid_value", f"{where}.schema") from None


class ChatRequest(_Given):
    """The body of `POST /v1/chat/completions`. `top_k` and `repetition_penalty` are not OpenAI's."""

    model: str
    messages: Annotated[list[GivenMessage], Field(min_length=1, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    seed: int | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    response_format: ResponseFormat | None = None


def read_request(body: bytes) -> ChatRequest:
    """The request in a body. Raises ApiError that names the field at fault."""
    try:
        given = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"The body is not valid JSON: {error}.", "invalid_json") from None
    if not isinstance(given, dict):
        raise ApiError(400, "The body must be a JSON object.", "invalid_type")
    _refuse_unsupported(given)
    try:
        return ChatRequest.model_validate(given)
    except ValidationError as error:
        raise _first_problem(error) from None


def _refuse_unsupported(given: dict[str, Any]) -> None:
    """Raise ApiError for the first field that asks for what cannot be done."""
    for name, asks_nothing in UNSUPPORTED.items():
        if name in given and not asks_nothing(given[name]):
            raise ApiError(
                400,
                f"Unsupported parameter: '{name}' ({_shown(given[name])}). Leave it out.",
                "unsupported_parameter",
                name,
            )
    messages = given.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            _refuse_unsupported_message(f"messages[{number}]", message)


def _refuse_unsupported_message(where: str, message: dict[str, Any]) -> None:
    """Raise ApiError for a message of a tool, one that calls tools, or one with more than text."""
    for name in ("tool_calls", "function_call"):
        if message.get(name):
            raise _unsupported(f"{where}.{name}", message[name])
    if message.get("role") in ("tool", "function"):
        raise _unsupported(f"{where}.role", message["role"])
    content = message.get("content")
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and part.get("type") in ("image_url", "input_audio", "file"):
            raise _unsupported(f"{where}.content[{number}].type", part["type"])


def _unsupported(where: str, value: Any) -> ApiError:
    said = f"Unsupported value: '{where}' ({_shown(value)}). This model reads text alone."
    return ApiError(400, said, "unsupported_value", where)


def _first_problem(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    param = _param(first["loc"])
    if first["type"] == "missing":
        return ApiError(
            400, f"Missing required parameter: '{param}'.", "missing_required_parameter", param
        )
    said = f"Invalid value for '{param}': {_shown(first['input'])}. {first['msg']}."
    return ApiError(400, said, "invalid_value", param)


def _param(location: tuple[int | str, ...]) -> str:
    """`messages[0].content`, without pydantic's own words for one of several kinds."""
    written = ""
    for part in location:
        if isinstance(part, int):
            written += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "list"):
            written += f".{part}" if written else part
    return written


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
