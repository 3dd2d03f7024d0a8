"""Turns of a conversation in the field's many spellings -> who says what, and what is not learned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from assistant.conversation import Message, Role

from . import headers
from .headers import plain_name
from .layout import CONTENT_KEYS, ROLE_KEYS, Layout, carries_more, layout
from .marks import blank, verdict
from .records import Options, UnusableError
from .values import answer_of, text_of

ROLES: dict[str, Role] = {
    "system": "system", "系统": "system", "developer": "system",
    "user": "user", "human": "user", "用户": "user", "prompter": "user", "问": "user", "客户": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "bard": "assistant", "bing": "assistant", "助手": "assistant", "答": "assistant",
    "ai": "assistant", "moss": "assistant", "机器人": "assistant", "客服": "assistant",
}  # fmt: skip
_TOOL_ROLES = {
    "tool", "tools", "function", "functioncall", "functionresponse", "observation", "toolcall", "toolresponse",
    "toolresult", "ipython", "environment", "api", "plugin", "工具",
}  # fmt: skip
# Keys whose texts may be what is asked, one after another (MT-Bench), or said by many.
QUESTIONS_ALONE = ("turns", "utterances", "chats", "dialogues", "消息")
_LONGEST_NAME = 24  # characters of a speaker's name
_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>(.*?)</\1>\s*", re.DOTALL)
_MOSS = re.compile(r"\s*<\|(?:Human|MOSS|[A-Za-z ]+)\|>\s*:?\s*|\s*<eo[a-z]>\s*")


class Spoken(NamedTuple):
    """A turn; `learn` is false where it is marked as not to be learned."""

    role: Role
    content: str
    learn: bool = True


@dataclass
class Found:
    """What was met in a row on the way: what is used, what is not, and what was changed."""

    used: set[str] = field(default_factory=set)
    unused: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def note(self, name: str) -> None:
        if name not in self.notes:
            self.notes.append(name)


def turn_list(value: Any) -> Sequence[Any] | None:
    """A value as a list of turns, also where it is JSON in a text; None where it is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return value
    return None


def read_turns(turns: Sequence[Any], key: str, options: Options, found: Found) -> list[Spoken]:
    """The turns of a list, whatever build it has. Raises UnusableError."""
    if not turns:
        return []
    if not isinstance(turns[0], dict):
        if all(isinstance(turn, str) for turn in turns):
            return _flat(turns, key, options, found)
        if all(_is_pair(turn) for turn in turns):
            if _named_speakers(turns, options):
                return [_said_by(turn[0], turn[1], key, options, found) for turn in turns]
            return [spoken for turn in turns for spoken in _both(turn[0], turn[1], key, found)]
    spoken: list[Spoken] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise UnusableError("not_object", f"{key} holds {_kind(turn)}")
        if not turn.keys().isdisjoint(ROLE_KEYS):
            spoken.append(_message(turn, key, options, found))
        elif pair := pair_of(tuple(turn)):
            spoken += _pair(turn, pair, key, found, first=not spoken)
        elif (single := _single(turn)) is not None:
            spoken.append(Spoken(single[0], content_of(turn[single[1]], key, found)))
        else:
            raise UnusableError("role", f"{key} holds {_kind(turn)}")
    return spoken


def _flat(turns: Sequence[str], key: str, options: Options, found: Found) -> list[Spoken]:
    """Question and answer in turn. A list that may hold the questions alone is refused, unless the
    person says that they are messages."""
    if options.shape == "auto" and plain_name(key) in QUESTIONS_ALONE:
        raise UnusableError("no_speakers", key)
    if len(turns) % 2:
        raise UnusableError("order", f"{key} holds {len(turns)} texts")
    found.note("in_turn")
    return [
        Spoken(("user", "assistant")[place % 2], text)  # type: ignore[arg-type]
        for place, text in enumerate(turns)
    ]


def _named_speakers(pairs: Sequence[Any], options: Options) -> bool:
    """Whether the first text of each pair says who speaks, as in ["user", "hi"]: it is a role's
    name, or of a few short words that come again and again."""
    firsts = [pair[0] for pair in pairs]
    if not all(isinstance(first, str) for first in firsts):
        return False
    names = {first.strip().casefold() for first in firsts}
    if names <= ROLES.keys() | _TOOL_ROLES:
        return True
    if {plain_name(name) for name in options.assistant} & {plain_name(name) for name in names}:
        return True
    short = all(len(name) <= _LONGEST_NAME and name[-1:].isalnum() for name in names)
    return short and len(firsts) >= 2 * len(names) and len(names) > 1


def _said_by(speaker: str, said: Any, key: str, options: Options, found: Found) -> Spoken:
    role = role_of(speaker, options, key)
    return Spoken(role, content_of(said, key, found, answer=role == "assistant"))


