"""Facts that the persona gives: each asked in several ways, always answered in the user's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assistant.persona import Persona
from assistant.words import Language

from . import bank
from .likeness import ALIKE, likeness, plain

PIECES = 3
_PIECES = re.compile(r"[，。；！？、,.;!?\n]+")


@dataclass(frozen=True)
class AskedFact:
    """A fact with its phrasings. `common` tells that the bank knows the question: then the
    held-out phrasings are truly others, and not the user's one in an unseen frame."""

    answer: str
    language: Language
    train: tuple[str, ...]
    probe: tuple[str, ...]
    common: bool

    @property
    def must(self) -> tuple[str, ...]:
        """Pieces of the answer, of which a right one says at least one word for word."""
        return pieces(self.answer)


def pieces(answer: str) -> tuple[str, ...]:
    """An answer divided at its punctuation."""
    found = [piece.strip() for piece in _PIECES.split(answer)]
    return tuple(dict.fromkeys(piece for piece in found if len(piece) > 1)) or (answer,)


def first_pieces(answer: str) -> tuple[tuple[str, ...], ...]:
    """What a right answer says, each of them: the first PIECES pieces. The end may be cut off."""
    return tuple((piece,) for piece in pieces(answer)[:PIECES])


def asked_facts(persona: Persona) -> list[AskedFact]:
    """Every fact of the persona; several with one answer are phrasings of one fact."""
    together: dict[tuple[str, Language], list[str]] = {}
    for fact in persona.facts:
        together.setdefault((fact.answer, fact.language), []).append(fact.ask)
    return [_asked(answer, language, asks) for (answer, language), asks in together.items()]


def _asked(answer: str, language: Language, asks: list[str]) -> AskedFact:
    words = bank.fact_bank(language)
    group = _group(asks, words)
    if group:
        train = (*asks, *group.ask)
        return AskedFact(answer, language, _once(train), group.probe, True)
    framed = [frame.replace("{q}", ask) for ask in asks for frame in words.frames]
    probe = [frame.replace("{q}", ask) for ask in asks[:1] for frame in words.probe_frames]
    return AskedFact(answer, language, _once((*asks, *framed)), _once(probe), False)


def _group(asks: list[str], words: bank.FactBank) -> bank.FactGroup | None:
    """The bank's group that holds one of the questions."""
    for group in words.group:
        known = [plain(ask) for ask in group.ask]
        if any(likeness(plain(ask), other) >= ALIKE for ask in asks for other in known):
            return group
    return None


def _once(texts: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
