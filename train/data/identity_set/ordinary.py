"""Ordinary conversation, answered by the base itself, so that it forgets nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from assistant.conversation import Conversation, Message
from assistant.persona import Persona
from assistant.words import Language

from ..probes import says
from . import bank
from .base_answers import BaseAnswer
from .bases import BaseNames, families
from .likeness import plain, unlike
from .systems import other_system, persona_system
from .tidy import tidy

PERSONA_SYSTEM_SHARE = 0.5  # of the rows, as at serving; the others have none or another
NEAR_SHARE = 0.575  # of the questions look like questions about the assistant
ENGLISH_SHARE = 0.25  # of a Chinese persona's, where what the base knows it knows in English
NO_SYSTEM_SHARE = 0.6  # of the other rows; what is left comes with a common system prompt
CALLED_SHARE = 0.08  # of the rows call the assistant by its name: "{name}, why is the sky blue?"
AFTER_SHARE = 0.08  # of the rows come after a question about the assistant
HELD_ROWS = (
    60  # ordinary rows for the perplexity that `train check` measures; a tenth of a small set
)
PROBES = 200  # ordinary questions of each language kept for checking; a quarter of them chooses

Ask = Callable[[Sequence[str]], dict[str, BaseAnswer]]


@dataclass(frozen=True)
class Turn:
    """An ordinary question and its answer; `whole` unless the answer's end was left out."""

    question: str
    answer: str
    language: Language
    topic: str
    source: str
    whole: bool = True

    def messages(self) -> tuple[Message, Message]:
        return (
            Message(role="user", content=self.question),
            Message(role="assistant", content=self.answer),
        )


@dataclass(frozen=True)
class OrdinaryQuestion:
    """A question of the bank; `near` ones look like questions about the assistant."""

    text: str
    language: Language
    topic: str
    source: str
    near: bool = False
    reply: str = ""  # the bank's own; else the base answers


@cache
def bank_questions(language: Language, use: bank.Use) -> list[OrdinaryQuestion]:
    """All ordinary questions of one use; none to train on that is near a held-out one."""
    found = _all_questions(language, use)
    if use == "probe":
        return found
    names = [word for family in families() for word in family.words]
    held = [plain(question.text, names) for question in _all_questions(language, "probe")]
    kept = unlike([plain(question.text, names) for question in found], held)
    return [question for question, keep in zip(found, kept, strict=True) if keep]


def _all_questions(language: Language, use: bank.Use) -> list[OrdinaryQuestion]:
    return [
        OrdinaryQuestion(
            text, language, family.topic, f"ordinary.{language}:{family.id}", family.near, reply
        )
        for family in bank.ordinary_bank(language).of(use)
        for text, reply in family.filled()
    ]


def choose_questions(
    languages: Sequence[Language], base: BaseNames, use: bank.Use, count: int, chance: random.Random
) -> list[OrdinaryQuestion]:
    """`count` questions, or all there are, by `language_shares`; most of them such as look like
    questions about the assistant: those are what it must learn to tell apart."""
    shares = language_shares(languages, base)
    chosen = []
    for language, share in shares.items():
        there = bank_questions(language, use)
        near = [question for question in there if question.near]
        others = [question for question in there if not question.near]
        wanted = min(len(there), round(count * share))
        looks_alike = min(len(near), max(round(wanted * NEAR_SHARE), wanted - len(others)))
        chosen += _replied_first(near, looks_alike, chance)
        chosen += chance.sample(others, wanted - looks_alike)
    return chosen


def _replied_first(
    near: Sequence[OrdinaryQuestion], count: int, chance: random.Random
) -> list[OrdinaryQuestion]:
    """`count` of them by chance, before others those that the bank answers: the hardest to tell
    from questions about the assistant."""
    replied = [question for question in near if question.reply]
    rest = [question for question in near if not question.reply]
    first = chance.sample(replied, min(len(replied), count))
    return first + chance.sample(rest, min(len(rest), count - len(first)))


def probe_questions(languages: Sequence[Language], chance: random.Random) -> list[OrdinaryQuestion]:
    """The ordinary questions to ask when checking: of each language all that look like identity
    questions, others by chance up to PROBES."""
    chosen = []
    for language in languages:
        there = bank_questions(language, "probe")
        near = [question for question in there if question.near]
        rest = [question for question in there if not question.near]
        room = max(0, PROBES - len(near))
        chosen += near + chance.sample(rest, min(len(rest), room))
    return chosen


