"""What the model writes when it wants a tool: recognised, read, and held to the tools there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from ..engines.form import Form, form_of
from .base import Arguments, Tool, ToolCall, ToolError

# How calls begin: as the kit's list asks, and as larger models have learned it.
_BEGINNINGS = ("{", "```json", "```\n{", "<tool_call>")
# Characters of one argument, each written out in the grammar: 2000 took 2 s to compile.
LONGEST_TEXT = 400


def begins_call(text: str) -> bool | None:
    """Whether the beginning of an answer is a call's; None while it may become one."""
    said = text.lstrip()
    if said.startswith(_BEGINNINGS):
        return True
    return None if any(begin.startswith(said) for begin in _BEGINNINGS) else False


def form_of_calls(tools: Iterable[Tool]) -> Form:
    """The form of a call of one of `tools`."""
    return form_of({"anyOf": [_schema_of_call(tool) for tool in tools]})


def _schema_of_call(tool: Tool) -> dict[str, Any]:
    arguments = _plain(tool.arguments.model_json_schema())
    properties = {"tool": {"const": tool.name}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}  # fmt: skip


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's schema; a string without an end gets one."""
    properties = {}
    for name, field in schema.get("properties", {}).items():
        endless = field.get("type") == "string" and "enum" not in field
        properties[name] = {"maxLength": LONGEST_TEXT, **field} if endless else field
    return schema | {"properties": properties}


def read_call(text: str) -> ToolCall:
    """The call that an answer is. What stands around it is passed over.

    Raises:
        ToolError: It is none; the model is told why.
    """
    start = text.find("{")
    try:
        value, _ = json.JSONDecoder().raw_decode(text[max(start, 0) :])
    except (ValueError, RecursionError):
        raise ToolError("the call is not whole JSON") from None
    if not isinstance(value, dict):
        raise ToolError("the call is not a JSON object")
    name = value.get("tool", value.get("name"))
    arguments = value.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ToolError('a call is {"tool": "name", "arguments": {…}}')
    return ToolCall(name, arguments)


def checked_call(call: ToolCall, tools: Sequence[Tool]) -> tuple[Tool, Arguments]:
    """The tool and its arguments.

    Raises:
        ToolError: There is no such tool, or these are not its arguments.
    """
    tool = next((tool for tool in tools if tool.name == call.tool), None)
    if tool is None:
        there = ", ".join(tool.name for tool in tools)
        raise ToolError(f"there is no tool {call.tool[:40]!r}; there are: {there}")
    try:
        return tool, tool.arguments.model_validate(call.arguments, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ToolError(f"argument {where}: {first['msg']}") from None
