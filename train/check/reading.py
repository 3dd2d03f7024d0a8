"""Texts to be read by a model token by token, and what it would have said at each.

Reading a given text in one pass ("teacher forcing") and taking the likeliest token at each place
tells whether greedy decoding would have produced that text: it does exactly where all are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Passage:
    """Token ids, and the places in them whose tokens are looked at."""

    ids: tuple[int, ...]
    places: tuple[int, ...]

    @classmethod
    def of_answer(cls, prompt: Sequence[int], answer: Sequence[int]) -> Passage:
        """Every token of an answer after its prompt."""
        start = len(prompt)
        return cls((*prompt, *answer), tuple(range(start, start + len(answer))))


@dataclass(frozen=True)
class Reading:
    """At each place of a passage: the likeliest token, its logit, the runner-up's, and the logit
    and log-probability of the token that stands there. `logits` holds the whole vocabulary at the
    places that were asked for (place number -> tensor)."""

    best: tuple[int, ...]
    top: tuple[float, ...]
    second: tuple[float, ...]
    there: tuple[float, ...]
    logprob: tuple[float, ...]
    logits: dict[int, Any] = field(default_factory=dict, compare=False)


def batches(passages: Sequence[Passage], budget: int) -> Iterator[list[int]]:
    """Passages of like length together, at most `budget` tokens with padding in each batch."""
    batch: list[int] = []
    for number in sorted(range(len(passages)), key=lambda n: len(passages[n].ids)):
        if batch and (len(batch) + 1) * len(passages[number].ids) > budget:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