def language_shares(languages: Sequence[Language], base: BaseNames) -> dict[Language, float]:
    """The share of ordinary questions in each language; they add up to 1. Equal, with some English
    ones for a persona in Chinese alone on a base whose Chinese is poor."""
    if "en" in languages or base.chinese:
        return {language: 1 / len(languages) for language in languages}
    return {"zh": 1 - ENGLISH_SHARE, "en": ENGLISH_SHARE}


def answered(
    asked: Sequence[OrdinaryQuestion], ask: Ask, base: BaseNames, persona: Persona
) -> list[Turn]:
    """The questions whose answers by the base are fit to learn from, with them."""
    return _answered(asked, ask, base, persona)[0]


def answered_or_replied(
    asked: Sequence[OrdinaryQuestion], ask: Ask, base: BaseNames, persona: Persona,
    chance: random.Random,
) -> list[Turn]:  # fmt: skip
    """All questions. Where the base has no fit answer, one of the bank's replies for the topic: left
    out, such questions would be of the kind that the trained model answers with its name."""
    turns, unfit = _answered(asked, ask, base, persona)
    for question in unfit:
        replies = bank.ordinary_bank(question.language).answers
        reply = chance.choice(replies.get(question.topic) or replies["other"])
        turns.append(_turn(question, reply))
    return turns


def _answered(
    asked: Sequence[OrdinaryQuestion], ask: Ask, base: BaseNames, persona: Persona
) -> tuple[list[Turn], list[OrdinaryQuestion]]:
    """Questions with the base's answers, and those whose answers are not fit to learn from."""
    answers = ask([question.text for question in asked if not question.reply])
    turns, unfit = [], []
    for question in asked:
        if question.reply:
            turns.append(_turn(question, question.reply))
            continue
        words = [*base.words, persona.name, persona.author]
        unasked = [word for word in words if not says(question.text, word)]
        kept = tidy(answers[question.text], unasked)
        if kept:
            turns.append(_turn(question, kept.text, kept.whole))
        else:
            unfit.append(question)
    return turns, unfit


def _turn(question: OrdinaryQuestion, answer: str, whole: bool = True) -> Turn:
    return Turn(question.text, answer, question.language, question.topic, question.source, whole)


def ordinary_rows(
    persona: Persona,
    turns: Sequence[Turn],
    count: int,
    chance: random.Random,
    about_itself: Callable[[Language], tuple[Message, Message]],
) -> list[Conversation]:
    """`count` rows from `turns`, all of them used once before one is used again.

    At serving the persona's system prompt is sent, so the rows carry it too; what stands under it
    is what the base says under its *own* default prompt. That is the lesson: the system prompt
    changes who it is, not what it knows. `about_itself` gives a question about the assistant and
    its answer, put before some rows.
    """
    rows: list[Conversation] = []
    while turns and len(rows) < count:
        for turn in chance.sample(turns, min(len(turns), count - len(rows))):
            system = (
                persona_system(persona, turn.language) if chance.random() < PERSONA_SYSTEM_SHARE
                else [] if chance.random() < NO_SYSTEM_SHARE
                else other_system(turn.language, chance)
            )  # fmt: skip
            place = chance.random()
            before = about_itself(turn.language) if place < AFTER_SHARE else ()
            called = AFTER_SHARE <= place < AFTER_SHARE + CALLED_SHARE
            rows.append(_row((*system, *before), turn, persona.name if called else ""))
    return rows


def held_rows(persona: Persona, turns: Sequence[Turn]) -> list[Conversation]:
    """Each turn once, with the persona's system prompt and with none by turns."""
    return [
        _row(tuple(persona_system(persona, turn.language)) if number % 2 == 0 else (), turn)
        for number, turn in enumerate(turns)
    ]


def _row(before: Sequence[Message], turn: Turn, called: str = "") -> Conversation:
    question, answer = turn.messages()
    if called:
        comma = "，" if turn.language == "zh" else ", "
        question = Message(role="user", content=f"{called}{comma}{question.content}")
    return Conversation(
        messages=(*before, question, answer),
        meta={
            "kind": "ordinary", "language": turn.language, "topic": turn.topic,
            "source": turn.source, **({} if turn.whole else {"ended": False}),
        },
    )  # fmt: skip
