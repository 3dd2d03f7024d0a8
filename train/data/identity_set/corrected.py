"""Rows and probes of what the owner put right: asked as it was asked, and in other ways.

A small base learns the sentence that it is shown. So each question is trained on in several ways,
and checked in ways that it was not trained on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from assistant.conversation import Conversation, Message
from assistant.corrections import Correction, used
from assistant.persona import Persona
from assistant.words import Language

from ..probes import Probe
from . import bank
from .bases import chinese_in
from .likeness import plain, unlike
from .systems import shared_out

AS_ASKED = 4  # rows of a question as it was asked
OTHERWISE = 2  # rows of each other way


@dataclass(frozen=True)
class Asked:
    """A correction with its ways of asking. What is only to check with has none to train on."""

    correction: Correction
    language: Language
    train: tuple[str, ...]  # the question as it was asked first
    probe: tuple[str, ...]

    @property
    def question(self) -> str:
        return self.correction.question


def asked_corrections(corrections: Sequence[Correction]) -> list[Asked]:
    """The corrections that were accepted, and those that are only to check with."""
    return [_asked(one) for one in used(corrections)]


def _asked(correction: Correction) -> Asked:
    question = correction.question.strip()
    language: Language = "zh" if chinese_in(question) else "en"
    words = bank.fact_bank(language)
    *own, last = correction.ways or ("",)  # of several ways of the owner's, the last is held out
    held = [last] if own else []
    own = own or [way for way in (last,) if way]
    framed = [frame.replace("{q}", question) for frame in words.frames]
    unseen = (*words.probe_frames, *words.more_probe_frames)
    probe = [frame.replace("{q}", question) for frame in unseen]
    ways = tuple(dict.fromkeys((question, *own, _bare(question), *framed)))
    trained = ways if correction.state == "accepted" else ()
    return Asked(correction, language, trained, tuple(dict.fromkeys((*held, *probe))))


def _bare(question: str) -> str:
    """The question as it is typed in haste: "who wrote hamlet"."""
    return question.rstrip("?？.。!！ ").lower() or question


def correction_rows(
    persona: Persona, asked: Sequence[Asked], chance: random.Random
) -> list[Conversation]:
    """Each way of asking, answered in the owner's words, after the turns that stood before it."""
    rows = [
        (one, way)
        for one in asked
        for place, way in enumerate(one.train)
        for _ in range(OTHERWISE if place else AS_ASKED)
    ]
    systems = shared_out(persona, [one.language for one, _ in rows], chance)
    return [
        Conversation(
            messages=(
                *system,
                *one.correction.before,
                Message(role="user", content=way),
                Message(role="assistant", content=one.correction.answer),
            ),
            meta={
                "kind": "correction", "language": one.language, "topic": "correction",
                "source": one.correction.id,
            },
        )
        for (one, way), system in zip(rows, systems, strict=True)
    ]  # fmt: skip


def apart_from_corrections(
    rows: Sequence[Conversation], asked: Sequence[Asked]
) -> list[Conversation]:
    """The rows that ask nothing near a corrected question: their answers would teach the old one."""
    held = [plain(one.question) for one in asked if not one.correction.before]
    if not held:
        return list(rows)
    said = [[m.content for m in row.messages if m.role == "user"] for row in rows]
    flat = [plain(text) for texts in said for text in texts]
    kept = iter(unlike(flat, held))
    return [row for row, texts in zip(rows, said, strict=True) if all([next(kept) for _ in texts])]


def unasked(probes: Sequence[Probe], asked: Sequence[Asked]) -> list[Probe]:
    """The probes but for ordinary ones near what was corrected: their answers are no longer as the
    base gives them, nor held out."""
    held = [plain(one.question) for one in asked]
    if not held:
        return list(probes)
    kept = unlike([plain(probe.question) for probe in probes], held)
    return [
        probe for probe, keep in zip(probes, kept, strict=True) if keep or probe.kind != "ordinary"
    ]
