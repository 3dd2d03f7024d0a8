"""What an engine's prefix cache should hold, where the engine does not tell."""

from __future__ import annotations

import collections
import threading

REMEMBERED = 64


class PrefixRecord:
    """Remembers the latest token sequences, to say how much of a new prompt was computed before.

    An upper bound: the engine may have given blocks up when its cache was full.
    """

    def __init__(self, block_tokens: int, remembered: int = REMEMBERED):
        self._block_tokens = block_tokens
        self._sequences: collections.deque[list[int]] = collections.deque(maxlen=remembered)
        self._lock = threading.Lock()

    def add(self, tokens: list[int]) -> None:
        """Note that the keys and values of `tokens` have been computed."""
        with self._lock:
            self._sequences.append(tokens)

    def cached(self, prompt: list[int]) -> int:
        """Tokens of `prompt` that whole cached blocks cover; the last token is always computed."""
        with self._lock:
            longest = max((common_beginning(prompt, known) for known in self._sequences), default=0)
        usable = min(longest, len(prompt) - 1)
        return usable - usable % self._block_tokens


def common_beginning(one: list[int], other: list[int]) -> int:
    """Length of the common beginning, found by halving: each comparison is one C call."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
