"""The passages nearest to a question, over all documents in one ranking; the best sentences of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .base import Base
from .chunks import Chunk, sentences
from .embedder import Embedder

_CODE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9._-]*\d)(?=[A-Za-z0-9._-]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._-]+"
)
_CODE_WEIGHT = 0.3  # a code such as E3 decides where vectors cannot tell codes apart


@dataclass(frozen=True)
class Hit:
    """A passage found, with its score: a cosine, and more where it holds a code of the question."""

    file: str
    chunk: Chunk
    score: float

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.chunk.text, "file": self.file, "page": self.chunk.page,
                "heading": self.chunk.heading, "score": round(self.score, 4)}  # fmt: skip


def search(base: Base, embedder: Embedder, question: str, most: int) -> list[Hit]:
    """The `most` best passages, best first."""
    import numpy as np

    found, vectors = base.passages(embedder)
    if not found:
        return []
    scores = vectors @ embedder.embed([question], "query")[0]
    for code in {code.lower() for code in _CODE.findall(question)}:
        holds = np.array([_holds(code, chunk.text) for _, chunk in found])
        if 0 < holds.sum() <= max(3, len(found) // 20):
            scores = scores + _CODE_WEIGHT * holds
    order = np.argsort(-scores, kind="stable")[:most]
    return [Hit(found[number][0], found[number][1], float(scores[number])) for number in order]


def _holds(code: str, text: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(code)}(?![a-z0-9])", text.lower()) is not None


@dataclass(frozen=True)
class Answer:
    """Verbatim sentences with their passages; none where the documents hold no answer."""

    quotes: tuple[tuple[str, Hit], ...]

    def as_dict(self, nothing: str) -> dict[str, Any]:
        said = [f"{quote} [{number}]" for number, (quote, _) in enumerate(self.quotes, 1)]
        return {
            "answer": "\n".join(said) or nothing,
            "found": bool(self.quotes),
            "sources": [
                {
                    "text": quote,
                    "file": hit.file,
                    "page": hit.chunk.page,
                    "heading": hit.chunk.heading,
                }
                for quote, hit in self.quotes
            ],
            "mode": "quote",
        }


def answer(base: Base, embedder: Embedder, question: str, least: float, most: int = 3) -> Answer:
    """The sentences nearest to the question out of the best passages; the best one first."""
    import numpy as np

    hits = search(base, embedder, question, 5)
    if not hits or hits[0].score < least:
        return Answer(())
    near = [hit for hit in hits if hit.score >= max(least, hits[0].score - 0.1)]
    parts = [(part, hit) for hit in near for part in sentences(hit.chunk.text)]
    context = [f"{hit.chunk.heading}\n{part}" if hit.chunk.heading else part for part, hit in parts]
    scores = embedder.embed(context, "passage") @ embedder.embed([question], "query")[0]
    scores = scores + np.array([hit.score for _, hit in parts])
    order = np.argsort(-scores, kind="stable")[:most]
    kept = [number for number in order if scores[number] >= scores[order[0]] - 0.25]
    return Answer(tuple(parts[number] for number in kept))
