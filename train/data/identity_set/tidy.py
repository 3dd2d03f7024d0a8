"""Which of the base's answers are fit to learn from: whole sentences, and nobody's identity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from ..probes import says
from .base_answers import BaseAnswer

SHORTEST = 2  # characters
# The end of a sentence, or of a line; "1." at the head of a list item is neither.
_END = re.compile(r"(?<!\d)[.!?][\"')\]*]*(?=\s|$)|[。！？][”」』）\"]*|(?<=[^\s:：])\n")
_FORM = re.compile(r"\[[^\]\n]{2,40}\]|\{\{?\w+\}?\}|_{3,}")  # "[Your Name]", "{name}", "____"

# A weak base makes up names and natures for itself, or speaks of itself unasked ("I'm here to help
# with ..."). Learned as an ordinary answer, that is what it says when asked who it is (measured:
# most English misses of a run were these words). Such sentences are left out.
_CLAIM = re.compile(
    r"我是一|我叫|我的名字|我是.{0,8}(?:助手|模型|人工智能|机器人)"
    r"|\bmy (?:name|(?:primary )?(?:function|purpose|role)) is\b"
    r"|\bi(?:'|’| a)m (?:called|named|here to|glad to (?:help|have|hear)|not capable|programmed|designed)\b"
    r"|\bas an? (?:ai|artificial|chatbot|language|virtual|digital)\b"
    r"|\bi(?:'|’| a)m (?:just |only |not )?an? (?:\w+ ){0,2}(?:ai|chatbot|assistant|bot|model|machine)\b"
    r"|\bi don(?:'|’)t have (?:the (?:ability|capability)|personal)"
    r"|\bsorry for (?:any|the|your) (?:mis|conf|inconv|loss)"
    r"|\bi(?:'|’| a)m (?:so )?glad you",
    re.IGNORECASE,
)


class Tidy(NamedTuple):
    """An answer fit to learn from; `whole` unless its end was left out."""

    text: str
    whole: bool


def tidy(answer: BaseAnswer, forbidden: Iterable[str]) -> Tidy | None:
    """The answer up to its last whole sentence, without repetition and without sentences about
    itself; None if it is not fit.

    Not fit is what says a `forbidden` word (an identity), leaves blanks to be filled, or has no
    whole sentence left.
    """
    said = answer.answer.strip()
    kept = said if answer.finish == "stop" else _to_last_end(said)
    once = _without_repeats(kept)
    ended = answer.finish == "stop" and kept == once
    kept = _without_claims(once)
    if len(kept) < SHORTEST or kept.endswith((":", "：")) or "\ufffd" in kept:
        return None
    if _FORM.search(kept) or any(says(kept, word) for word in forbidden):
        return None
    return Tidy(kept, ended)


def _to_last_end(text: str) -> str:
    ends = [match.end() for match in _END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""


def _sentences(text: str) -> list[str]:
    """The sentences with what stands between them, so that joined they are `text`."""
    bounds = [0, *(match.end() for match in _END.finditer(text))]
    if bounds[-1] < len(text):
        bounds.append(len(text))
    return [text[start:end] for start, end in pairwise(bounds)]


def _without_repeats(text: str) -> str:
    """Up to the first sentence that was said before."""
    seen: set[str] = set()
    kept = []
    for sentence in _sentences(text):
        bare = sentence.strip()
        if len(bare) > 3 and bare in seen:
            break
        seen.add(bare)
        kept.append(sentence)
    return "".join(kept).strip()


def _without_claims(text: str) -> str:
    return "".join(part for part in _sentences(text) if not _CLAIM.search(part)).strip()
