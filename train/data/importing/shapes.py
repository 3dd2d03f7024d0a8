"""The field's shapes of a training row, recognised by their keys -> messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from assistant.conversation import Conversation, Message, Role

from . import headers
from .records import Columns, Options, UnusableError
from .values import text_of

SHAPES = ("auto", "messages", "sharegpt", "xtuner", "columns")
_ROLES: dict[str, Role] = {
    "system": "system", "系统": "system", "developer": "system",
    "user": "user", "human": "user", "用户": "user", "prompter": "user", "问": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "bard": "assistant", "bing": "assistant", "助手": "assistant", "答": "assistant",
}  # fmt: skip
_ROLE_KEYS = ("role", "from", "speaker")
_CONTENT_KEYS = ("content", "value", "text")
_SHORT = 200  # characters of a meta value; longer ones are content


class Shaped(NamedTuple):
    """A conversation, the shape it came in, and what was changed (keys of NOTES)."""

    conversation: Conversation
    shape: str
    notes: tuple[str, ...] = ()


def shape(value: Mapping[str, Any], options: Options) -> Shaped:
    """The conversation that a record holds. Raises UnusableError."""
    name, take = _recognised(value, options)
    messages = take(value, options)
    meta = _meta(value, options.columns, from_columns=name == "columns")
    messages = _with_system(messages, options.system)
    whole, notes = _checked(messages)
    return Shaped(Conversation(messages=whole, meta=meta), _shape_name(name, value), notes)


def _recognised(
    value: Mapping[str, Any], options: Options
) -> tuple[str, Callable[[Mapping[str, Any], Options], list[Message]]]:
    known = {"messages": _messages, "sharegpt": _messages, "xtuner": _xtuner, "columns": _columns}
    if options.shape != "auto":
        return options.shape, known[options.shape]
    if options.columns.named():
        return "columns", _columns
    turns = _turns(value)
    if turns and isinstance(turns[0], Mapping):
        if "output" in turns[0] or "input" in turns[0]:
            return "xtuner", _xtuner
        return ("sharegpt" if "from" in turns[0] else "messages"), _messages
    if turns is not None and not headers.usable(headers.recognise(list(value))):
        return "messages", _messages
    return "columns", _columns


def _shape_name(name: str, value: Mapping[str, Any]) -> str:
    """The shape as the field calls it, for the report."""
    if name != "columns":
        return name
    keys = {headers.plain_name(key) for key in value}
    if {"instruction", "output"} <= keys:
        return "alpaca"
    if "prompt" in keys:
        return "prompt/completion"
    return "question/answer"


def _turns(value: Mapping[str, Any]) -> Sequence[Any] | None:
    """The list of turns in a record, None where it has none."""
    for key in ("messages", "conversations", "conversation"):
        if isinstance(value.get(key), Sequence) and not isinstance(value[key], (str, bytes)):
            return value[key]  # type: ignore[no-any-return]
    return None


def _messages(value: Mapping[str, Any], _: Options) -> list[Message]:
    found = []
    system = value.get("system") or value.get("system_prompt")
    if isinstance(system, str) and system.strip():
        found.append(Message(role="system", content=system))
    for turn in _turns(value) or ():
        if not isinstance(turn, Mapping):
            raise UnusableError("not_object")
        speaker = next((turn[key] for key in _ROLE_KEYS if turn.get(key) is not None), None)
        role = _ROLES.get(str(speaker).strip().casefold())
        if role is None:
            raise UnusableError("role", str(speaker)[:60])
        content = next((turn[key] for key in _CONTENT_KEYS if turn.get(key) is not None), "")
        if role == "system" and found and found[0].role == "system":
            if not _content(content).strip() or _content(content) == found[0].content:
                continue
            if len(found) == 1 and system:
                found.pop()
        found.append(Message(role=role, content=_content(content)))
    return found


def _content(value: Any) -> str:
    """The text of a message; of a list of parts, the text parts. Raises UnusableError."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if not all(
            isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value
        ):
            raise UnusableError("not_text", "content")
        return "\n".join(part["text"] for part in value)
    return text_of(value, "content")


