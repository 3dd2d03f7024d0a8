"""json, jsonl, and the `.jsonL` that holds one JSON array: told apart by content, not by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .encodings import DAMAGED, bounded_lines, detect_encoding, open_text, share_read
from .headers import recognise, usable
from .records import EXCERPT, Dropped, Options, Reading, Record
from .values import excerpt

LONGEST_LINE = 16 << 20  # characters
LOOKED_AT = 1 << 16  # characters
ESCAPES_WITHIN = 16  # characters; a pair of \\uXXXX takes 12
TURNS = {"messages", "conversations", "conversation", "history"}
# Half of a surrogate pair, written as an escape: no character, and readers lose it without a word.
_HALF = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    r"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def json_records(file: Path, options: Options, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of a JSON file of any build: an array, objects one a line or one after another,
    an object that holds the array."""
    encoding = options.encoding or detect_encoding(file)
    reading.details["encoding"] = encoding
    with open_text(file, encoding) as source:
        by_line = _is_by_line(source)
    reading.format = "jsonl" if by_line else "json"
    with open_text(file, encoding) as source:
        if by_line:
            reading.share_read = share_read(source)
            yield from _by_line(source)
            return
    prefix = "item"
    with open_text(file, encoding) as source:
        if source.read(LOOKED_AT).lstrip("\ufeff \t\r\n").startswith("{"):
            source.seek(0)
            prefix = _array_within(source)
    with open_text(file, encoding) as source:
        reading.share_read = share_read(source)
        yield from _items(source, prefix)


def _is_by_line(source: TextIO) -> bool:
    """Whether the first filled line is a whole JSON value, and either an object or not the only
    line."""
    lines = (line for line in bounded_lines(source, LOOKED_AT) if line.strip("\ufeff \t\r\n"))
    first = next(lines, "").strip("\ufeff \t\r\n")
    if first.startswith("["):
        return _parses(first) and next(lines, None) is not None
    if _parses(first):
        return not (_holds_array(first) and next(lines, None) is None)
    # A damaged first line does not make the file something else: the next one tells.
    return any(line.lstrip().startswith("{") and _parses(line) for line, _ in zip(lines, range(5)))  # noqa: B905


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _holds_array(first: str) -> bool:
    """Whether a line is an object around the records, such as {"data": [{…}, …]}."""
    value = json.loads(first)
    if not isinstance(value, dict) or TURNS & value.keys() or usable(recognise(list(value))):
        return False
    lists = [item for item in value.values() if isinstance(item, list)]
    return len(lists) == 1 and bool(lists[0]) and all(isinstance(item, dict) for item in lists[0])


def _by_line(source: TextIO) -> Iterator[Record | Dropped]:
    blank: Dropped | None = None
    for number, line in enumerate(bounded_lines(source, LONGEST_LINE), 1):
        text = line.strip("\ufeff \t\r\n")
        if not text:
            blank = blank._replace(rows=blank.rows + 1) if blank else Dropped(number, "blank")
            continue
        if blank:
            yield blank
            blank = None
        yield _record(number, text)


def _record(number: int, text: str) -> Record | Dropped:
    if len(text) >= LONGEST_LINE:
        return Dropped(number, "too_long", excerpt=excerpt(text, EXCERPT))
    try:
        value = json.loads(text)
    except RecursionError:
        return Dropped(number, "broken", "nested too deeply", excerpt(text, EXCERPT))
    except ValueError as error:
        return Dropped(number, "broken", str(error), excerpt(text, EXCERPT))
    return _as_record(number, value)


def _as_record(number: int, value: Any) -> Record | Dropped:
    if isinstance(value, dict):
        return Record(number, value)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return Record(number, {"messages": value})
    return Dropped(number, "not_object", excerpt=excerpt(value, EXCERPT))


def _array_within(source: TextIO) -> str:
    """The prefix of the first array of objects inside a top-level object; "" if the object is
    itself a record."""
    import ijson

    opened = ""
    keys: list[str] = []
    try:
        for count, (prefix, event, value) in enumerate(ijson.parse(_Utf8(source), use_float=True)):
            if opened and event == "start_map" and prefix == f"{opened}.item":
                return prefix
            if event == "map_key" and not prefix:
                keys.append(value)
            if event == "start_array":
                if prefix.rsplit(".", 1)[-1] in TURNS or usable(recognise(keys)):
                    return ""
                opened = prefix
            if count > 100_000:
                break
    except (ijson.JSONError, ValueError):
        pass
    return ""


def _items(source: TextIO, prefix: str) -> Iterator[Record | Dropped]:
    import ijson

    # Whole values may follow one another; what follows an object around an array is reported.
    several = prefix == ""
    items = ijson.items(_Utf8(source), prefix, use_float=True, multiple_values=several)
    number = 0
    while True:
        number += 1
        try:
            value = next(items)
        except StopIteration:
            return
        except (ijson.JSONError, ValueError, RecursionError) as error:
            yield Dropped(number, "broken", _first_line(error), fatal=True)
            return
        yield _as_record(number, value)


def _first_line(error: Exception) -> str:
    message = error.args[0] if error.args else str(error)
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


class _Utf8:
    """A text file as UTF-8 bytes, halves of surrogate pairs made visible as damage."""

    def __init__(self, source: TextIO):
        self._source = source
        self._started = False

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        text = self._source.read(1 << 16)
        # A pair of escapes must not be cut in two: go on to a place without escapes.
        while "\\" in text[-ESCAPES_WITHIN:] and (more := self._source.read(ESCAPES_WITHIN)):
            text += more
        if not self._started:
            text = text.lstrip("\ufeff")
            self._started = True
        if "\\u" in text:
            text = _HALF.sub(lambda match: match[1] + DAMAGED, text)
        return text.encode("utf-8", "replace")
