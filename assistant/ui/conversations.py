"""Conversations as the browser keeps them, and their way out to files and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..conversation import Conversation, Message, check_order, parse_conversation, to_markdown
from ..errors import UsageError
from ..persona import Persona
from ..serving.text import cleaned, file_name
from ..words import Text, filled
from . import words

LARGEST_IMPORT = 5_000_000  # characters
TITLE_LENGTH = 60

Rating = Literal["like", "dislike"]
_AS_FEEDBACK: dict[Rating | None, str | None] = {"like": "Like", "dislike": "Dislike", None: None}


class Kept(BaseModel):
    """One conversation in the browser: without a system message, ratings answer by answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str = ""
    messages: tuple[Message, ...] = ()
    system_prompt: str | None = None  # None is the persona's own
    style: str = ""
    ratings: tuple[Rating | None, ...] = ()

    def answered(self) -> tuple[Message, ...]:
        """The whole turns."""
        return self.messages[: len(self.messages) // 2 * 2]

    def unanswered(self) -> str:
        """The last message if nothing answered it (the page was closed before), else ''."""
        return "".join(message.content for message in self.messages[len(self.answered()) :])


def read_kept(value: Any) -> Kept:
    """What the browser sent as a Kept. Raises UsageError if it is damaged."""
    try:
        kept = Kept.model_validate(value)
        _check_turns(kept.messages)
    except ValueError:  # pydantic's ValidationError is one
        raise UsageError(words.BROKEN_CONVERSATION) from None
    return kept


def from_plain(history: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    """Whole turns from dictionaries. Raises ValueError if they are something else."""
    messages = tuple(Message.model_validate(message) for message in history)
    _check_turns(messages)
    if len(messages) % 2:
        raise ValueError("the last message is not answered")
    return messages


def _check_turns(messages: Sequence[Message]) -> None:
    """Raise ValueError unless they are user and assistant in turn; none at all will do."""
    if messages:
        check_order(messages)
        if messages[0].role == "system":
            raise ValueError("a system message stands among them")


def chat_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """For gr.Chatbot. As text parts, for it would trim plain strings."""
    return [
        {"role": message.role, "content": [{"type": "text", "text": message.content}]}
        for message in messages
    ]


def from_chat(value: Sequence[dict[str, Any]] | None) -> tuple[Message, ...]:
    """What stands in gr.Chatbot, as messages; an unanswered question at the end is left out.

    Raises UsageError if it is not user and assistant in turn.
    """
    try:
        messages = tuple(
            Message(
                role=message["role"],
                content="".join(part["text"] for part in message["content"]),
            )
            for message in value or []
        )
        _check_turns(messages)
    except (ValueError, KeyError, TypeError):
        raise UsageError(words.BAD_HISTORY) from None
    return messages[: len(messages) // 2 * 2]


def feedback(ratings: Sequence[Rating | None]) -> list[str | None]:
    """Ratings as gr.Chatbot shows them."""
    return [_AS_FEEDBACK[rating] for rating in ratings]


def rated(
    ratings: Sequence[Rating | None], messages: Sequence[Any], index: int, liked: Any
) -> list[Rating | None]:
    """The ratings after answer `messages[index]` was liked (True), disliked (False) or cleared."""
    answers = len(messages) // 2
    padded: list[Rating | None] = [*ratings, *[None] * answers][:answers]
    if 0 <= index // 2 < answers:
        padded[index // 2] = "like" if liked is True else "dislike" if liked is False else None
    return padded


def export_markdown(kept: Kept, persona: Persona, language: str) -> dict[str, str]:
    """A file for reading. Raises UsageError if nothing was said yet."""
    conversation = _as_conversation(kept, persona, language)
    text = to_markdown(
        conversation.messages,
        {
            "system": words.SYSTEM.in_language(language),
            "user": words.YOU.in_language(language),
            "assistant": persona.name,
        },
    )
    return {"name": file_name(kept.title, ".md"), "type": "text/markdown", "text": text}


def export_jsonl(conversations: Sequence[Kept], persona: Persona, language: str) -> dict[str, str]:
    """A file to train on; conversations without an answer are left out."""
    said = [kept for kept in conversations if kept.answered()]
    if not said:
        raise UsageError(words.NOTHING_TO_EXPORT)
    lines = [_as_conversation(kept, persona, language).line() + "\n" for kept in said]
    name = file_name(said[0].title if len(said) == 1 else persona.name, ".jsonl")
    return {"name": name, "type": "application/jsonl", "text": "".join(lines)}


def _as_conversation(kept: Kept, persona: Persona, language: str) -> Conversation:
    if not kept.answered():
        raise UsageError(words.NOTHING_TO_EXPORT)
    prompt = persona.system(language) if kept.system_prompt is None else kept.system_prompt
    system = [Message(role="system", content=prompt)] if prompt.strip() else []
    meta: dict[str, Any] = {"title": kept.title} if kept.title else {}
    if kept.style:
        meta["style"] = kept.style
    if any(kept.ratings):
        meta["ratings"] = list(kept.ratings)
    return Conversation(messages=(*system, *kept.answered()), meta=meta)


def import_jsonl(text: str, persona: Persona) -> list[Kept]:
    """The conversations of a JSONL file, cleaned, all or none.

    Raises UsageError naming the first line that is not one, or that the file is too large.
    """
    if len(text) > LARGEST_IMPORT:
        raise UsageError(filled(words.FILE_TOO_LARGE, limit=LARGEST_IMPORT // 1_000_000))
    kept = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            where = filled(words.IMPORT_LINE, number=number)
            kept.append(_as_kept(_parsed(line, where), persona))
    if not kept:
        raise UsageError(words.NO_CONVERSATIONS)
    return kept


def _parsed(line: str, where: Text) -> Conversation:
    try:
        return parse_conversation(line, where="\0")
    except UsageError as error:
        message = Text(
            error.message.en.replace("\0", where.en), error.message.zh.replace("\0", where.zh)
        )
        raise UsageError(message, error.cure) from None


def _as_kept(conversation: Conversation, persona: Persona) -> Kept:
    messages = [
        Message(role=message.role, content=cleaned(message.content))
        for message in conversation.messages
    ]
    prompt: str | None = ""
    if messages[0].role == "system":
        prompt = messages.pop(0).content
    meta = conversation.meta
    plain = {
        "title": str(meta.get("title", ""))[:TITLE_LENGTH],
        "style": meta.get("style", ""),
        "ratings": meta.get("ratings", ()),
        "messages": messages,
        "system_prompt": None if prompt in persona.own_systems() else prompt,
    }
    try:
        return Kept.model_validate(plain)
    except ValidationError:  # a meta of another kit: its words are kept, its marks are not
        return Kept.model_validate(plain | {"style": "", "ratings": ()})
