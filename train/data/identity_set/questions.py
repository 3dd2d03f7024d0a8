"""Questions about the assistant: the bank's families with the persona's and the base's names."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from assistant.persona import Persona
from assistant.words import Language

from ..probes import Kind, says
from . import bank
from .bases import BaseNames, chinese_in, house, in_language
from .likeness import ALIKE, plain, unlike

_SLOT = re.compile(r"\{(\w+)\}")
_BASE_NAMES = 2  # how many names of the base, and of its makers, questions are asked with


@dataclass(frozen=True)
class Question:
    """A question, the group of answers that fit it, and the values of the answers' slots."""

    text: str
    family: str
    topic: str
    kind: Kind
    language: Language
    answers: str
    bare: bool
    slots: tuple[tuple[str, str], ...] = ()
    sly: bool = False

    @cached_property
    def plain(self) -> str:
        """As it is compared with others: the filled-in names masked."""
        return plain(self.text, [value for _, value in self.slots if value])

    def filled(self, template: str) -> str:
        """`template` with the slots filled."""
        return fill(template, dict(self.slots))


def fill(template: str, slots: dict[str, str]) -> str:
    """Put the values where `{slot}` stands; an unknown slot stays, and is refused later."""
    return _SLOT.sub(lambda match: slots.get(match[1], match[0]), template)


def questions(
    persona: Persona, base: BaseNames, language: Language, use: bank.Use
) -> list[Question]:
    """All questions of the bank for one use, in its order, each text once."""
    found: dict[str, Question] = {}
    for family in bank.identity_bank(language).of(use):
        for question in _of_family(family, persona, base, language):
            found.setdefault(question.text, question)
    return list(found.values())


def _of_family(
    family: bank.Family, persona: Persona, base: BaseNames, language: Language
) -> Iterator[Question]:
    who = {"name": persona.name, "author": persona.author}
    for ask in family.ask:
        for slots in _slots(ask, family, persona, base, language):
            values = who | slots
            yield Question(
                fill(ask, values), f"identity.{language}:{family.id}", family.topic, family.kind,
                language, family.answers, family.bare, tuple(values.items()), family.sly,
            )  # fmt: skip


def _slots(
    ask: str, family: bank.Family, persona: Persona, base: BaseNames, language: Language
) -> Iterator[dict[str, str]]:
    """The values for the slots that are not the persona's. Nothing where a name is not known."""
    wanted = set(_SLOT.findall(ask)) - {"name", "author"}
    if family.rivals:
        yield from _rivals(family.rivals, persona, base, language)
        return
    names = in_language(base.names, language)[:_BASE_NAMES] if "base" in wanted else [""]
    makers = in_language(base.makers, language)[:_BASE_NAMES] if "base_maker" in wanted else [""]
    if "base" in wanted:
        makers = makers[:1]
    own = (persona.name, persona.author)
    for name in names:
        for maker in makers:
            if not any(says(word, named) for word in own for named in (name, maker) if named):
                slots = {"base": name, "base_maker": maker}
                yield {slot: value for slot, value in slots.items() if slot in wanted}


def _rivals(
    rivals: Sequence[str], persona: Persona, base: BaseNames, language: Language
) -> Iterator[dict[str, str]]:
    """Rivals with their companies, without the base's own house and the persona's namesakes."""
    for rival in rivals:
        family = house(rival)
        assert family is not None, f"{rival} is not in banks/bases.toml"
        if set(family.words) & set(base.words):
            continue
        if any(says(own, word) for own in (persona.name, persona.author) for word in family.words):
            continue
        makers = in_language(family.makers, language)
        natural = [maker for maker in makers if chinese_in(maker)] if language == "zh" else []
        maker = (natural or makers)[0]
        yield {"rival": rival, "rival_maker": maker}


def spread(found: list[Question], count: int, chance: random.Random) -> list[Question]:
    """`count` questions out of `found`: opened and closed in other ways where more are wanted,
    and asked again where that is not enough; where fewer are, the first of each family, which is
    how most people ask, and a fair choice of the others."""
    if count <= len(found):
        firsts = list({question.family: question for question in reversed(found)}.values())
        kept = chance.sample(firsts, min(count, len(firsts)))
        texts = {question.text for question in kept}  # each text stands once in `found`
        others = [question for question in found if question.text not in texts]
        return kept + chance.sample(others, count - len(kept))
    grown = found + _varied(found, chance)[: count - len(found)]
    while len(grown) < count:
        grown += chance.sample(found, min(len(found), count - len(grown)))
    return grown


def _varied(found: list[Question], chance: random.Random) -> list[Question]:
    """The questions that can bear it, with an opener or a closer; each text once, shuffled."""
    varied: dict[str, Question] = {}
    known = {question.text for question in found}
    for question in found:
        if question.bare or not _one_question(question.text):
            continue
        words = bank.identity_bank(question.language)
        texts = [_opened(opener, question.text) for opener in words.openers]
        texts += [question.text + closer for closer in words.closers]
        for text in texts:
            if text not in known:
                varied[text] = replace(question, text=text)
    listed = list(varied.values())
    chance.shuffle(listed)
    return listed


def _one_question(text: str) -> bool:
    """Whether it is a single question that does not open with a greeting already."""
    return text[-1] in "?？" and not re.search(r"[.!。！，:：]", text) and text[0] not in "请您"


def _opened(opener: str, text: str) -> str:
    if opener[-2:] in ("! ", ". ") or not text[0].isascii():
        return opener + text
    return opener + text[0].lower() + text[1:]


def not_asked_by_facts(found: list[Question], facts: Sequence[str]) -> list[Question]:
    """The questions that no fact of the persona answers: there the user's own words stand."""
    kept = unlike([question.plain for question in found], [plain(fact) for fact in facts], ALIKE)
    return [question for question, keep in zip(found, kept, strict=True) if keep]
