"""What is measured in answers: simple rules that a person can apply by hand."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from assistant.persona import Persona, Style
from assistant.words import Text

from ..data.probes import Probe, says
from ..data.text.placeholders import UNFILLED, placeholders

REPEATED_UNITS = 4
REPEATED_TIMES = 3
REPETITION_RULE = Text(
    f"an answer repeats itself if its last {REPEATED_UNITS} words (or Chinese characters) stand "
    f"{REPEATED_TIMES} times or more in it",
    f"若回答末尾的 {REPEATED_UNITS} 个词（或汉字）在整个回答中出现 {REPEATED_TIMES} 次以上，"
    "即算作重复",
)
_UNITS = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]|\w+")
_DOUBLE_BRACES = re.compile(r"\{\{\s*\w+\s*\}\}")
_NO_EMOJI = re.compile(
    r"(不用|不要|不带|不使用|没有|避免|no|without|avoid|never|don't)[^。.;；!！]{0,24}(emoji|表情)",
    re.IGNORECASE,
)
_ABOUT_EMOJI = re.compile(r"emoji|表情", re.IGNORECASE)

Emoji = Literal["wanted", "unwanted", "not measured"]


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Between which shares the true one lies with 95 % confidence (Wilson score interval).

    Unlike the normal approximation it holds for few probes and for shares near 0 and 1.

    Args:
        hits: right answers.
        count: answers.

    Returns:
        The lower and upper bound; (0, 1) of no answers.
    """
    if not count:
        return 0.0, 1.0
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def repeats(answer: str) -> bool:
    """Whether the end of `answer` stands in it over and over (see REPETITION_RULE)."""
    units = [unit for part in _UNITS.findall(answer.casefold()) for unit in _characters(part)]
    if len(units) < REPEATED_UNITS * 2:
        return False
    last = units[-REPEATED_UNITS:]
    starts = range(len(units) - REPEATED_UNITS + 1)
    return sum(units[start : start + REPEATED_UNITS] == last for start in starts) >= REPEATED_TIMES


def _characters(word: str) -> list[str]:
    """A run of word characters: Chinese ones each alone, others together."""
    return re.findall(
        r"[\u3400-\u9fff\U00020000-\U0003ffff]|[^\u3400-\u9fff\U00020000-\U0003ffff]+", word
    )


def leaks_placeholder(answer: str) -> bool:
    """Whether `answer` says a placeholder such as {name} or {{AUTHOR}} aloud; in code it may."""
    return any(
        certain and (UNFILLED.search(found) or _DOUBLE_BRACES.search(found))
        for found, certain in placeholders(answer)
    )


def falsely_triggered(probe: Probe, answer: str, persona: Persona) -> bool:
    """Whether the answer to a question that is not about it names the assistant or its author.

    What the question itself says may be said again.
    """
    words = {persona.name, persona.author, *probe.must_not}
    return any(says(answer, word) and not says(probe.question, word) for word in words)


def emoji_rule(style: Style) -> Emoji:
    """What the style's prompt asks of emoji."""
    if not _ABOUT_EMOJI.search(style.prompt):
        return "not measured"
    return "unwanted" if _NO_EMOJI.search(style.prompt) else "wanted"


def has_emoji(text: str) -> bool:
    """Whether there is a pictograph in it."""
    return any(
        ord(letter) >= 0x1F000
        or (unicodedata.category(letter) == "So" and 0x2600 <= ord(letter) <= 0x27BF)
        for letter in text
    )


def in_style(style: Style, answer: str) -> bool | None:
    """Whether `answer` keeps what can be measured of `style`; None where nothing can."""
    found = []
    if style.max_chars is not None:
        found.append(0 < len(answer.strip()) <= style.max_chars)
    if (rule := emoji_rule(style)) != "not measured":
        found.append(has_emoji(answer) == (rule == "wanted"))
    return all(found) if found else None
