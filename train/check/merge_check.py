"""The merge check: does the merged model say what the adapter on the base says?

Both read the merged model's own greedy answers. Where the adapter's likeliest token is the one
that stands there, at every token of an answer and its end, its greedy answer is the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.records.check_report import Merge, Mismatch, WeightsCheck

from .models import LoadedModel
from .probing import ProbePrompt
from .reading import Passage, Reading

WHOLE_VOCABULARY_AT = 512  # places whose logits are compared over the whole vocabulary


@dataclass(frozen=True)
class Greedy:
    """The merged model's own greedy answers, and its reading of them."""

    asked: tuple[ProbePrompt, ...]
    passages: tuple[Passage, ...]
    readings: tuple[Reading, ...]


def places_to_keep(passages: Sequence[Passage]) -> frozenset[tuple[int, int]]:
    """Evenly spaced (passage, place number) pairs, WHOLE_VOCABULARY_AT at most."""
    every = [
        (number, place)
        for number, passage in enumerate(passages)
        for place in range(len(passage.places))
    ]
    stride = max(1, -(-len(every) // WHOLE_VOCABULARY_AT))
    return frozenset(every[::stride])


def compare_merge(
    merged: Greedy,
    adapter: Sequence[Reading],
    weights: WeightsCheck | None,
    tokenizer_of: LoadedModel,
    dtype: str,
) -> Merge:
    """The figures of the merge check from two readings of the same answers.

    `weights` None: quantised, so that no difference is one of rounding.
    """
    pairs = list(zip(merged.asked, merged.passages, merged.readings, adapter, strict=True))
    difference, whole = 0.0, 0
    proven = weights is not None and weights.proven
    for _, _, ours, theirs in pairs:
        difference = max([difference, *_differences(ours, theirs)])
        whole += len(set(ours.logits) & set(theirs.logits))
    mismatches = []
    for asked, passage, ours, theirs in pairs:
        place = first_difference(ours.best, theirs.best)
        if place is None:
            continue
        stands = passage.ids[passage.places[place]] == ours.best[place]
        margin = theirs.top[place] - (theirs.there if stands else theirs.second)[place]
        mismatches.append(
            Mismatch(
                probe=asked.probe.id,
                token=place,
                said=tokenizer_of.tokenizer.decode([theirs.best[place]]),
                other=tokenizer_of.tokenizer.decode([ours.best[place]]),
                margin=margin,
                bound=difference,
                within_rounding=proven and margin <= difference,
            )
        )
    count = max(1, len(pairs))
    rounded = sum(each.within_rounding for each in mismatches)
    return Merge(
        greedy_match=(len(pairs) - len(mismatches)) / count,
        within_rounding=rounded / count,
        max_logit_difference=difference,
        answers=len(pairs),
        tokens=sum(len(passage.places) for passage in merged.passages),
        whole_vocabulary_at=whole,
        dtype=dtype,
        weights=weights,
        mismatches=mismatches,
    )


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """The first place where two sequences of one length differ."""
    return next(
        (place for place, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]),
        None,
    )


def _differences(ours: Reading, theirs: Reading) -> list[float]:
    """Logit differences: of the answer's own tokens, and of all tokens where those were kept."""
    own = [abs(a - b) for a, b in zip(ours.there, theirs.there, strict=True)]
    whole = [
        float((ours.logits[place] - theirs.logits[place]).abs().max())
        for place in ours.logits.keys() & theirs.logits.keys()
    ]
    return own + whole