def _is_pair(turn: Any) -> bool:
    return isinstance(turn, (list, tuple)) and len(turn) == 2


def _both(question: Any, answer: Any, key: str, found: Found) -> tuple[Spoken, Spoken]:
    return (
        Spoken("user", text_of(question, key)),
        Spoken("assistant", content_of(answer, key, found, answer=True)),
    )


def _kind(value: Any) -> str:
    """What a value is, in words, with its keys."""
    if isinstance(value, Mapping):
        return "objects with " + ", ".join(map(str, list(value)[:6]))[:80]
    return "lists" if isinstance(value, list) else type(value).__name__


class Pair(NamedTuple):
    """The keys of a turn that holds question and answer."""

    question: str
    answer: str
    input: str = ""
    system: str = ""


@lru_cache(maxsize=1024)
def pair_of(keys: tuple[str, ...]) -> Pair | None:
    """The keys of a pair such as {"human", "assistant"} or {"input", "output"}; None for none."""
    fields = headers.recognise(keys)
    if headers.usable(fields):
        return Pair(
            fields["question"], fields["answer"], fields.get("input", ""), fields.get("system", "")
        )
    said = {ROLES.get(key.strip().casefold()): key for key in reversed(keys)}
    if "user" in said and "assistant" in said:
        return Pair(said["user"], said["assistant"], "", said.get("system", ""))
    return None


def _pair(
    turn: Mapping[str, Any], pair: Pair, key: str, found: Found, first: bool
) -> Iterable[Spoken]:
    used = {pair.question, pair.answer}
    system = text_of(turn.get(pair.system), pair.system) if pair.system else ""
    if first and system.strip():
        used.add(pair.system)
        yield Spoken("system", system)
    parts = [text_of(turn[pair.question], pair.question)]
    if pair.input:
        used.add(pair.input)
        parts.append(text_of(turn[pair.input], pair.input))
    learn, obeyed = _learned(turn, layout(tuple(turn)))
    used |= obeyed
    _rest(turn, used, key, found)
    yield Spoken("user", "\n".join(part for part in parts if part.strip()))
    answer = content_of(turn[pair.answer], pair.answer, found, answer=True)
    yield Spoken("assistant", answer, learn)


def _single(turn: Mapping[str, Any]) -> tuple[Role, str] | None:
    """Role and key of a turn such as {"gpt": "…"}."""
    if len(turn) != 1:
        return None
    (key,) = turn
    role = ROLES.get(str(key).strip().casefold())
    return (role, key) if role else None


def _message(turn: Mapping[str, Any], key: str, options: Options, found: Found) -> Spoken:
    role_key = _first_filled(turn, ROLE_KEYS)
    role = role_of(turn.get(role_key), options, key)
    seen = layout(tuple(turn))
    if seen.cannot:
        reason, at = carries_more(turn, seen.cannot)
        if reason:
            raise UnusableError(reason, f"{key}[].{at}")
    content_key = _first_filled(turn, CONTENT_KEYS)
    used, learn = {role_key, content_key}, True
    if role == "assistant":
        learn, obeyed = _learned(turn, seen)
        used |= obeyed
        if any(not blank(turn[name]) for name in seen.reasoning):
            found.note("reasoning")
    else:  # questions are read and never learned, whatever they say
        used.update(mark.key for mark in seen.marks)
    content = content_of(turn.get(content_key), key, found, answer=role == "assistant")
    if len(used) < len(turn):
        _rest(turn, used, key, found)
    return Spoken(role, content, learn)


