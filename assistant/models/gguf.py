"""Is a GGUF file whole? Its header read just far enough to know, in milliseconds.

The `gguf` package can tell too, but takes seconds (5.7 s for 49,000 tokens: it makes a numpy
array of every word of the vocabulary) and brings `requests`; this runs at each start of the chat.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UsageError
from ..words import Text

MAGIC = b"GGUF"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_WHOLE_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
_OTHER_NUMBERS = {6: "<f", 7: "<?", 12: "<d"}
_LENGTH = struct.Struct("<Q")
DEFAULT_ALIGNMENT = 32
MOST_PARTS = 1000
_Read = TypeVar("_Read")
# ggml type -> (values in a block, bytes of a block); types not listed are checked by offset only.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip


@dataclass(frozen=True)
class GGUFHeader:
    """What the header says: its short text fields (`general.name`, …), its whole numbers
    (`llama.context_length`, …), and where the data ends."""

    texts: dict[str, str]
    numbers: dict[str, int]
    tensors: int
    kinds: frozenset[int]  # ggml's numbers of the tensors' formats
    size: int  # bytes the whole file must have at least
    tokenizer: bool = True  # whether it holds the tokenizer's words


def read_header(file: Path) -> GGUFHeader:
    """Read a GGUF's header, once while the file stays as it is: walking over a vocabulary takes a
    tenth of a second. Raises UsageError if it is no GGUF, or cut short within the header."""
    seen = file.stat()
    return _header(
        file, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    )


@lru_cache(maxsize=16)
def _header(file: Path, _: tuple[int, ...]) -> GGUFHeader:
    return _read(file, lambda reader: reader.header())


def _read(file: Path, reading: Callable[[_HeaderReader], _Read]) -> _Read:
    try:
        with file.open("rb") as source:
            if source.read(4) != MAGIC:
                raise _not_gguf(file)
            with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return reading(_HeaderReader(data, file))
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError):
        raise truncated(file, file.stat().st_size) from None


def read_fields(file: Path, prefix: str) -> dict[str, Any]:
    """The header's fields whose names begin with `prefix`: numbers, texts, and lists of them.

    Raises UsageError if it is no GGUF, or cut short within the header.
    """
    return _read(file, lambda reader: reader.fields(prefix))


def check(file: Path) -> GGUFHeader:
    """The header of a GGUF whose every tensor lies inside the file. Raises UsageError otherwise."""
    header = read_header(file)
    if (size := file.stat().st_size) < header.size:
        raise truncated(file, size, header.size)
    return header


_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


def part_number(name: str) -> int:
    """Which part of a split GGUF the name says it is, from 1; 0 for none."""
    match = _PART.fullmatch(name)
    return int(match["number"]) if match else 0


def part_names(name: str) -> list[str]:
    """The names of all parts of the split GGUF that `name` is a part of; itself for a whole one."""
    match = _PART.fullmatch(name)
    if not match or not 0 < int(match["count"]) <= MOST_PARTS:
        return [name]
    ending = f"-of-{match['count']}{name[match.end('count') :]}"
    return [f"{match['stem']}-{number:05d}{ending}" for number in range(1, int(match["count"]) + 1)]


def parts(file: Path) -> list[Path]:
    """All parts of a split GGUF, the first one first; the file itself where it is whole."""
    return [file.with_name(name) for name in part_names(file.name)]


def whole_set(file: Path) -> list[Path]:
    """`parts` of the first one. Raises UsageError for a later part, or where one is missing."""
    found = parts(file)
    missing = [part.name for part in found if not part.is_file()]
    if missing:
        raise UsageError(
            Text(f"{file.name} has {len(found)} parts; missing in {file.parent}: {', '.join(missing)}.",
                 f"{file.name} 共 {len(found)} 份；{file.parent} 里缺少 {'、'.join(missing)}。"),
            Text("Copy or download the missing parts.", "请补上缺少的部分。"),
        )  # fmt: skip
    number = found.index(file) + 1 if file in found else 1
    if number > 1:
        raise UsageError(
            Text(f"{file} is part {number} of a GGUF in {len(found)} parts.",
                 f"{file} 是分成 {len(found)} 份的 GGUF 的第 {number} 份。"),
            Text(f"Name the first part: {found[0]}", f"请指定第一份：{found[0]}"),
        )  # fmt: skip
    header = read_header(file)
    later = header.numbers.get("split.no", 0)
    if len(found) == 1 and header.numbers.get("split.count", 1) > 1:
        raise UsageError(
            Text(f"{file} is part {later + 1} of a split GGUF, but its name does not say so.",
                 f"{file} 是分片 GGUF 的第 {later + 1} 份，但文件名不是分片的写法。"),
            Text("Give all parts the names they came with: NAME-00001-of-0000N.gguf",
                 "请恢复各分片原来的文件名：名称-00001-of-0000N.gguf"),
        )  # fmt: skip
    if not header.tokenizer:
        raise UsageError(
            Text(f"{file} holds no tokenizer: it is no model that talks (an adapter, or a projector?).",
                 f"{file} 里没有分词器：它不是能对话的模型（可能是 adapter 或投影文件）。"),
            Text("Name the GGUF of the model itself.", "请指定模型本身的 GGUF 文件。"),
        )  # fmt: skip
    return found


def truncated(file: Path, size: int, needed: int | None = None) -> UsageError:
    """The one wording for weights that end too early."""
    of = (f" of {needed:,}", f"，应有 {needed:,} 字节") if needed else ("", "")
    return UsageError(
        Text(
            f"{file} is cut short: {size:,} bytes{of[0]} are there. It was not copied or "
            "downloaded to its end.",
            f"{file} 不完整：现有 {size:,} 字节{of[1]}。它没有复制或下载完。",
        ),
        Text("Copy or download it again.", "请重新复制或下载。"),
    )


def _not_gguf(file: Path) -> UsageError:
    return UsageError(
        Text(
            f"{file} is not a GGUF file (it does not begin with 'GGUF').",
            f"{file} 不是 GGUF 文件（开头不是 'GGUF'）。",
        ),
        Text("Download it again, or name another file.", "请重新下载，或指定别的文件。"),
    )


class _HeaderReader:
    """Walks the header once, front to back."""

    def __init__(self, data: mmap.mmap, file: Path):
        self._data = data
        self._file = file
        self._at = 4

    def header(self) -> GGUFHeader:
        tensors, fields = self._counts()
        texts: dict[str, str] = {}
        numbers: dict[str, int] = {}
        tokenizer = False
        for _ in range(fields):
            key, kind = self._text(), self._number("<I")
            tokenizer = tokenizer or key == "tokenizer.ggml.tokens"
            if kind == _STRING and not key.startswith("tokenizer."):
                texts[key] = self._text()
            elif kind in _WHOLE_NUMBERS:
                numbers[key] = self._number(_WHOLE_NUMBERS[kind])
            else:
                self._skip(kind)
        infos = [self._tensor() for _ in range(tensors)]
        alignment = max(1, numbers.get("general.alignment", DEFAULT_ALIGNMENT))
        start = math.ceil(self._at / alignment) * alignment
        return GGUFHeader(
            texts,
            numbers,
            tensors,
            frozenset(kind for kind, _ in infos),
            start + max((end for _, end in infos), default=0),
            tokenizer,
        )

    def fields(self, prefix: str) -> dict[str, Any]:
        _, count = self._counts()
        found: dict[str, Any] = {}
        for _ in range(count):
            key, kind = self._text(), self._number("<I")
            if key.startswith(prefix):
                found[key] = self._value(kind)
            else:
                self._skip(kind)
        return found

    def _counts(self) -> tuple[int, int]:
        """How many tensors and how many fields there are."""
        version = self._number("<I")
        if version not in (2, 3):
            raise UsageError(
                Text(
                    f"{self._file} is GGUF version {version}; versions 2 and 3 are known.",
                    f"{self._file} 的 GGUF 版本是 {version}；只支持 2 和 3。",
                ),
                Text("Convert the model with a current tool.", "请用新工具重新转换这个模型。"),
            )
        return self._number("<Q"), self._number("<Q")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            inner, count = self._number("<I"), self._number("<Q")
            if count * _SIZES.get(inner, 8) > len(self._data):
                raise IndexError
            if inner == _STRING:
                return self._texts(count)
            if inner in _WHOLE_NUMBERS:
                numbers = struct.Struct(f"<{count}{_WHOLE_NUMBERS[inner][1]}")
                values = numbers.unpack_from(self._data, self._at)
                self._at += numbers.size
                return list(values)
            return [self._value(inner) for _ in range(count)]
        layout = _WHOLE_NUMBERS.get(kind) or _OTHER_NUMBERS.get(kind)
        if layout is None:
            raise IndexError
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += _SIZES[kind]
        return value

    def _number(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return int(value)

    def _text(self) -> str:
        size = self._number("<Q")
        end = self._at + size
        if end > len(self._data):
            raise IndexError
        text = self._data[self._at : end].decode("utf-8")
        self._at = end
        return text

    def _texts(self, count: int) -> list[str]:
        at, data, size_at = self._at, self._data, _LENGTH.unpack_from
        texts = []
        for _ in range(count):
            end = at + 8 + size_at(data, at)[0]
            texts.append(data[at + 8 : end].decode("utf-8"))
            at = end
        if at > len(data):
            raise IndexError
        self._at = at
        return texts

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            size = self._number("<Q")  # moves _at itself, so not in one line with +=
            self._at += size
        elif kind == _ARRAY:
            inner, count = self._number("<I"), self._number("<Q")
            if inner in _SIZES:
                self._at += _SIZES[inner] * count
            elif inner == _STRING:  # a vocabulary: ten times as fast as text by text
                at, data, size_at = self._at, self._data, _LENGTH.unpack_from
                for _ in range(count):
                    at += 8 + size_at(data, at)[0]
                self._at = at
            else:
                for _ in range(count):
                    self._skip(inner)
        elif kind in _SIZES:
            self._at += _SIZES[kind]
        else:
            raise IndexError

    def _tensor(self) -> tuple[int, int]:
        """A tensor's format, and where it ends in bytes from the start of the data."""
        self._text()
        shape = [self._number("<Q") for _ in range(self._number("<I"))]
        kind, offset = self._number("<I"), self._number("<Q")
        values, size = _BLOCKS.get(kind, (0, 0))
        return kind, offset + (math.prod(shape) // values * size if values else 1)
