"""Rows inside arrays and objects, wherever they stand; what stands beside them is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .json_stream import BrokenError, JsonStream, TooLongError
from .layout import is_bad_part, is_message, is_row, layout, talks_in
from .marks import blank
from .records import EXCERPT, Dropped, Record
from .values import excerpt

_NUMBERS = re.compile(r"\[\d+\]")
HELD_BACK = 1000  # items of an array that are kept until one of them shows that it holds rows
DEEPEST = 8  # levels of containers that are searched for rows


def records_of(
    value: Any, number: int, outside: Counter[str], place: str = "", alone: bool = False
) -> Iterator[Record | Dropped]:
    """The rows of a value: itself, or those it holds. `alone`: it is all of a file."""
    if alone and isinstance(value, dict) and all(map(blank, value.values())):
        return  # such as {"data": []}
    if isinstance(value, dict):
        if is_row(value, alone) or not (holds_rows(value) or (alone and talks_in(value))):
            yield Record(number, value, place)
            return
        inside = place if alone else f"{place}[{number}]"
        shared = {} if alone else _shared(value)
        talks = talks_in(value) if alone else ""
        for key, held in value.items():
            if key in shared:
                continue
            path = f"{inside}.{key}" if inside else str(key)
            if talks and key == talks:
                yield from (Record(at, {key: talk}, path) for at, talk in enumerate(held, 1))
                continue
            items = _within(held, path, outside, alone)
            for item in _bad(items) if is_bad_part(key, value) else items:
                if shared and isinstance(item, Record):
                    item = item._replace(value=shared | item.value)
                yield item
    elif isinstance(value, list):
        if is_conversation(value):
            yield Record(number, {"messages": value}, place)
        elif holds_rows(value):
            for at, item in enumerate(value, 1):
                yield from records_of(item, at, outside, f"{place}[{number}]")
        else:
            yield _no_row(value, number, place)
    else:
        yield _no_row(value, number, place)


def _shared(value: Mapping[str, Any]) -> dict[str, Any]:
    """What stands once beside a list of rows and belongs to each of them: the instruction beside
    inputs and outputs, a system prompt. Nothing where it would take the place of their own question."""
    row = next((row for held in value.values() for row in _rows_in(held)), None)
    if row is None:
        return {}
    texts = {key: held for key, held in value.items() if isinstance(held, str) and held.strip()}
    own, together = layout(tuple(row)).fields, layout((*texts, *row)).fields
    if own.get("answer") != together.get("answer") or own.get("question") not in together.values():
        return {}
    return {
        key: texts[key]
        for field, key in together.items()
        if field in ("question", "input", "system") and key in texts and key not in row
    }


def _rows_in(held: Any) -> Iterator[Mapping[str, Any]]:
    items = held if isinstance(held, list) else (held,)
    return (item for item in items if isinstance(item, dict) and is_row(item))


def _within(held: Any, path: str, outside: Counter[str], alone: bool) -> Iterator[Record | Dropped]:
    """The rows under a key of a container."""
    if not holds_rows(held) and not is_row(held):
        if not blank(held):
            outside[_NUMBERS.sub("[]", path)] += len(held) if isinstance(held, (list, dict)) else 1
    elif isinstance(held, list):
        for at, item in enumerate(held, 1):
            yield from records_of(item, at, outside, path)
    elif is_row(held):
        yield Record(1, held, path)
    else:
        for key, item in held.items():
            if key == "columns" and isinstance(item, dict):  # LLaMA-Factory's list of data sets
                outside[_NUMBERS.sub("[]", f"{path}.{key}")] += len(item)
                continue
            items = _within(item, f"{path}.{key}", outside, alone)
            yield from _bad(items) if is_bad_part(key, held) else items


def _bad(items: Iterator[Record | Dropped]) -> Iterator[Record | Dropped]:
    """The rows of a part that holds the bad answers: none of them is learned."""
    for item in items:
        if isinstance(item, Record):
            shown = excerpt(item.value, EXCERPT)
            item = Dropped(item.number, "in_bad_part", excerpt=shown, place=item.place)
        yield item


def _no_row(value: Any, number: int, place: str) -> Dropped:
    return Dropped(number, "not_object", excerpt=excerpt(value, EXCERPT), place=place)


def is_conversation(value: Sequence[Any]) -> bool:
    """Whether a list is the turns of one conversation."""
    return bool(value) and all(map(is_message, value))


def holds_rows(value: Any, deep: int = 0) -> bool:
    """Whether rows stand somewhere inside an array or an object."""
    if deep > DEEPEST:
        return False
    if isinstance(value, list):
        return any(
            (isinstance(item, Mapping) and _is_whole_row(item))
            or (isinstance(item, list) and is_conversation(item))
            or holds_rows(item, deep + 1)
            for item in value
        )
    if isinstance(value, Mapping):
        return any(
            (isinstance(item, Mapping) and _is_whole_row(item)) or holds_rows(item, deep + 1)
            for item in value.values()
        )
    return False


def _is_whole_row(value: Mapping[str, Any]) -> bool:
    """A row, and not one message of a row."""
    return is_row(value) and layout(tuple(value)).refused != "single_message"


class JsonRows:
    """The rows of a JSON text that is not one value a line."""

    def __init__(self, stream: JsonStream, outside: Counter[str]):
        self._stream = stream
        self._outside = outside

    def __iter__(self) -> Iterator[Record | Dropped]:
        number = 0
        while True:
            following = self._stream.peek()
            if following == "":
                return
            if following == ",":
                self._stream.step()
                continue
            if following == "[":
                for item in self._array("", number):
                    yield item
                    number = item.number
                    if isinstance(item, Dropped) and item.fatal:
                        return
                continue
            number += 1
            for item in self._value(number, "", alone=number == 1):
                yield item
                if isinstance(item, Dropped) and item.fatal:
                    return

    def _value(self, number: int, place: str, alone: bool = False) -> Iterator[Record | Dropped]:
        """The rows of the next value, which is read whole, or member by member if it is too long."""
        try:
            value = self._stream.value()
        except BrokenError as error:
            yield _broken(error, number, place)
        except TooLongError:
            yield from self._too_long(number, place, alone)
        else:
            yield from records_of(value, number, self._outside, place, alone)

    def _too_long(self, number: int, place: str, alone: bool) -> Iterator[Record | Dropped]:
        following = self._stream.peek()
        inside = place if alone else f"{place}[{number}]"
        if following == "[":
            yield from self._array(inside)
        elif following == "{":
            yield from self._members(number, inside)
        else:
            yield Dropped(number, "too_long", fatal=True, place=place)

    def _members(self, number: int, inside: str) -> Iterator[Record | Dropped]:
        """The rows of an object that is read member by member."""
        try:
            for key in self._stream.members():
                path = f"{inside}.{key}" if inside else key
                listed = self._stream.peek() == "["
                items = self._held_back(path) if listed else self._member(path)
                yield from _bad(items) if is_bad_part(key) else items
        except BrokenError as error:
            yield _broken(error, number, inside)._replace(fatal=True)
        except TooLongError:
            yield Dropped(number, "too_long", fatal=True, place=inside)

    def _member(self, path: str) -> Iterator[Record | Dropped]:
        try:
            value = self._stream.value()
        except BrokenError as error:
            yield _broken(error, 1, path)
        except TooLongError:
            yield from self._too_long(1, path, alone=True)
        else:
            yield from _within(value, path, self._outside, alone=False)

    def _array(self, place: str, before: int = 0) -> Iterator[Record | Dropped]:
        """The rows of the array that begins here, numbered on from `before`."""
        number = before
        try:
            for _ in self._stream.items():
                number += 1
                yield from self._value(number, place)
        except BrokenError as error:
            yield _broken(error, number + 1, place)

    def _held_back(self, path: str) -> Iterator[Record | Dropped]:
        """The rows of an array inside an object; one without any is counted as standing outside."""
        held: list[Record | Dropped] = []
        rows = False
        for item in self._array(path):
            rows = (
                rows
                or (isinstance(item, Dropped) and item.fatal)
                or is_row(getattr(item, "value", None))
            )
            if rows or len(held) >= HELD_BACK:
                yield from held
                held = []
                rows = True
                yield item
            else:
                held.append(item)
        if held:
            self._outside[path] += len(held)


def _broken(error: BrokenError, number: int, place: str) -> Dropped:
    shown = excerpt(error.shown, EXCERPT)
    return Dropped(number, "broken", str(error), shown, fatal=not error.whole, place=place)
