"""Near duplicates: texts that differ by a typo, a filler word, punctuation or the order of words.

Short texts may differ by one edit; those pairs are found exactly, by the texts that one deletion
makes of them. Longer ones are candidates if their MinHash signatures (rensa) share a band, and count
if rapidfuzz finds them alike. Time and memory grow with the number of texts, not with its square:
of the texts that share a key each is compared with its next neighbours in order only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from assistant.progress import Report, unreported

from .near_search import Numbers, Search, Union

COMPARED = 2000  # letters of a text that are compared: its beginning and its end

_FILLERS_ZH = re.compile(
    r"^(?:请问一下|请问|请你|请|麻烦你|麻烦|你好|您好|那么|那|嗨)+|(?:一下|呢|啊|呀|吧|哦|嘛|哈|呗|的话|谢谢)+$"
)
_FILLERS_EN = re.compile(
    r"\b(?:please|could you|can you|would you|tell me|kindly|thanks|thank you|hey|hi|hello|just|so)\b"
)
_SAME_ZH = (
    ("怎样", "怎么"),
    ("如何", "怎么"),
    ("咋", "怎么"),
    ("为何", "为什么"),
    ("啥", "什么"),
    ("哪儿", "哪里"),
)
_SAME_EN = re.compile(
    r"\b(?:how (?:can|could|should|would|might) (?:i|one|you|we)|how to|how do (?:you|we|one))\b"
)
_DIGITS = re.compile(r"\d+")


def normalised(text: str) -> str:
    """`text` for exact comparison: width, case, punctuation and spacing do not count."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _NO_WORD.sub(" ", folded).strip()
    if not words:
        return " ".join(folded.split())  # nothing but punctuation: "?" and "!" are different
    return _CJK_GAP.sub("", words)


_NO_WORD = re.compile(r"[\W_]+")
_CJK_GAP = re.compile(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])")


def essence(text: str) -> str:
    """`normalised` without the words of politeness and the particles around what is asked, and
    with one word for how, why and what."""
    plain = normalised(text)
    bare = _FILLERS_ZH.sub("", plain)
    for word, usual in _SAME_ZH:
        bare = bare.replace(word, usual)
    bare = _SAME_EN.sub("how do i", bare)
    bare = " ".join(_FILLERS_EN.sub(" ", bare).split())
    return bare if len(bare) >= 2 else plain


@dataclass(frozen=True)
class Groups:
    """`first[i]` is the place of the first text of the group of text i; itself where it is alone."""

    first: Numbers

    def members(self) -> dict[int, list[int]]:
        """The groups of more than one text, by their first."""
        found: dict[int, list[int]] = {}
        for place, first in enumerate(self.first.tolist()):
            if first != place:
                found.setdefault(first, [first]).append(place)
        return found


def near_groups(
    texts: Sequence[str],
    apart: Sequence[Hashable] | None = None,
    report: Report = unreported,
) -> Groups:
    """Group equal and nearly equal texts; being alike is passed on, a to b to c.

    Texts with other numbers in them are never alike, nor are those whose `apart` labels differ
    (None fits every label).
    """
    bare = [_shortened(essence(text)) for text in texts]
    labels = _labels(bare, apart)
    union = Union(len(bare))
    originals = _join_equal(bare, labels, union)
    kept = [bare[place] for place in originals]
    search = Search(kept, labels[originals], originals, union, report)
    search.short()
    search.long()
    return Groups(union.roots())


def _shortened(text: str) -> str:
    if len(text) <= COMPARED:
        return text
    return text[: COMPARED // 2] + text[-COMPARED // 2 :]


def _labels(bare: Sequence[str], apart: Sequence[Hashable] | None) -> Numbers:
    """A number for each text; texts with different numbers are not alike."""
    import numpy

    numbers: dict[Hashable, int] = {}
    found = numpy.empty(len(bare), dtype="int64")
    for place, text in enumerate(bare):
        label = (tuple(_DIGITS.findall(text)), apart[place] if apart is not None else None)
        found[place] = numbers.setdefault(label, len(numbers))
    return found


def _join_equal(bare: Sequence[str], labels: Numbers, union: Union) -> Numbers:
    """Join equal texts; returns the places of the first of each."""
    import numpy

    first: dict[tuple[str, int], int] = {}
    for place, key in enumerate(zip(bare, labels.tolist(), strict=True)):
        union.join(first.setdefault(key, place), place)
    return numpy.fromiter(first.values(), dtype="int64", count=len(first))