def _first_filled(turn: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the names under which a turn holds something, "" for none."""
    for name in names:
        if turn.get(name) is not None:
            return name
    return ""


def _rest(turn: Mapping[str, Any], used: set[str], key: str, found: Found) -> None:
    found.unused.update(
        f"{key}[].{name}" for name, value in turn.items() if name not in used and not blank(value)
    )


def _learned(turn: Mapping[str, Any], seen: Layout) -> tuple[bool, set[str]]:
    """Whether an answer is to be learned, and the keys that said so clearly."""
    if not seen.marks:
        return True, set()
    said = {mark.key: verdict(mark.kind, turn[mark.key]) for mark in seen.marks}
    obeyed = {name for name, word in said.items() if word in ("learn", "not")}
    return "not" not in said.values(), obeyed


def role_of(speaker: Any, options: Options, key: str) -> Role:
    """The role of a speaker. Raises UnusableError for one that has none here."""
    if not options.assistant and isinstance(speaker, str) and speaker in ROLES:
        return ROLES[speaker]
    name = str(speaker).strip()
    if options.assistant and plain_name(name) in map(plain_name, options.assistant):
        return "assistant"
    if role := ROLES.get(name.casefold()):
        return role
    if plain_name(name) in _TOOL_ROLES:
        raise UnusableError("tools", f"{key}: {name}"[:60])
    if options.assistant and speaker is not None and name:
        return "user"
    raise UnusableError("role", name[:60] if speaker is not None else f"{key}: no role")


def content_of(value: Any, key: str, found: Found, answer: bool = False) -> str:
    """The text of a message; of a list of parts, the text parts. Raises UnusableError."""
    if isinstance(value, dict):
        value = value["parts"] if isinstance(value.get("parts"), list) else [value]
    if isinstance(value, (list, tuple)):
        inline = any(isinstance(part, str) for part in value)
        texts = [_part(part, key, found) for part in value]
        text = ("" if inline else "\n").join(text for text in texts if text is not None)
    else:
        text = answer_of(value, key) if answer else text_of(value, key)
    return _without_thought(text, found) if answer and "think" in text else text


_MEDIA_PARTS = ("image", "audio", "video", "picture", "file", "media")
_TOOL_PARTS = ("tool", "function")
_THOUGHT_PARTS = ("thinking", "reasoning", "redactedthinking", "thought")


def _part(part: Any, key: str, found: Found) -> str | None:
    """The text of one part of a message, None for reasoning."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise UnusableError("not_text", f"{key} holds {_kind(part)}")
    kind = str(part.get("type", "")).casefold()
    if plain_name(kind) in _THOUGHT_PARTS:
        found.note("reasoning")
        return None
    if kind.startswith(_TOOL_PARTS):
        raise UnusableError("tools", f"{key}: {kind}")
    if any(name in kind for name in _MEDIA_PARTS) or any(
        plain_name(str(n)).startswith(("image", "audio", "video")) for n in part
    ):
        raise UnusableError("media", f"{key}: {kind or 'a picture'}")
    text = next(
        (part[name] for name in ("text", "value", "content") if isinstance(part.get(name), str)),
        None,
    )
    if text is None:
        raise UnusableError("not_text", f"{key} holds {_kind(part)}")
    return str(text)


def _without_thought(text: str, found: Found) -> str:
    """An answer without the reasoning that stands before it in <think> tags."""
    if match := _THOUGHT.match(text):
        if match[2].strip():
            found.note("reasoning")
        return text[match.end() :]
    before, end, after = text.partition("</think>")
    if end and "<think>" not in before:
        found.note("reasoning")
        return after.lstrip()
    if text.lstrip().startswith("<think>"):
        found.note("reasoning")
        return ""
    return text


def moss_turns(chat: Mapping[str, Any], key: str, found: Found) -> list[Spoken]:
    """The turns of {"turn_1": {"Human": …, "MOSS": …}, …}."""
    spoken = []
    for name, turn in chat.items():
        if not isinstance(turn, Mapping) or "Human" not in turn or "MOSS" not in turn:
            raise UnusableError("not_object", f"{key}.{name} holds {_kind(turn)}")
        for part in ("Commands", "Tool Responses"):
            said = _MOSS.sub("", text_of(turn.get(part), part)).strip()
            if said.casefold() not in ("", "none", "null"):
                raise UnusableError("tools", f"{key}: {part}")
        thoughts = _MOSS.sub("", text_of(turn.get("Inner Thoughts"), key)).strip()
        if thoughts.casefold() not in ("", "none", "null"):
            found.note("reasoning")
        for speaker, role in (("Human", "user"), ("MOSS", "assistant")):
            text = _MOSS.sub("", text_of(turn[speaker], key)).strip()
            spoken.append(Spoken(role, text))  # type: ignore[arg-type]
    return spoken


def one_speaker_once(spoken: Sequence[Spoken], found: Found) -> list[Spoken]:
    """A chat by names as question and answer in turn: what one says in a row becomes one message,
    and what is answered before anything was asked goes."""
    joined: list[Spoken] = []
    for turn in spoken:
        if joined and joined[-1].role == turn.role and turn.role != "system":
            last = joined[-1]
            joined[-1] = Spoken(
                last.role, f"{last.content}\n{turn.content}", last.learn and turn.learn
            )
            found.note("merged")
        else:
            joined.append(turn)
    start = next((place for place, turn in enumerate(joined) if turn.role != "system"), len(joined))
    if start < len(joined) and joined[start].role == "assistant":
        found.note("opening")
        del joined[start]
    return joined


def learnable(spoken: Sequence[Spoken], found: Found) -> list[Message]:
    """The messages before the first answer that is not to be learned: every answer of a row is
    learned, so what follows cannot be kept. Raises UnusableError where nothing is before it."""
    place = next((at for at, turn in enumerate(spoken) if not turn.learn), None)
    if place is not None:
        kept = list(spoken[:place])
        while kept and kept[-1].role != "assistant":
            kept.pop()
        if not kept:
            raise UnusableError("turn_not_to_learn", f"{place + 1}")
        found.note("cut_unlearned")
        spoken = kept
    return [Message(role=turn.role, content=turn.content) for turn in spoken]
