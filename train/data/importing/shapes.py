"""The field's shapes of a training row, recognised by their keys -> messages.

docs/data-shapes.md lists them; tests/train/test_data_shapes.py has a sample of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from assistant.conversation import Conversation, Message

from ..text.media import links_picture
from . import headers
from .choices import is_called, names_a_choice, tells_choice_elsewhere
from .headers import plain_name
from .layout import (
    SURE,
    Layout,
    carries_more,
    holds_conversations,
    is_message,
    layout,
    looks_like_turns,
    span_answer,
)
from .marks import NO_EVIDENCE, Evidence, blank, check_least, check_row
from .media import check_tags
from .records import Columns, Options, Record, UnusableError
from .transcript import read_transcript
from .turns import (
    Found,
    Spoken,
    content_of,
    learnable,
    moss_turns,
    one_speaker_once,
    read_turns,
    turn_list,
)
from .values import answer_of, text_of

SHAPES = ("auto", "messages", "sharegpt", "xtuner", "columns")
_SHORT = 200  # characters of a meta value; longer ones are content


class Shaped(NamedTuple):
    """A conversation, the shape it came in, what was changed (keys of NOTES), which key was read as
    what, and the filled keys that were not used."""

    conversation: Conversation
    shape: str
    notes: tuple[str, ...] = ()
    read: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()


class _Taken(NamedTuple):
    """What a shape gives: its name, the turns, and field -> key."""

    shape: str
    turns: list[Spoken]
    read: Mapping[str, str]


def shape(record: Record, options: Options, evidence: Evidence = NO_EVIDENCE) -> Shaped:
    """The conversation that a record holds. Raises UnusableError."""
    found = Found()
    value = _without(record.value, options.ignore) if options.ignore else record.value
    others = _without(record.others, options.ignore) if options.ignore else record.others
    value = _flat_translation(value)
    seen = layout(tuple(value))
    by_itself = options.shape == "auto" and not options.columns.named()
    if by_itself and seen.refused in SURE:
        raise UnusableError(seen.refused, _keys(value))
    if by_itself:
        _refuse_choice({**value, **others} if others else value)
    _refuse_marked(value, seen, options, evidence, found)
    if others:
        _refuse_marked(others, layout(tuple(others)), options, evidence, found)
    taken = _recognised(value, seen, options, found)
    found.used.update(taken.read.values())
    turns = _masked(value, seen, taken.turns)
    if options.assistant:
        turns = one_speaker_once(turns, found)
    messages = _with_system(learnable(turns, found), options.system)
    whole = _checked(messages, found)
    check_tags(whole)
    if any(links_picture(message.content) for message in whole):
        found.note("picture_links")
    meta = _meta(value, options.columns, taken.shape in _OF_COLUMNS, seen, found)
    for key in seen.reasoning:
        if not blank(value[key]):
            found.note("reasoning")
    unused = [key for key in value if key not in found.used and not blank(value[key])]
    if len(value) < len(record.value):
        unused += [
            key for key, cell in record.value.items() if key not in value and not blank(cell)
        ]
    unused += [key for key, cell in record.others.items() if key not in found.used and cell.strip()]
    return Shaped(
        Conversation(messages=whole, meta=meta),
        taken.shape,
        tuple(found.notes),
        tuple(taken.read.items()),
        (*unused, *sorted(found.unused)),
    )


def _without(value: Mapping[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
    names = {plain_name(name) for name in ignored}
    return {key: found for key, found in value.items() if plain_name(key) not in names}


def _refuse_marked(
    value: Mapping[str, Any], seen: Layout, options: Options, evidence: Evidence, found: Found
) -> None:
    """Raise UnusableError for a row that says not to learn it, or holds what is not carried here."""
    if seen.marks:
        turns = next(
            (len(t) for key in seen.turns if isinstance(t := value[key], (list, tuple))), 0
        )
        found.used |= check_row(value, seen.marks, evidence, turns)
    if options.least:
        found.used |= check_least(value, options)
    if seen.cannot:
        reason, key = carries_more(value, seen.cannot)
        if reason:
            raise UnusableError(reason, key)


def _masked(value: Mapping[str, Any], seen: Layout, turns: list[Spoken]) -> list[Spoken]:
    """The turns with the mask of the row laid on them, where it has one value a turn."""
    for mark in seen.marks:
        mask = value[mark.key]
        if mark.kind == "list" and isinstance(mask, (list, tuple)) and len(mask) == len(turns):
            turns = [
                turn._replace(learn=turn.learn and (turn.role != "assistant" or bool(said)))
                for turn, said in zip(turns, mask, strict=True)
            ]
    return turns


def _recognised(value: Mapping[str, Any], seen: Layout, options: Options, found: Found) -> _Taken:
    """The turns of a row by the first shape that its keys and values show."""
    if options.shape != "auto":
        return _as_named(value, seen, options, found)
    if options.columns.named():
        return _columns(value, seen, options, found)
    for take in _TRIED:
        if (taken := take(value, seen, options, found)) is not None:
            return taken
    if seen.refused:
        raise UnusableError(seen.refused, _keys(value))
    if headers.usable(seen.fields):
        if _is_columnar([value[seen.fields["question"]], value[seen.fields["answer"]]]):
            raise UnusableError("columnar", _keys(value))
        return _columns(value, seen, options, found)
    if seen.rejected and not seen.chosen:
        raise UnusableError("no_chosen", _keys(value))
    if any(isinstance(value.get(key), str) for key in ("text", "content")):
        raise UnusableError("plain_text", _keys(value))
    if _is_columnar(list(value.values())):
        raise UnusableError("columnar", _keys(value))
    if "question" in seen.fields and len(value) <= 3:
        raise UnusableError("prompt_only", _keys(value))
    raise UnusableError("unknown_shape", _keys(value))


def _flat_translation(value: dict[str, Any]) -> dict[str, Any]:
    """{"translation": {"en": …, "zh": …}} as its texts."""
    held = value.get("translation")
    if not isinstance(held, Mapping) or not all(isinstance(one, str) for one in held.values()):
        return value
    return {key: one for key, one in value.items() if key != "translation"} | dict(held)


def _refuse_choice(value: Mapping[str, Any]) -> None:
    """Raise UnusableError for a row with choices whose answer only names one of them."""
    seen = layout(tuple(value))
    if seen.turns or seen.chosen:
        return
    if headers.usable(seen.fields):
        key = seen.fields["answer"]
        told = bool(seen.options) and names_a_choice(value[key], value, seen.options)
        beside = {name: held for name, held in value.items() if name not in seen.fields.values()}
        told = told or is_called(value[key], beside)
    else:
        told = bool(seen.options) and tells_choice_elsewhere(value, seen.options)
    if told:
        raise UnusableError("choices", _keys(value))


def _keys(value: Mapping[str, Any]) -> str:
    return ", ".join(str(key) for key in value)[:120]


def _is_columnar(held: Sequence[Any]) -> bool:
    """Whether values are whole columns: as many objects or lists of as many items, not messages."""
    columns = [item for item in held if isinstance(item, (dict, list)) and len(item) > 1]
    if len(columns) < 2 or len(columns) < len(held) or len({len(item) for item in columns}) > 1:
        return False
    return not any(isinstance(item, list) and any(map(is_message, item)) for item in columns)


def _as_named(value: Mapping[str, Any], seen: Layout, options: Options, found: Found) -> _Taken:
    """The shape that the person named."""
    if options.shape == "columns":
        return _columns(value, seen, options, found)
    taken = _turns(value, seen, options, found)
    if taken is None:
        raise UnusableError("unknown_shape", _keys(value))
    return taken._replace(shape=options.shape)


# --- turns ------------------------------------------------------------------------------------


def _turns(value: Mapping[str, Any], seen: Layout, options: Options, found: Found) -> _Taken | None:
    """messages, sharegpt, XTuner, Firefly, MOSS, UltraChat: a list of turns under a known key."""
    for key in seen.turns:
        held = value[key]
        if isinstance(held, Mapping):
            turns = moss_turns(held, key, found)
            system = _system(value, seen, found, also=("meta_instruction",))
            return _Taken("moss", [*system, *turns], {"messages": key})
        listed = turn_list(held)
        if listed is None and isinstance(held, str) and (told := read_transcript(held)):
            return _Taken("transcript", told, {"messages": key})
        if listed is None or (not listed and headers.usable(seen.fields)):
            continue
        if holds_conversations(listed, key, alone=False):
            raise UnusableError("unknown_shape", f"{key} holds conversations")
        return _listed(value, seen, key, listed, options, found)
    for key in seen.loose_turns:
        listed = turn_list(value[key])
        if listed and looks_like_turns(listed, key) and not headers.usable(seen.fields):
            return _listed(value, seen, key, listed, options, found)
    return None


def _listed(
    value: Mapping[str, Any], seen: Layout, key: str, listed: Sequence[Any], options: Options, found: Found
) -> _Taken:  # fmt: skip
    turns = read_turns(listed, key, options, found)
    system = _system(value, seen, found)
    return _Taken(_turns_shape(listed), _joined(system, turns, seen, found), {"messages": key})


def _turns_shape(listed: Sequence[Any]) -> str:
    first = listed[0] if listed else {}
    if not isinstance(first, Mapping):
        return "texts in turn"
    if "from" in first:
        return "sharegpt"
    if is_message(first) or not first:
        return "messages"
    if "output" in first or "input" in first:
        return "xtuner"
    return "firefly" if len(first) > 1 else "messages"


def _system(
    value: Mapping[str, Any], seen: Layout, found: Found, also: Sequence[str] = ()
) -> list[Spoken]:
    """The system message that stands beside the turns."""
    for key in (seen.fields.get("system", ""), *also):
        if key and isinstance(value.get(key), str) and value[key].strip():
            found.used.add(key)
            return [Spoken("system", value[key])]
    return []


def _joined(system: list[Spoken], turns: list[Spoken], seen: Layout, found: Found) -> list[Spoken]:
    """One system message: that of the turns, else the one beside them."""
    own = [turn for turn in turns if turn.role == "system" and turn.content.strip()]
    rest = [turn for turn in turns if turn.role != "system" or turn.content.strip()]
    if not own or not system:
        return [*system, *rest]
    if rest[0].role != "system" or rest[0].content != system[0].content:
        found.used.discard(seen.fields.get("system", ""))
    return rest


# --- preference -------------------------------------------------------------------------------


def _preference(
    value: Mapping[str, Any], seen: Layout, options: Options, found: Found
) -> _Taken | None:
    """The chosen answer of a pair; the rejected one is not used."""
    if not seen.chosen or isinstance(value[seen.chosen], (bool, int)) or blank(value[seen.chosen]):
        return None
    key = seen.chosen
    chosen = _answer_turns(value[key], key, options, found)
    read = {"answer": key}
    if not chosen or chosen[0].role != "assistant":  # the whole conversation
        chosen += _completion_turns(value, seen, chosen, read, options, found)
        system = _system(value, seen, found)
        turns = _joined(system, chosen, seen, found)
        asked = seen.fields.get("question", "")
        if (
            asked
            and isinstance(value[asked], str)
            and any(turn.content.strip() == value[asked].strip() for turn in turns)
        ):
            found.used.add(asked)
        return _Taken("preference", turns, read)
    before = _before(value, seen, options, found, read)
    return _Taken("preference", [*before, *chosen], read)


def _answer_turns(held: Any, key: str, options: Options, found: Found) -> list[Spoken]:
    """A chosen answer: a text, a message, messages, or a transcript."""
    if isinstance(held, str):
        told = read_transcript(held) if ":" in held or "|" in held else None
        if told and told[0].role != "assistant":
            return told
        return [Spoken("assistant", content_of(held, key, found, answer=True))]
    if isinstance(held, Mapping):
        if not is_message(held) and isinstance(held.get("messages"), list):
            held = held["messages"]
        else:
            held = [held]
    if not isinstance(held, Sequence):
        raise UnusableError("not_text", key)
    return read_turns(held, key, options, found)


def _completion_turns(
    value: Mapping[str, Any], seen: Layout, before: list[Spoken], read: dict[str, str], options: Options,
    found: Found,
) -> list[Spoken]:  # fmt: skip
    """The answer that stands in a list of its own beside a chosen question (axolotl's KTO)."""
    key = seen.fields.get("answer", "")
    listed = _message_list(value[key]) if key and key != seen.chosen else None
    if listed is None or not before or before[-1].role == "assistant":
        return []
    read["completion"] = key
    return read_turns(listed, key, options, found)


def _before(
    value: Mapping[str, Any], seen: Layout, options: Options, found: Found, read: dict[str, str]
) -> list[Spoken]:
    """What stands before a chosen answer: turns, messages as a prompt, or a question."""
    nested = value.get("input")
    if isinstance(nested, Mapping) and isinstance(nested.get("messages"), list):  # OpenAI
        reason, key = carries_more(nested, layout(tuple(nested)).cannot)
        if reason:
            raise UnusableError(reason, f"input.{key}")
        read["messages"] = "input"
        return read_turns(nested["messages"], "input", options, found)
    if (taken := _turns(value, seen, options, found)) is not None:
        read |= taken.read
        return taken.turns
    if "question" not in seen.fields:
        raise UnusableError("unknown_shape", _keys(value))
    return _asked(value, seen.fields, options, found, read)


# --- columns ----------------------------------------------------------------------------------

_OF_COLUMNS = {"alpaca", "prompt/completion", "question/answer", "reflection"}


def _columns(value: Mapping[str, Any], seen: Layout, options: Options, found: Found) -> _Taken:
    """A question and an answer under keys of their own."""
    named = {field: key for field, key in options.columns.named().items() if key in value}
    fields = {
        field: key for field, key in seen.fields.items() if key not in named.values()
    } | named  # fmt: skip
    name = seen.name
    if seen.corrected and not blank(value[seen.corrected]):
        fields, name = fields | {"answer": seen.corrected}, "reflection"
    if not headers.usable(fields):
        raise UnusableError("unknown_shape", _keys(value))
    read: dict[str, str] = {}
    turns = _asked(value, fields, options, found, read)
    read["answer"] = fields["answer"]
    held = value[fields["answer"]]
    if (listed := _message_list(held)) is not None:
        return _Taken(name, [*turns, *read_turns(listed, fields["answer"], options, found)], read)
    if "answer" in named and isinstance(held, (list, tuple)):  # several to choose from
        held = next((text for text in held if not blank(text)), "")
    answer = answer_of(held, fields["answer"])
    if isinstance(held, float) and not answer:
        raise UnusableError("no_answer", f"{fields['answer']}: NaN")
    if "think" in answer:
        answer = content_of(answer, fields["answer"], found, answer=True)
    return _Taken(name, [*turns, Spoken("assistant", answer)], read)


def _asked(
    value: Mapping[str, Any], fields: Mapping[str, str], options: Options, found: Found,
    read: dict[str, str],
) -> list[Spoken]:  # fmt: skip
    """System message, earlier turns and the question of a row of columns."""
    turns: list[Spoken] = []
    if (
        "system" in fields
        and (system := text_of(value[fields["system"]], fields["system"])).strip()
    ):
        read["system"] = fields["system"]
        turns.append(Spoken("system", system))
    if "history" in fields and not blank(value[fields["history"]]):
        read["history"] = key = fields["history"]
        listed = turn_list(value[key])
        if listed is None:
            raise UnusableError("not_text", f"{key} holds no turns")
        turns += read_turns(listed, key, options, found)
    key = read["question"] = fields["question"]
    if (messages := _message_list(value[key])) is not None:
        return [*turns, *read_turns(messages, key, options, found)]
    parts = [text_of(value[key], key)]
    if "input" in fields:
        read["input"] = fields["input"]
        parts.append(_added(value[fields["input"]], fields["input"]))
    return [*turns, Spoken("user", "\n".join(part for part in parts if part.strip()))]


def _added(held: Any, key: str) -> str:
    """What goes on with a question; a list of choices as lines."""
    if isinstance(held, (list, tuple)) and all(isinstance(item, str) for item in held):
        return "\n".join(held)
    passages = _passages(held)
    return "\n".join(passages) if passages else text_of(held, key)


def _passages(held: Any) -> list[str]:
    """The passages of a context of several, as HotpotQA and PubMedQA have them; none of another."""
    if isinstance(held, Mapping):
        if isinstance(texts := held.get("contexts"), (list, tuple)):
            return [text for text in texts if isinstance(text, str)]
        named, texts = held.get("title"), held.get("sentences")
        if not isinstance(named, (list, tuple)) or not isinstance(texts, (list, tuple)):
            return []
        held = list(zip(named, texts))  # noqa: B905
    if not isinstance(held, (list, tuple)):
        return []
    found = []
    for one in held:
        if not isinstance(one, (list, tuple)) or len(one) != 2 or not isinstance(one[0], str):
            return []
        if not isinstance(one[1], (list, tuple)) or not all(isinstance(s, str) for s in one[1]):
            return []
        found.append(f"{one[0]}: {''.join(one[1])}")
    return found


def _message_list(held: Any) -> Sequence[Any] | None:
    """A prompt or a completion that is a list of messages."""
    listed = turn_list(held) if isinstance(held, (list, tuple)) else None
    return listed if listed and all(map(is_message, listed)) else None


# --- texts and segments -----------------------------------------------------------------------


def _transcript(value: Mapping[str, Any], seen: Layout, _: Options, __: Found) -> _Taken | None:
    """A whole conversation as one text."""
    if headers.usable(seen.fields):
        return None
    for key in ("text", "content"):
        if isinstance(value.get(key), str) and (turns := read_transcript(value[key])):
            return _Taken("transcript", turns, {"messages": key})
    return None


def _span(value: Mapping[str, Any], seen: Layout, options: Options, found: Found) -> _Taken | None:
    """SQuAD: an answer that stands in a text, the first where several people marked one."""
    answer = span_answer(value)
    if answer is None or "question" not in seen.fields:
        return None
    read: dict[str, str] = {}
    turns = _asked(value, seen.fields, options, found, read)
    return _Taken("squad", [*turns, Spoken("assistant", answer)], {**read, "answer": "answers"})


def _segments(value: Mapping[str, Any], seen: Layout, _: Options, found: Found) -> _Taken | None:
    """axolotl's input_output: texts, those with a true label are learned."""
    held = value.get(seen.segments) if seen.segments else None
    if not isinstance(held, list) or not all(isinstance(part, Mapping) for part in held):
        return None
    text = "".join(text_of(part.get("text"), "segments") for part in held)
    turns = read_transcript(text)
    if turns is None:
        asked = "".join(str(part.get("text", "")) for part in held if not part.get("label"))
        said = "".join(str(part.get("text", "")) for part in held if part.get("label"))
        if [bool(part.get("label")) for part in held] != sorted(
            bool(part.get("label")) for part in held
        ):
            raise UnusableError("unknown_shape", "segments")
        ends = ("<s>", "</s>", "<|endoftext|>")
        for end in ends:
            asked, said = asked.replace(end, ""), said.replace(end, "")
        turns = [Spoken("user", asked.strip()), Spoken("assistant", said.strip())]
    else:
        learned = "".join(str(part.get("text", "")) for part in held if part.get("label"))
        turns = [
            turn._replace(learn=turn.role != "assistant" or turn.content in learned)
            for turn in turns
        ]
    return _Taken("input_output", turns, {"messages": seen.segments})


def _completion(
    value: Mapping[str, Any], seen: Layout, options: Options, found: Found
) -> _Taken | None:
    """A whole conversation under `completion`."""
    key = seen.fields.get("answer", "")
    if not key or "question" in seen.fields or (listed := _message_list(value[key])) is None:
        return None
    return _Taken("messages", read_turns(listed, key, options, found), {"messages": key})


_TRIED: tuple[Callable[[Mapping[str, Any], Layout, Options, Found], _Taken | None], ...] = (
    _span, _preference, _turns, _segments, _transcript, _completion,
)  # fmt: skip


# --- what is made of the turns ----------------------------------------------------------------


def _with_system(messages: list[Message], system: str) -> list[Message]:
    """With `system` in front where there is no system message."""
    if not system or (messages and messages[0].role == "system"):
        return messages
    return [Message(role="system", content=system), *messages]


def _checked(messages: list[Message], found: Found) -> tuple[Message, ...]:
    """The messages if they are a conversation with an answer at its end. Raises UnusableError."""
    if messages and messages[0].role == "system" and not messages[0].content.strip():
        messages = messages[1:]
    if len(messages) > 2 and messages[-1].role == "user" and messages[-2].role == "assistant":
        messages = messages[:-1]
        found.note("unanswered_end")
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
    return tuple(messages)


def _meta(
    value: Mapping[str, Any], columns: Columns, from_columns: bool, seen: Layout, found: Found
) -> dict[str, Any]:
    """The record's own `meta`, role, scene and style, and the columns that were asked for."""
    own = value.get("meta")
    meta: dict[str, Any] = {}
    if isinstance(own, Mapping) and _is_plain(own):
        meta = dict(own)
        found.used.add("meta")
    if from_columns:
        for field in headers.META_FIELDS:
            key = seen.fields.get(field)
            if key and (text := _short_text(value[key])):
                meta[field] = text
                found.used.add(key)
    for name in columns.meta:
        if name in value and (text := _short_text(value[name])):
            meta[name] = text
            found.used.add(name)
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