def _xtuner(value: Mapping[str, Any], _: Options) -> list[Message]:
    found: list[Message] = []
    for number, turn in enumerate(_turns(value) or ()):
        if not isinstance(turn, Mapping):
            raise UnusableError("not_object")
        system = text_of(turn.get("system"), "system")
        if system.strip() and number == 0:
            found.append(Message(role="system", content=system))
        found.append(Message(role="user", content=text_of(turn.get("input"), "input")))
        found.append(Message(role="assistant", content=text_of(turn.get("output"), "output")))
    return found


def _columns(value: Mapping[str, Any], options: Options) -> list[Message]:
    fields = _fields(value, options.columns)
    if not headers.usable(fields):
        raise UnusableError("unknown_shape", ", ".join(str(key) for key in value)[:120])

    def text(field: str) -> str:
        return text_of(value[fields[field]], field) if field in fields else ""

    found = []
    if text("system").strip():
        found.append(Message(role="system", content=text("system")))
    found += _history(value[fields["history"]] if "history" in fields else None)
    parts = [part for part in (text("question"), text("input")) if part.strip()]
    found.append(Message(role="user", content="\n".join(parts)))
    found.append(Message(role="assistant", content=text("answer")))
    return found


def _fields(value: Mapping[str, Any], columns: Columns) -> dict[str, str]:
    """Field -> key. Records of tables come with the fields themselves as keys."""
    named = {field: key for field, key in columns.named().items() if key in value}
    found = {
        field: key
        for field, key in headers.recognise(list(value)).items()
        if key not in named.values()
    }
    return found | named


def _history(value: Any) -> Iterable[Message]:
    """Earlier turns as alpaca keeps them: pairs of question and answer."""
    if value is None or value == "":
        return
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise UnusableError("not_text", "history")
    for pair in value:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise UnusableError("not_text", "history")
        yield Message(role="user", content=text_of(pair[0], "history"))
        yield Message(role="assistant", content=text_of(pair[1], "history"))


def _with_system(messages: list[Message], system: str) -> list[Message]:
    """With `system` in front where there is no system message."""
    if not system or (messages and messages[0].role == "system"):
        return messages
    return [Message(role="system", content=system), *messages]


def _checked(messages: list[Message]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """The messages if they are a conversation with an answer at its end. Raises UnusableError."""
    notes: tuple[str, ...] = ()
    if messages and messages[0].role == "system" and not messages[0].content.strip():
        messages = messages[1:]
    if len(messages) > 2 and messages[-1].role == "user" and messages[-2].role == "assistant":
        messages, notes = messages[:-1], ("unanswered_end",)
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    if not turns:
        raise UnusableError("no_question")
    for number, message in enumerate(turns):
        if message.role != ("user", "assistant")[number % 2]:
            raise UnusableError("order", f"{number + 1}: {message.role}")
    if len(turns) % 2:
        raise UnusableError("no_answer")
    for number, message in enumerate(turns):
        if not message.content.strip():
            single = len(turns) == 2
            reason = ("no_question", "no_answer")[number] if single else "empty_turn"
            raise UnusableError(reason, "" if single else str(number + 1))
    return tuple(messages), notes


def _meta(value: Mapping[str, Any], columns: Columns, from_columns: bool) -> dict[str, Any]:
    """The record's own `meta`, role, scene and style, and the columns that were asked for."""
    own = value.get("meta")
    meta = dict(own) if isinstance(own, Mapping) and _is_plain(own) else {}
    if from_columns:
        fields = headers.recognise(list(value))
        for field in headers.META_FIELDS:
            if field in fields and (text := _short_text(value[fields[field]])):
                meta[field] = text
    for name in columns.meta:
        if name in value and (text := _short_text(value[name])):
            meta[name] = text
    return meta


def _short_text(value: Any) -> str:
    try:
        text = text_of(value).strip()
    except UnusableError:
        return ""
    return text if len(text) <= _SHORT else ""


def _is_plain(value: Any) -> bool:
    """Whether JSON can write it."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, bool, int, float))
