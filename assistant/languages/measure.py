"""Ask a model short questions in each language and count the right answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..conversation import Message
from ..engines.base import Engine, Sampling
from ..progress import Progress, Report, unreported
from ..toml_file import shipped_toml
from ..words import LANGUAGES, Language, Text

QUESTIONS = Path(__file__).parent / "questions.toml"
HOW = Sampling(
    max_tokens=24, temperature=0, top_p=1, repetition_penalty=1.0
)  # greedy: the same each time
KNOWN_SHARE = (
    0.5  # of the questions right: a model that knows a language has most, one that does not few
)
AT_ONCE = 16  # questions that the engine steps together
WHAT = Text("Finding out which languages the model knows", "看看模型会哪些语言")


class ShortQuestion(BaseModel):
    """A short question; an answer that names one of `right` is right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: str
    right: tuple[str, ...]

    def is_answered_by(self, answer: str) -> bool:
        """Return whether `answer` names what is right: Latin words whole, whatever their case."""
        return any(_names(answer, word) for word in self.right)


class Asked(BaseModel):
    """A question and what the model said."""

    model_config = ConfigDict(frozen=True)

    question: str
    answer: str
    right: bool


class LanguageRecord(BaseModel):
    """What a model said in each language that it was asked in."""

    model_config = ConfigDict(frozen=True)

    answers: dict[Language, tuple[Asked, ...]]

    def share(self, language: Language) -> float:
        """Return the share of right answers in `language`, 0 to 1."""
        asked = self.answers.get(language, ())
        return sum(one.right for one in asked) / len(asked) if asked else 0.0

    def known(self) -> tuple[Language, ...]:
        """Return the languages it knows, best first; the best one where it knows none."""
        best_first = sorted(self.answers, key=self.share, reverse=True)
        known = [language for language in best_first if self.share(language) >= KNOWN_SHARE]
        return tuple(known or best_first[:1])


@cache
def questions(language: Language) -> tuple[ShortQuestion, ...]:
    """Return the questions in `language`."""
    text = QUESTIONS.read_text(encoding="utf-8")
    return tuple(ShortQuestion.model_validate(one) for one in shipped_toml(text)[language])


def measure(
    engine: Engine, languages: Sequence[Language] = LANGUAGES, report: Report = unreported
) -> LanguageRecord:
    """Ask `engine` every question of `languages`, `AT_ONCE` side by side, without a system message.

    Args:
        engine: the open engine of the model.
        languages: what to ask in.
        report: told how many are answered.

    Returns:
        Every question with its answer.

    Raises:
        EngineError: the engine failed.
    """
    todo = [(language, question) for language in languages for question in questions(language)]
    found: dict[Language, list[Asked]] = {language: [] for language in languages}
    report(Progress(WHAT, 0, len(todo)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda one: _ask(engine, one[1]), todo)
        for number, ((language, question), answer) in enumerate(zip(todo, answers, strict=True), 1):
            right = question.is_answered_by(answer)
            found[language].append(Asked(question=question.ask, answer=answer, right=right))
            report(Progress(WHAT, number, len(todo)))
    return LanguageRecord(answers={language: tuple(asked) for language, asked in found.items()})


def _ask(engine: Engine, question: ShortQuestion) -> str:
    """Return the answer as far as it was needed: what is right already is not read to its end."""
    answer = ""
    generation = engine.stream([Message(role="user", content=question.ask)], HOW)
    try:
        for chunk in generation:
            answer += chunk.text
            if question.is_answered_by(answer):
                break
    finally:
        generation.close()
    return answer


def _names(answer: str, word: str) -> bool:
    if word.isascii():  # not \b: to it a Chinese character is a letter of the same word
        return (
            re.search(f"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])", answer, re.IGNORECASE) is not None
        )
    return word in answer
