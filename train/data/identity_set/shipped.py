"""Ordinary answers of the embedded base that come with the kit: they are the same on every machine.

`banks/answers/*.jsonl`: a header line (which weights answered which bank, and how), then an `Answer` a
line. `python -m train data answers` makes such a file again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from assistant.artifacts import sha256_of, whole_file
from assistant.engines.base import Sampling
from assistant.models import LocalModel
from assistant.words import Language

from . import bank
from .base_answers import BaseAnswer, read_answers

ANSWERS = Path(__file__).parent / "banks" / "answers"
ENGINES = ("auto", "cpu")  # what answered; another engine rounds otherwise


class Header(BaseModel):
    """What the answers of a file rest on; `sampling` is the engine's own settings object."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str
    licence: str
    base_sha256: str
    bank_sha256: dict[Language, str]
    sampling: dict[str, object]


def shipped_answers(model: LocalModel, engine: str, how: Sampling) -> dict[str, BaseAnswer]:
    """Return the shipped answers of exactly these weights asked in this way, by question.

    Args:
        model: the base; only a single file of weights can have shipped answers.
        engine: name of the engine that would be asked.
        how: the sampling it would be asked with.

    Returns:
        Answers by question; empty where none ship for this base, engine or sampling.
    """
    if engine not in ENGINES or not model.path.is_file():
        return {}
    for file in sorted(ANSWERS.glob("*.jsonl")):
        header = read_header(file)
        if header.sampling == plain_sampling(how) and header.base_sha256 == _sha256(model.path):
            return read_answers(file)
    return {}


def read_header(file: Path) -> Header:
    """Read the first line of a file of shipped answers."""
    with file.open(encoding="utf-8") as lines:
        return Header.model_validate_json(next(lines))


def bank_sha256(language: Language) -> str:
    """Hash the bank's ordinary questions of `language`, to see whether answers are still of it."""
    return hashlib.sha256("\n".join(all_questions(language)).encode()).hexdigest()


def all_questions(language: Language) -> list[str]:
    """Every ordinary question of the bank that the base answers, to train on or held out, each
    once."""
    uses: Sequence[bank.Use] = ("train", "probe")
    families = [family for use in uses for family in bank.ordinary_bank(language).of(use)]
    return list(
        dict.fromkeys(text for family in families for text, reply in family.filled() if not reply)
    )


def plain_sampling(how: Sampling) -> dict[str, object]:
    """Return `how` as JSON can hold it."""
    said = asdict(how)
    del said["form"]  # an answer that is kept has none
    return dict(json.loads(json.dumps(said)))


def write_shipped(
    file: Path, model: LocalModel, languages: Sequence[Language], how: Sampling,
    answers: Iterable[BaseAnswer],
) -> Path:  # fmt: skip
    """Write a file of shipped answers, whole or not at all, and return it."""
    header = Header(
        reference=model.reference,
        licence=model.licence,
        base_sha256=_sha256(model.path),
        bank_sha256={language: bank_sha256(language) for language in languages},
        sampling=plain_sampling(how),
    )
    with whole_file(file) as out:
        out.write(header.model_dump_json() + "\n")
        for answer in answers:
            out.write(json.dumps(answer.model_dump(), ensure_ascii=False) + "\n")
    return file


@cache
def _sha256(file: Path) -> str:
    return sha256_of(file)
