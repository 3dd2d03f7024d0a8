"""How alike two questions are, so that nothing held out was trained on in other clothes.

Measured on the letters alone: case, width, punctuation and spaces are taken away, and a name that
was filled into a template is masked, so that "Are you Siri?" and "are you Claude" are one question.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

# On rapidfuzz's scale of 0 to 100. What differs by an opener, a typo, a particle or one synonym
# ("开发" and "研发") reaches 75 and more; questions that mean something else stay below. Examples of
# both are held by tests/train/test_identity_data.py.
ALIKE = 75.0
MASK = "\u25a1"


def plain(text: str, mask: Iterable[str] = ()) -> str:
    """`text` as it is compared: folded, `mask`ed words replaced, only letters and digits."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for word in sorted(mask, key=len, reverse=True):
        text = text.replace(unicodedata.normalize("NFKC", word).casefold(), MASK)
    kept = (letter if letter.isalnum() or letter == MASK else " " for letter in text)
    return " ".join("".join(kept).split())


def likeness(one: str, other: str) -> float:
    """0 to 100 for two plain texts: the share of letters that agree, in either order of words."""
    from rapidfuzz import fuzz

    return max(fuzz.ratio(_joined(one), _joined(other)), fuzz.token_sort_ratio(one, other))


def unlike(texts: Sequence[str], others: Sequence[str], limit: float = ALIKE) -> list[bool]:
    """For each plain text whether it is less than `limit` like all of `others`.

    One comparison costs about a microsecond, so 10,000 against 200 take some seconds.
    """
    from rapidfuzz import fuzz, process

    joined = [_joined(other) for other in others]
    return [
        process.extractOne(_joined(text), joined, scorer=fuzz.ratio, score_cutoff=limit) is None
        and process.extractOne(text, others, scorer=fuzz.token_sort_ratio, score_cutoff=limit)
        is None
        for text in texts
    ]


def _joined(text: str) -> str:
    return text.replace(" ", "")
