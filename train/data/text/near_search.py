"""The search behind `near`: which of many different texts are alike.

Texts come as `near.essence` gives them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from assistant.progress import Progress, Report
from assistant.words import Text

if TYPE_CHECKING:
    import numpy

    Numbers = numpy.ndarray[Any, Any]
else:
    Numbers = Any

BANDS = 32
BAND_WIDTH = 3  # texts that share half of their pieces meet in one of 32 bands with 98.6 %
SHARED = 0.35  # of the pieces, by the signatures: below, texts cannot be alike
REORDERED = 0.5  # likewise, for texts whose words stand in another order
MOVED = 0.6  # likewise, for Chinese of the same characters in another order
ALIKE = 0.85  # on rapidfuzz's scale from 0 to 1, for texts longer than SHORT letters
SHORT = 12  # letters; up to here one edit is allowed, no more: 哥哥 and 姐姐 are two people
SHORTEST = 5  # letters; below, only equal texts are alike
BRIEF = 60  # letters; up to here another name makes another question
SLIP = 0.66  # likeness of words of which one is the other mistyped
NEIGHBOURS = 3  # texts after it with which each is compared
PIECE = 20_000  # texts
_SEED = 20240407
_CJK = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]+")
_WHAT = Text("Looking for near duplicates", "正在查找近似重复")


class Union:
    """Groups as a forest; the root of a group is its first text."""

    def __init__(self, size: int):
        self._parents = list(range(size))

    def root(self, place: int) -> int:
        parents = self._parents
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    def roots(self) -> Numbers:
        """The root of each text."""
        import numpy

        parents = numpy.array(self._parents, dtype="int64")
        while not numpy.array_equal(further := parents[parents], parents):
            parents = further
        return parents

    def join(self, one: int, other: int) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self._parents[max(one, other)] = min(one, other)


def _pieces(text: str) -> list[str]:
    """Pairs of letters of Chinese, Japanese and Korean, threes of other scripts."""
    width = 2 if sum(map(len, _CJK.findall(text))) * 3 > len(text) else 3
    text = text if width == 2 else f" {text} "
    return [text[start : start + width] for start in range(max(1, len(text) - width + 1))]


class Search:
    """Finds and joins the alike among texts that are all different.

    `places` are those of the texts in `union`; only texts of the same label are compared.
    """

    def __init__(
        self, texts: list[str], labels: Numbers, places: Numbers, union: Union, report: Report
    ):
        import numpy

        self._texts = texts
        self._labels = labels.astype("uint64")
        self._places = places.tolist()
        self._union = union
        self._report = report
        self._lengths = numpy.fromiter(map(len, texts), dtype="int64", count=len(texts))

    def short(self) -> None:
        """Join texts of SHORTEST to SHORT letters that are one edit apart."""
        import numpy
        from rapidfuzz.distance import Levenshtein

        at: list[int] = []
        keys: list[int] = []
        for number, text in enumerate(self._texts):
            if SHORTEST <= len(text) <= SHORT:
                made = {text} | {text[:cut] + text[cut + 1 :] for cut in range(len(text))}
                at += [number] * len(made)
                keys += map(hash, made)
        members = numpy.array(at, dtype="int64")
        hashed = numpy.array(keys, dtype="int64").view("uint64") ^ _spread(self._labels[members])
        order = numpy.lexsort((members, hashed))
        self._join(_neighbours(hashed[order], members[order]), Levenshtein.distance, 1)

    def long(self) -> None:
        """Join longer texts that are alike."""
        import numpy

        members = numpy.nonzero(self._lengths > SHORT - 2)[0]
        texts = [self._texts[number] for number in members.tolist()]
        heads = numpy.argsort(numpy.argsort(numpy.array(texts, dtype=object)))
        tails = numpy.argsort(
            numpy.argsort(numpy.array([text[::-1] for text in texts], dtype=object))
        )
        signatures = self._signatures(texts)
        spread = _spread(self._labels[members])
        for band in range(BANDS):
            keys = spread.copy()
            for column in range(band * BAND_WIDTH, (band + 1) * BAND_WIDTH):
                keys = _spread(keys ^ signatures[:, column].astype("uint64"))
            order = numpy.lexsort((heads if band % 2 else tails, keys))
            pairs = _neighbours(keys[order], order)
            self._join_long(pairs, members, signatures)
            self._report(Progress(_WHAT, len(texts) + band + 1, len(texts) + BANDS))

    def _signatures(self, texts: list[str]) -> Numbers:
        """MinHash signatures, uint32 [texts, BANDS * BAND_WIDTH]."""
        import numpy
        from rensa import RMinHash

        width = BANDS * BAND_WIDTH
        found = numpy.empty((len(texts), width), dtype="uint32")
        for start in range(0, len(texts), PIECE):
            piece = [_pieces(text) for text in texts[start : start + PIECE]]
            found[start : start + len(piece)] = RMinHash.digests_from_token_sets(
                piece, width, _SEED
            )
            self._report(Progress(_WHAT, start + len(piece), len(texts) + BANDS))
        return found

    def _join_long(self, pairs: Numbers, members: Numbers, signatures: Numbers) -> None:
        import numpy
        from rapidfuzz.fuzz import ratio, token_sort_ratio

        pairs = self._apart(pairs, members)
        shared = (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).mean(axis=1)
        pairs = members[pairs]
        longer = self._lengths[pairs].max(axis=1) > SHORT
        pairs, shared = pairs[longer & (shared >= SHARED)], shared[longer & (shared >= SHARED)]
        same = self._join(pairs, ratio, ALIKE * 100)
        pairs, shared = pairs[~same], shared[~same]
        pairs = pairs[shared >= REORDERED]
        texts = [(self._texts[one], self._texts[other]) for one, other in pairs.tolist()]
        spaced = numpy.array([" " in one for one, _ in texts], dtype=bool)
        self._join(pairs[spaced], token_sort_ratio, ALIKE * 100)
        turned = [len(one) == len(other) and sorted(one) == sorted(other) for one, other in texts]
        moved = numpy.array(turned, dtype=bool) & (shared[shared >= REORDERED] >= MOVED)
        for one, other in pairs[moved & ~spaced].tolist():
            self._union.join(self._places[one], self._places[other])

    def _apart(self, pairs: Numbers, members: Numbers) -> Numbers:
        """The pairs that are not of one group yet."""
        roots = self._union.roots()
        import numpy

        places = numpy.array(self._places, dtype="int64")[members]
        return pairs[roots[places[pairs[:, 0]]] != roots[places[pairs[:, 1]]]]

    def _join(self, pairs: Numbers, scorer: Any, limit: float) -> Numbers:
        """Join the pairs that `scorer` finds alike, on every core; returns which they are."""
        import numpy
        from rapidfuzz.process import cpdist

        if not len(pairs):
            return numpy.zeros(0, dtype=bool)
        ones, others = ([self._texts[at] for at in column] for column in pairs.T.tolist())
        scores = cpdist(ones, others, scorer=scorer, score_cutoff=limit, workers=-1)
        # A distance over its limit comes as limit + 1, a likeness under it as 0.
        same = scores <= limit if scorer.__name__ == "distance" else scores > 0
        for at in numpy.nonzero(same)[0].tolist():
            same[at] = not names_another(
                ones[at], others[at], scorer.__name__ == "token_sort_ratio"
            )
        for one, other in pairs[same].tolist():
            self._union.join(self._places[one], self._places[other])
        return same


def names_another(one: str, other: str, reordered: bool = False) -> bool:
    """Whether two short texts differ in a whole word, and not by a slip of the finger: France and
    Greece, 北京 and 上海. In longer texts a word more or less does not make another text."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.fuzz import ratio

    if max(len(one), len(other)) > BRIEF:
        return False
    if " " in one and " " in other:
        mine, yours = Counter(one.split()), Counter(other.split())
        gone, come = " ".join((mine - yours).elements()), " ".join((yours - mine).elements())
        if gone and come:
            return ratio(gone, come) < SLIP * 100
        return reordered and bool(gone or come)
    return any(
        edit.tag == "replace" and edit.src_end - edit.src_start > 1
        for edit in Levenshtein.opcodes(one, other)
    )


def _spread(keys: Numbers) -> Numbers:
    """Mix 64-bit keys so that sums and exclusive ors of them do not collide."""
    import numpy

    mixed = (keys + numpy.uint64(0x9E3779B97F4A7C15)) * numpy.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> numpy.uint64(31)
    return mixed * numpy.uint64(0x94D049BB133111EB)


def _neighbours(keys: Numbers, members: Numbers) -> Numbers:
    """Pairs of members that stand near each other under the same key, [pairs, 2], each once."""
    import numpy

    found: list[Numbers] = [numpy.empty((0, 2), dtype="int64")]
    for step in range(1, NEIGHBOURS + 1):
        same = numpy.nonzero(keys[step:] == keys[:-step])[0]
        found.append(numpy.stack([members[same], members[same + step]], axis=1))
    pairs = numpy.concatenate(found)
    pairs.sort(axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return numpy.unique(pairs, axis=0) if len(pairs) else pairs
