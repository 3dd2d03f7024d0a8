"""What an answer must look like, where its reader is a program: a JSON schema, kept token by token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
# What all grammar libraries here read alike. OpenVINO's compiles a schema in the step of all answers
# and fails every one of them from then on, so what it may not know must not reach it.
_WORDS = {
    "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const",
    "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
}  # fmt: skip
_PAIRS = (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum"))
_REMARKS = {"title", "description", "default", "examples", "$schema", "$comment"}
_NAME = re.compile(r"[\w][\w .-]{0,63}")  # xgrammar writes it into its grammar as it is
_DEEPEST = 8
_LONGEST = 20_000  # characters of a schema; a grammar grows with it
# Characters of a string, or items of an array: a grammar writes each out, and 4096 took 4 s to compile.
_MOST = 1024


@dataclass(frozen=True)
class Form:
    """A JSON schema as text: the answer is one JSON value of it, unless its length is cut.

    Raises ValueError for one that not all engines with grammars read.
    """

    schema: str

    def __post_init__(self) -> None:
        if len(self.schema) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} characters")
        try:
            schema = json.loads(self.schema)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is not JSON: {error}") from None
        _check(schema, 0)

    def value(self) -> dict[str, Any]:
        """The schema as Python's own values."""
        read: dict[str, Any] = json.loads(self.schema)
        return read


def form_of(schema: Mapping[str, Any]) -> Form:
    """The form of a schema, without what it only says of itself (titles, descriptions, defaults).

    Raises ValueError for one that not all engines with grammars read.
    """
    return Form(json.dumps(_without_remarks(schema), ensure_ascii=False))


def _without_remarks(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    kept = {word: value for word, value in schema.items() if word not in _REMARKS}
    if isinstance(fields := kept.get("properties"), Mapping):
        kept["properties"] = {name: _without_remarks(field) for name, field in fields.items()}
    if isinstance(ways := kept.get("anyOf"), list):
        kept["anyOf"] = [_without_remarks(way) for way in ways]
    return kept | ({"items": _without_remarks(kept["items"])} if "items" in kept else {})


def _check(schema: Any, depth: int) -> None:
    """Raise ValueError with what is wrong."""
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if not isinstance(schema, dict) or not schema:
        raise ValueError(f"{schema!r} is not a schema")
    if unknown := set(schema) - _WORDS:
        raise ValueError(f"{min(unknown)!r} is not known here")
    kind = schema.get("type")
    if kind is not None and (not isinstance(kind, str) or kind not in _TYPES):
        raise ValueError(f"{kind!r} is not a type")
    if not {"type", "anyOf", "enum", "const"} & set(schema):
        raise ValueError("it has no type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        raise ValueError('an object needs "additionalProperties": false')
    _check_kinds(schema)
    for one in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        _check(one, depth + 1)
    if "items" in schema:
        _check(schema["items"], depth + 1)


def _check_kinds(schema: Mapping[str, Any]) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "properties": dict, "required": list, "anyOf": list, "enum": list, "minLength": int, "maxLength": int,
        "minItems": int, "maxItems": int, "minimum": (int, float), "maximum": (int, float),
    }  # fmt: skip
    for word, kind in kinds.items():
        value = schema.get(word)
        if word in schema and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{word!r} is {value!r}")
        if word in ("anyOf", "enum") and word in schema and not value:
            raise ValueError(f"{word!r} is empty")
        if word.endswith(("Length", "Items")) and not 0 <= int(value or 0) <= _MOST:
            raise ValueError(f"{word!r} is {value!r}")
    for least, most in _PAIRS:
        if least in schema and most in schema and schema[least] > schema[most]:
            raise ValueError(f"{least!r} is more than {most!r}")
    for name in schema.get("properties", {}):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of letters, digits, spaces, '.', '-' and '_'")
    missing = set(schema.get("required", ())) - set(schema.get("properties", {}))
    if missing:
        raise ValueError(f"{min(missing)!r} is required but not among the properties")
