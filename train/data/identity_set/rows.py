"""Rows about the assistant: its questions answered from the bank's templates, and its facts."""

from __future__ import annotations

import random
from collections.abc import Sequence

from assistant.conversation import Conversation, Message
from assistant.persona import Persona

from .bank import identity_bank
from .facts import AskedFact
from .ordinary import Turn
from .questions import Question
from .systems import shared_out

MID_SHARE = 0.25  # of the identity rows, asked after ordinary turns
FACT_ROUNDS = 4  # how often each phrasing of a fact is asked


def identity_rows(
    persona: Persona, asked: Sequence[Question], turns: Sequence[Turn], chance: random.Random
) -> list[Conversation]:
    """One row for each question, its answer in the question's language.

    Answers of a group go round in turn, so each is learned equally often. Some questions come
    after one or two of `turns`, ordinary questions and answers in the same language.
    """
    order = _rounds(asked, chance)
    systems = shared_out(persona, [question.language for question in asked], chance)
    rows = []
    for question, template, system in zip(asked, order, systems, strict=True):
        own = [turn for turn in turns if turn.language == question.language]
        mid = bool(own) and chance.random() < MID_SHARE
        before = chance.sample(own, min(len(own), chance.choice((1, 2)))) if mid else []
        rows.append(
            Conversation(
                messages=(
                    *system,
                    *(message for turn in before for message in turn.messages()),
                    Message(role="user", content=question.text),
                    Message(role="assistant", content=question.filled(template)),
                ),
                meta={
                    "kind": "identity", "language": question.language, "topic": question.topic,
                    "source": question.family, **({"mid": True} if before else {}),
                },
            )
        )  # fmt: skip
    return rows


def answer(question: Question, chance: random.Random) -> str:
    """One answer to `question`, filled."""
    return question.filled(
        chance.choice(identity_bank(question.language).answers[question.answers])
    )


def _rounds(asked: Sequence[Question], chance: random.Random) -> list[str]:
    """An answer template for each question: every group's templates in turn, shuffled anew."""
    waiting: dict[tuple[str, str], list[str]] = {}
    order = []
    for question in asked:
        left = waiting.setdefault((question.language, question.answers), [])
        if not left:
            left += identity_bank(question.language).answers[question.answers]
            chance.shuffle(left)
        order.append(left.pop())
    return order


def fact_rows(
    persona: Persona, facts: Sequence[AskedFact], chance: random.Random
) -> list[Conversation]:
    """Each phrasing of each fact, answered in the user's own words."""
    asked = [(fact, ask) for fact in facts for ask in fact.train] * FACT_ROUNDS
    systems = shared_out(persona, [fact.language for fact, _ in asked], chance)
    return [
        Conversation(
            messages=(
                *system,
                Message(role="user", content=ask),
                Message(role="assistant", content=fact.answer),
            ),
            meta={
                "kind": "fact", "language": fact.language, "topic": "fact", "source": "persona",
            },
        )
        for (fact, ask), system in zip(asked, systems, strict=True)
    ]  # fmt: skip
