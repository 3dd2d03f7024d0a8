"""The shared strings of an xlsx file, kept on disk: a big sheet has millions of them."""

from __future__ import annotations

import re
import tempfile
from array import array
from typing import IO
from xml.parsers import expat

CACHED = 4096
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def unescaped(text: str) -> str:
    """Text of an xlsx file with `_x000D_` and its like turned into the characters they mean."""
    if "_x" not in text:
        return text
    text = (
        _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class SharedStrings:
    """A sequence of texts in a temporary file. Rich text comes whole, reading aids left out."""

    def __init__(self, source: IO[bytes]):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._ends = array("Q", [0])
        self._cache: dict[int, str] = {}
        _Reader(self._add).read(source)
        self._file.flush()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        if number not in self._cache:
            if not 0 <= number < len(self):
                raise IndexError(number)
            if len(self._cache) >= CACHED:
                self._cache.clear()
            start, end = self._ends[number], self._ends[number + 1]
            self._file.seek(start)
            self._cache[number] = self._file.read(end - start).decode("utf-8")
        return self._cache[number]

    def close(self) -> None:
        self._file.close()

    def _add(self, text: str) -> None:
        data = unescaped(text).encode("utf-8", "replace")
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))


class _Reader:
    """Calls `add` with the text of each <si>."""

    def __init__(self, add):  # type: ignore[no-untyped-def]
        self._add = add
        self._parts: list[str] = []
        self._reading = self._phonetic = False

    def read(self, source: IO[bytes]) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ParseFile(source)

    def _start(self, name: str, _: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        if tag == "rPh":
            self._phonetic = True
        elif tag == "t":
            self._reading = not self._phonetic

    def _end(self, name: str) -> None:
        tag = name.rpartition(" ")[2]
        if tag == "t":
            self._reading = False
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "si":
            self._add("".join(self._parts))
            self._parts = []

    def _text(self, text: str) -> None:
        if self._reading:
            self._parts.append(text)
