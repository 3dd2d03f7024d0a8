"""A batch as one tree of tokens, so that what its rows begin with alike is computed once.

Rows of chat data begin with the same system prompt and the same marks of the chat template; in a
padded batch each row computes them anew, and the padding too. Here every token is a node whose
parent is the token before it, and rows share their nodes as far as they agree. A token attends to
itself and its ancestors, and its position is its depth: exactly what it would see in a row of its
own, so loss and gradients are those of the padded batch, up to rounding. (Known as shared-prefix or
tree attention; Cai et al. 2024, "Medusa", section 2.1.2, and Yao et al. 2024, "DeFT", use it for
decoding.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.render import IGNORED

if TYPE_CHECKING:
    import numpy as np

ROOT = -1

Row = tuple[Sequence[int], Sequence[int]]  # token ids and labels, without padding


@dataclass(frozen=True)
class Tree:
    """The rows of a batch as one row of N nodes, of which L predict a token that is learned."""

    tokens: np.ndarray  # int64, (N)
    positions: np.ndarray  # int64, (N): the number of a node's ancestors
    ancestors: np.ndarray  # bool, (N, N): whether the row's node attends to the column's
    predicting: np.ndarray  # int64, (L): the nodes after which a learned token follows
    following: np.ndarray  # int64, (L): that token

    def key(self) -> bytes:
        """What tells it from other trees: its tokens and which of them each attends to."""
        said = self.tokens.tobytes() + self.ancestors.tobytes()
        return hashlib.blake2b(said, digest_size=16).digest()


def grow(rows: Sequence[Row]) -> Tree:
    """The tree of `rows`. Rows share no token that one of them learns, nor what comes after it."""
    import numpy as np

    tokens, parents, predicting, following = _nodes(rows)
    ancestors = np.eye(len(tokens), dtype=bool)
    for node, parent in enumerate(parents):  # parents come before their children
        if parent != ROOT:
            ancestors[node] |= ancestors[parent]
    return Tree(
        tokens=np.array(tokens),
        positions=ancestors.sum(1) - 1,
        ancestors=ancestors,
        predicting=np.array(predicting, dtype=np.int64),
        following=np.array(following, dtype=np.int64),
    )


def computed_share(rows: Sequence[Row], batch: int) -> float:
    """How many of their tokens rows of about the same length need, `batch` at a time: 1 where
    nothing is shared."""
    by_length = sorted(rows, key=lambda row: len(row[0]))
    batches = [by_length[start : start + batch] for start in range(0, len(rows), batch)]
    nodes = sum(len(_nodes(some)[0]) for some in batches)
    return nodes / sum(len(ids) for ids, _ in rows)


def _nodes(rows: Sequence[Row]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Each node's token and parent; then the nodes that predict a learned token, and that token."""
    tokens: list[int] = []
    parents: list[int] = []
    predicting: list[int] = []
    following: list[int] = []
    known: dict[tuple[int, int], int] = {}
    for ids, labels in rows:
        node, shared = ROOT, True
        for token, label in zip(ids, labels, strict=True):
            shared = shared and label == IGNORED
            if label != IGNORED and node != ROOT:
                predicting.append(node)
                following.append(label)
            found = known.get((node, token)) if shared else None
            if found is None:
                found = len(tokens)
                tokens.append(token)
                parents.append(node)
                if shared:
                    known[node, token] = found
            node = found
    return tokens, parents, predicting, following
