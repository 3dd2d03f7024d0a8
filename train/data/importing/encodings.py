"""Which encoding a text file has, found from its bytes."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from assistant.errors import UsageError
from assistant.words import Text

PIECE = 1 << 16  # bytes
SAMPLE = 1 << 16
DAMAGED = "\ufffd"  # stands for bytes that the encoding does not know
CHINESE = 0.12  # of the non-ASCII letters are frequent ones of Chinese
FEW_DAMAGED = 0.02  # of the non-ASCII bytes: still that encoding, with damage
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHINESE = ("gb18030", "big5")
_SURE = ("utf", *_CHINESE, "hz", "iso2022")
_AROUND = " \t\"'«»“”„’,;:.?!(){}[]"
_SHIFTED = re.compile(rb"\+([A-Za-z0-9+/]*)-?")  # UTF-7
_HZ = re.compile(rb"~\{(?:[!-w][!-~])+~\}")
_ISO_2022 = ("iso2022_jp_ext", "iso2022_kr", "iso2022_jp_2")
# Letters, marks and punctuation that people write, as ranges: UTF-7 that is none hits all others.
_WRITTEN = re.compile(
    "[\u00a0-\u052f\u0590-\u06ff\u0900-\u0e7f\u2010-\u206f\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]"
)
# What Western European texts in cp1252 hold beside ASCII, and how sparsely.
_WESTERN = frozenset("àâäáãåçéèêëîïíìñôöóòõøùûüúæœßÀÂÄÁÅÇÉÈÊËÎÍÑÔÖÓØÙÛÜÚÆŒ’‘“”„–—…«»°€£§¿¡·\xa0")
_SPARSE = 0.3
# The most frequent characters of Chinese prose, simplified and traditional: only a decoding that
# is right is full of them.
_FREQUENT = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本"
    "前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最"
    "請問您嗎這個們來為國說時會對於後裡過還進樣實開從長機關點業將兩間什麼誰哪怎呢吗吧什谁怎"
)


def detect_encoding(file: Path) -> str:
    """The Python name of the file's encoding; UTF-8 where it has none other."""
    with file.open("rb") as source:
        head = source.read(SAMPLE)
    if told := told_by_head(head):
        return told
    if _is_utf8(file):
        return "utf-8"
    return _legacy(_telling_part(file))


def told_by_head(head: bytes) -> str | None:
    """The encoding that a file's first bytes tell: by a mark, by zero bytes, by what stands for letters
    where all is ASCII."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    return (
        _unmarked_utf32(head)
        or _unmarked_utf16(head)
        or (_seven_bit(head) if head.isascii() else None)
    )


def choose_encoding(file: Path, named: str | None, details: dict[str, Any]) -> str:
    """The encoding that the user named, or else the one found.

    Args:
        file: Of text.
        named: The user's choice, if any.
        details: Takes `encoding`, and for one of several that the bytes may be `encoding_guessed`, the
            first words that tell whether it was guessed right.
    """
    encoding = named or detect_encoding(file)
    details["encoding"] = encoding
    if not named and not encoding.startswith(_SURE):
        details["encoding_guessed"] = _telling_words(file, encoding)
    return encoding


def _telling_words(file: Path, encoding: str) -> list[str]:
    """The first words of a file whose letters tell whether its encoding was guessed right."""
    words = _telling_part(file).decode(encoding, "replace").split()
    telling = [
        word.strip(_AROUND) for word in words if any(map(str.isalpha, word)) and not word.isascii()
    ]
    return [word[:20] for word in telling][:3]


def open_text(file: Path, encoding: str) -> TextIO:
    """Open for reading, line ends as they are; damaged bytes become U+FFFD.

    Raises UsageError for an encoding that Python does not know.
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise UsageError(
            Text(f"There is no encoding {encoding!r}.", f"没有叫 {encoding!r} 的编码。"),
            Text("For example: --encoding gb18030", "例如：--encoding gb18030"),
        ) from None
    if name in ("utf-16", "utf-32"):
        encoding = _with_byte_order(name, file)
    return file.open(encoding=encoding, errors="replace", newline="")


def share_read(source: TextIO) -> Callable[[], float]:
    """Tells how much of an open text file was read, 0 to 1."""
    size = os.fstat(source.fileno()).st_size or 1
    return lambda: 1.0 if source.closed else os.lseek(source.fileno(), 0, os.SEEK_CUR) / size


class _Lines:
    """Lines of a text file, at most `limit` characters of each held at once."""

    def __init__(self, source: TextIO, limit: int):
        self._source = source
        self._limit = limit

    def __iter__(self) -> Iterator[str]:
        while line := self._source.readline(self._limit):
            if len(line) == self._limit and not line.endswith("\n"):
                while (rest := self._source.readline(self._limit)) and not rest.endswith("\n"):
                    pass
                line += DAMAGED  # what follows is not kept: the row is reported, never cut quietly
            yield line


