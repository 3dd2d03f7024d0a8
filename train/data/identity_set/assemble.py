"""From a persona and its base to a dataset: rows to train on, rows held out, probes."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.conversation import Conversation, Message
from assistant.corrections import Correction
from assistant.persona import Persona
from assistant.words import Language

from ..probes import Probe
from ..settings import DataTable
from . import bank, ordinary, own_files
from . import base_answers as answers
from .bases import BaseNames
from .corrected import apart_from_corrections, asked_corrections, correction_rows, unasked
from .facts import AskedFact, asked_facts
from .likeness import plain, unlike
from .probe_templates import ProbeMaker
from .questions import Question, not_asked_by_facts, questions, spread
from .rows import answer, fact_rows, identity_rows
from .source import BaseSource
from .task_files import task_rows, taught

STYLES_NOTE = (
    "styles are not trained where no row ends with their trigger (task_files may bring some); their "
    "probes ask with the style's prompt, as the chat does: "
)


@dataclass(frozen=True)
class Dataset:
    """Everything that goes into the folder."""

    train: list[Conversation]
    valid: list[Conversation]
    probes: list[Probe]
    notes: dict[str, Any]


@dataclass(frozen=True)
class Ordinary:
    """Ordinary conversation: what rows are made of, and what is held out."""

    train: list[ordinary.Turn]
    held: list[ordinary.Turn]
    own_train: list[Conversation] | None = None
    own_held: list[Conversation] | None = None


def assemble(
    persona: Persona, base: BaseNames, table: DataTable, seed: int, source: BaseSource,
    corrections: Sequence[Correction] = (),
) -> Dataset:  # fmt: skip
    """The rows and probes of `persona` on `base`; the same seed gives the same. What the owner put
    right is trained on as well, and takes the place of all that would teach otherwise."""

    # Each part has its own stream of chance, so that a change of one leaves the others as they are.
    def chance(part: str) -> random.Random:
        return random.Random(f"{seed}/{part}")

    facts = asked_facts(persona)
    asked, held, dropped = _split(persona, base, facts)
    chosen = [
        question
        for language in persona.languages
        for question in spread(
            [q for q in asked if q.language == language], table.identity_rows, chance(language)
        )
    ]
    facts_asked = fact_rows(persona, facts, chance("facts"))
    corrected = asked_corrections(corrections)
    put_right = correction_rows(persona, corrected, chance("corrections"))
    wanted = round(table.ordinary_ratio * (len(chosen) + len(facts_asked) + len(put_right)))
    probed = ordinary.probe_questions(persona.languages, chance("probed"))
    exam = [question.text for question in probed] + [question.text for question in held]
    exam += [ask for fact in facts for ask in fact.probe]
    there = _ordinary(
        persona, base, table, wanted, exam, source, chance("ordinary"), chance("held")
    )
    about = chance("about")

    def about_itself(language: Language) -> tuple[Message, Message]:
        question = about.choice([q for q in asked if q.language == _spoken(language, persona)])
        said = answer(question, about)
        return Message(role="user", content=question.text), Message(role="assistant", content=said)

    identity = identity_rows(persona, chosen, there.train, chance("identity"))
    if there.own_train is None:
        everyday = ordinary.ordinary_rows(
            persona, there.train, wanted, chance("everyday"), about_itself
        )
        valid = ordinary.held_rows(persona, there.held)
    else:
        everyday = chance("own").sample(there.own_train, min(wanted, len(there.own_train)))
        valid = there.own_held or []
    task = task_rows(
        persona, table.task_files, source.config.folder, exam, seed, chance("task"),
    )  # fmt: skip
    usual = [*identity, *facts_asked, *everyday, *task.train]
    train = apart_from_corrections(usual, corrected)
    replaced = len(usual) - len(train)
    train += put_right
    valid = [*valid, *task.held]
    chance("order").shuffle(train)
    maker = ProbeMaker(persona, base, chance("probes"))
    probes = unasked(_probes(maker, held, facts, probed, there.held, task.held), corrected)
    probes += maker.corrections(corrected)
    untaught = sorted({style.name for style in persona.styles} - taught(train, persona.styles))
    notes = _notes(train, valid, probes) | {
        "ordinary_ratio": round(
            len(everyday) / max(1, len(identity) + len(facts_asked) + len(put_right)), 2
        ),
        "near_probes_dropped": dropped,
        "answers_cut_to_whole_sentences": sum(row.meta.get("ended") is False for row in train),
        "base_names": list(base.words),
        "facts_without_held_out_phrasing": [f.train[0] for f in facts if not f.common],
    }
    if corrected:
        notes["corrections"] = {
            "trained_on": sum(bool(one.train) for one in corrected),
            "only_checked": sum(not one.train for one in corrected), "rows_replaced": replaced,
        }  # fmt: skip
    if untaught:
        notes["styles"] = STYLES_NOTE + ", ".join(untaught)
    return Dataset(train, valid, probes, notes)


def _spoken(language: Language, persona: Persona) -> Language:
    return language if language in persona.languages else persona.languages[0]


def _split(
    persona: Persona, base: BaseNames, facts: Sequence[AskedFact]
) -> tuple[list[Question], list[Question], int]:
    """Questions to train on, held-out ones, and how many were near a held-out one and left out."""
    own = [ask for fact in facts for ask in (*fact.train, *fact.probe)]
    found: dict[bank.Use, list[Question]] = {"train": [], "probe": []}
    for language in persona.languages:
        for use, listed in found.items():
            listed += not_asked_by_facts(questions(persona, base, language, use), own)
    held = [question.plain for question in found["probe"]]
    held += [plain(ask) for fact in facts for ask in fact.probe]
    kept = unlike([question.plain for question in found["train"]], held)
    train = [question for question, keep in zip(found["train"], kept, strict=True) if keep]
    return train, found["probe"], len(found["train"]) - len(train)


def _ordinary(
    persona: Persona, base: BaseNames, table: DataTable, wanted: int,
    exam: Sequence[str], source: BaseSource, chance: random.Random, held_chance: random.Random,
) -> Ordinary:  # fmt: skip
    """`exam`: what the check asks, which no row of the owner's files may ask too. `held_chance` is
    apart, so that more rows to train on leave those held out as they are."""
    if table.ordinary_files:
        rows = own_files.rows_of_files(table.ordinary_files, source.config.folder)
        train, held = own_files.divided(rows, exam, chance)
        return Ordinary(own_files.turns_of(train), own_files.turns_of(held), train, held)
    if not wanted:
        return Ordinary([], [])
    languages = persona.languages
    chosen = ordinary.choose_questions(languages, base, "train", wanted, chance)
    least = min(ordinary.HELD_ROWS, math.ceil(wanted / 10))
    kept = ordinary.choose_questions(languages, base, "probe", least, held_chance)
    # One call, so that the engine is started once and has always enough to do.
    known = source.ask([question.text for question in (*chosen, *kept) if not question.reply])

    def ask(_: Sequence[str]) -> dict[str, answers.BaseAnswer]:
        return known

    return Ordinary(
        ordinary.answered_or_replied(chosen, ask, base, persona, chance),
        ordinary.answered(kept, ask, base, persona),
    )


def _probes(
    maker: ProbeMaker, held: Sequence[Question], facts: Sequence[AskedFact],
    probed: Sequence[ordinary.OrdinaryQuestion], turns: Sequence[ordinary.Turn],
    task: Sequence[Conversation],
) -> list[Probe]:  # fmt: skip
    languages = dict.fromkeys(question.language for question in held)
    mid = [
        probe
        for language in languages
        for probe in maker.mid([q for q in held if q.language == language], turns)
    ]
    return [
        *maker.identity(held), *mid, *maker.facts(facts), *maker.ordinary(probed),
        *maker.styles(held, task),
    ]  # fmt: skip


def _notes(
    train: Sequence[Conversation], valid: Sequence[Conversation], probes: Sequence[Probe]
) -> dict[str, Any]:
    return {
        "rows": {"train": len(train), "valid": len(valid), "probes": len(probes)},
        "train": _counted(f"{row.meta['kind']} {row.meta['language']}" for row in train),
        "topics": _counted(str(row.meta["topic"]) for row in train),
        "probes": _counted(f"{probe.kind} {probe.language}" for probe in probes),
    }


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
