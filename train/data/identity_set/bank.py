"""Question banks: families of phrasings as TOML files in `banks/`, written for this project."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from assistant.config import Filled, Table
from assistant.toml_file import shipped_toml
from assistant.words import Language

from ..probes import Kind

FOLDER = Path(__file__).parent / "banks"

Use = Literal["train", "probe"]


class Family(Table):
    """One way of asking. A family is trained on or held out whole, so that a held-out phrasing is
    of a form never trained on. `bare` questions take no opener; `near` ones are ordinary questions
    that look like questions about the assistant; `sly` ones ask who it is in slang, in pictures, with
    a false claim or an order to drop the role. `{x}` and `{rival}` are filled from the lists. `replies`, one for each
    question, stand in place of the base's own answers."""

    id: Filled
    topic: Filled
    ask: Annotated[tuple[Filled, ...], Field(min_length=1)]
    kind: Kind = "identity"
    use: Use = "train"
    answers: str = ""
    bare: bool = False
    near: bool = False
    sly: bool = False
    x: tuple[Filled, ...] = ()
    rivals: tuple[Filled, ...] = ()
    replies: tuple[Filled, ...] = ()

    @model_validator(mode="after")
    def _a_reply_for_each(self) -> Family:
        if self.replies and len(self.replies) != len(self.ask):
            raise ValueError(f"{self.id}: {len(self.ask)} questions, {len(self.replies)} replies")
        return self

    def filled(self) -> list[tuple[str, str]]:
        """The questions with their replies ("" where the base answers), `{x}` filled in; other
        slots stay."""
        return [
            (ask.replace("{x}", value), reply.replace("{x}", value))
            for ask, reply in zip(self.ask, self.replies or ("",) * len(self.ask), strict=True)
            for value in (self.x if "{x}" in ask else ("",))
        ]


class Bank(Table):
    """A file of families, with what goes around the questions and the templates of answers."""

    family: Annotated[tuple[Family, ...], Field(min_length=1)]
    openers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    answers: dict[str, tuple[Filled, ...]] = Field(default_factory=dict)

    def of(self, use: Use) -> list[Family]:
        """The families of one use, in the file's order."""
        return [family for family in self.family if family.use == use]


class FactGroup(Table):
    """Phrasings of one question that people often ask an assistant of itself."""

    ask: tuple[Filled, ...]
    probe: tuple[Filled, ...]


class FactBank(Table):
    """Common questions with their phrasings, and frames for questions that only the user knows."""

    frames: tuple[Filled, ...]
    probe_frames: tuple[Filled, ...]
    more_probe_frames: tuple[Filled, ...]  # for corrected questions
    group: tuple[FactGroup, ...]


@cache
def identity_bank(language: Language) -> Bank:
    """Questions about the assistant, and its answers."""
    return Bank.model_validate(_read(f"identity.{language}.toml"))


@cache
def ordinary_bank(language: Language) -> Bank:
    """Questions that are not about the assistant."""
    return Bank.model_validate(_read(f"ordinary.{language}.toml"))


@cache
def fact_bank(language: Language) -> FactBank:
    """Ways to ask for facts about the assistant."""
    return FactBank.model_validate(_read(f"facts.{language}.toml"))


def _read(name: str) -> dict[str, object]:
    return shipped_toml((FOLDER / name).read_text(encoding="utf-8"))