def bounded_lines(source: TextIO, limit: int) -> Iterator[str]:
    """Lines with their ends; one longer than `limit` characters comes cut, with U+FFFD at its end."""
    return iter(_Lines(source, limit))


def _with_byte_order(name: str, file: Path) -> str:
    """Return the codec of a file that a person calls UTF-16 or UTF-32: these two refuse one without
    its mark, which is little-endian unless its zero bytes tell otherwise."""
    with file.open("rb") as source:
        head = source.read(SAMPLE)
    if any(head.startswith(mark) for mark, marked in _MARKS if marked == name):
        return name
    return (name == "utf-16" and _unmarked_utf16(head)) or f"{name}-le"


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 without its mark shows as zero bytes on one side of each ASCII character."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    least = len(head) // 20
    if odd > least and odd > 8 * even:
        return "utf-16-le"
    if even > least and even > 8 * odd:
        return "utf-16-be"
    return None


def _unmarked_utf32(head: bytes) -> str | None:
    """UTF-32 without its mark: two of four bytes are zero in every letter that people use."""
    zeros = [head[place::4].count(0) for place in range(4)]
    letters, few = len(head) // 4, len(head) // 400
    if letters and min(zeros[2:]) >= letters - few and zeros[0] < letters / 2:
        return "utf-32-le"
    if letters and min(zeros[:2]) >= letters - few and zeros[3] < letters / 2:
        return "utf-32-be"
    return None


def _seven_bit(head: bytes) -> str | None:
    """The encoding of a text whose bytes are all ASCII although its letters are not."""
    if b"\x1b$" in head or b"\x1b(" in head:
        return next((name for name in _ISO_2022 if _decodes(head, name)), None)
    if (held := b"".join(_HZ.findall(head))) and _chinese_sense(held, "hz") >= CHINESE:
        return "hz"
    shifted = [found[1] for found in _SHIFTED.finditer(head) if found[1]]
    if not shifted or not _decodes(head, "utf-7"):
        return None
    foreign = [letter for letter in head.decode("utf-7", "replace") if not letter.isascii()]
    written = sum(bool(_WRITTEN.match(letter)) for letter in foreign)
    return "utf-7" if foreign and written >= len(foreign) - FEW_DAMAGED * len(foreign) else None


def _decodes(head: bytes, encoding: str) -> bool:
    """Whether the beginning of a text is of an encoding, without damage."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except (UnicodeError, LookupError):
        return False
    return "\x1b" not in text


def _is_utf8(file: Path) -> bool:
    """Whether the whole file is UTF-8, but for very few damaged bytes."""
    damaged = foreign = 0
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with file.open("rb") as source:
        while piece := source.read(PIECE):
            text = decoder.decode(piece)
            damaged += text.count(DAMAGED) - piece.count(DAMAGED.encode())
            foreign += len(piece) - sum(map(len, _ascii_runs(piece)))
    return damaged <= 0 or damaged / max(1, foreign) < FEW_DAMAGED


def _ascii_runs(piece: bytes) -> list[bytes]:
    return [piece.translate(None, bytes(range(128, 256)))]


def _telling_part(file: Path) -> bytes:
    """A sample that begins at the first line with bytes outside ASCII."""
    with file.open("rb") as source:
        for line in iter(lambda: source.readline(PIECE), b""):
            if not line.isascii():
                return line + source.read(SAMPLE)
    return b""


def _legacy(sample: bytes) -> str:
    """The encoding from before Unicode that makes best sense of the sample."""
    scores = {name: _chinese_sense(sample, name) for name in _CHINESE}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= CHINESE:
        return best
    if _is_western(sample):
        return "cp1252"
    from charset_normalizer import from_bytes

    found = from_bytes(sample[:SAMPLE]).best()
    return found.encoding if found else "gb18030"


def _chinese_sense(sample: bytes, encoding: str) -> float:
    """The share of frequent characters among those that are not ASCII; 0 with much damage."""
    text = io.TextIOWrapper(io.BytesIO(sample), encoding, errors="replace", newline="").read()
    foreign = [letter for letter in text if not letter.isascii()]
    damaged = sum(letter == DAMAGED for letter in foreign[:-2])
    if not foreign or damaged > len(foreign) * FEW_DAMAGED:
        return 0.0
    return sum(letter in _FREQUENT for letter in foreign) / len(foreign)


def _is_western(sample: bytes) -> bool:
    """Whether a sample is sparsely strewn with the letters of Western Europe, as cp1252 has them."""
    text = sample.decode("cp1252", "replace")
    letters = [letter for letter in text if letter.isalpha()]
    foreign = [letter for letter in text if not letter.isascii()]
    strewn = sum(not letter.isascii() for letter in letters) <= _SPARSE * len(letters)
    czech = "ø" in foreign and any(letter in foreign for letter in "èìù")
    return bool(foreign) and strewn and not czech and all(letter in _WESTERN for letter in foreign)
