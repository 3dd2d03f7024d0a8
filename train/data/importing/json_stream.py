"""JSON values from a text of any length, one after another, a piece in memory at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

PIECE = 1 << 16  # characters
_NEAR_END = 16  # characters: a value that ends so near the end of what was read may go on
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_SCALAR = re.compile(r"[^,\]}\[{]*")
_FIRST_KEY = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"')
# JSON knows no comments, and people write them.
_COMMENT = re.compile(r"/\*(?s:.*?)\*/|(?://|#|/\*)[^\n]*")
_NOT_LINE_END = re.compile(r"[^\r\n]")
MOST_READ_AGAIN = 500_000_000  # characters of one value, for the comments in it
_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|"', re.DOTALL)


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that stands in it again gets a number, so that none is lost unseen."""
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    value = {}
    for key, item in pairs:
        name, number = key, 1
        while name in value:
            number += 1
            name = f"{key} ({number})"
        value[name] = item
    return value


# A line end in a string is text.
DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_named)


def comment_at(text: str, at: int) -> tuple[int, int] | None:
    """Where the comment begins and ends that stands at a place, spaces apart; None for no comment."""
    found = _COMMENT.match(text, _SPACE.match(text, at).end())  # type: ignore[union-attr]
    return found.span() if found else None


def blanked(text: str, start: int, end: int) -> str:
    """The text with a part of it as spaces, so that all else stands where it stood."""
    return text[:start] + _NOT_LINE_END.sub(" ", text[start:end]) + text[end:]


class BrokenError(ValueError):
    """A value is no JSON. `whole`: its end was found, and what follows can be read."""

    def __init__(self, message: str, shown: str, whole: bool):
        super().__init__(message)
        self.shown = shown
        self.whole = whole


class TooLongError(ValueError):
    """A value is longer than the limit; nothing of it was passed over."""


class JsonStream:
    """Reads values from `source`. A value of more than `limit` characters is not read whole."""

    def __init__(self, source: TextIO, limit: int):
        self._source = source
        self._limit = limit
        self._text = ""
        self._at = 0
        self._lines = 1  # the line on which the text that is held begins
        self._ended = False
        self.comments = 0  # passed over

    def peek(self) -> str:
        """The next character that is neither space nor in a comment; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                following = self._text[self._at]
                if following not in "/#" or not self._pass_comment():
                    return following
            elif not self._fill():
                return ""

    def _pass_comment(self) -> bool:
        """Go behind the comment at hand; False where there is none."""
        while (comment := self._whole_comment(self._at)) is None:
            if self._at + 1 < len(self._text) and comment_at(self._text, self._at) is None:
                return False
            if len(self._text) - self._at >= self._limit or not self._fill():
                comment = comment_at(self._text, self._at)
                break
        if comment is None:
            return False
        self._at = comment[1]
        self.comments += 1
        return True

    def _whole_comment(self, at: int) -> tuple[int, int] | None:
        """The comment at a place; None where there is none, or more must be read to tell its end."""
        comment = comment_at(self._text, at)
        if comment is None or comment[1] == len(self._text):
            return None
        begun, ended = self._text[comment[0] :][:2], self._text[: comment[1]][-2:]
        return None if begun == "/*" and ended != "*/" else comment

    def step(self) -> None:
        """Pass over the character that `peek` told."""
        self._at += 1

    def value(self) -> Any:
        """The next value. Raises TooLongError; BrokenError, having passed over it if it can."""
        self.peek()
        again = 0
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _NEAR_END or error.msg.startswith(
                    "Unterminated"
                )
                if cut and self._fill(self._size()):
                    continue
                again += len(self._text) - self._at
                if again > MOST_READ_AGAIN or not self._blank_comment(error.pos):
                    raise self._broken(error.msg, error.pos) from None
                continue
            except (ValueError, RecursionError) as error:
                deep = isinstance(error, RecursionError)
                raise self._broken("nested too deeply" if deep else str(error), self._at) from None
            if end == len(self._text) and self._text[self._at] not in '{["' and self._fill():
                continue  # a number may go on
            self._at = end
            return value

    def _blank_comment(self, at: int) -> bool:
        """Take the comment inside a value out of the text that is held; False where there is none."""
        comment = comment_at(self._text, at)
        if comment is None:
            return False
        if self._whole_comment(at) is None and self._fill(self._size()):
            return True  # more of it is there now
        self._text = blanked(self._text, *comment)
        self.comments += 1
        return True

    def _size(self) -> int:
        """How much to read on for a value that is not whole. Raises TooLongError."""
        held = len(self._text) - self._at
        if held >= self._limit:
            raise TooLongError
        return max(PIECE, held)

    def _fill(self, size: int = PIECE) -> bool:
        """Read on, and forget what was passed over; whether there was more."""
        if self._ended:
            return False
        more = self._source.read(size)
        if not more:
            self._ended = True
            return False
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + more
        self._at = 0
        return True

    def _broken(self, message: str, at: int) -> BrokenError:
        line = self._lines + self._text.count("\n", 0, at)
        column = at - self._text.rfind("\n", 0, at)
        shown = self._text[self._at : self._at + 400]
        try:
            whole = self._pass_over()
        except TooLongError:
            whole = False
        return BrokenError(f"{message}: line {line} column {column}", shown, whole)

    def _pass_over(self) -> bool:
        """Go behind the broken value; False where its end cannot be told."""
        while True:
            end = self._end_of_value()
            if end is not None:
                self._at = end
                return True
            if not self._fill(self._size()):
                return False

    def _end_of_value(self) -> int | None:
        """The end of the value at hand: where its brackets close, or before the next one that begins
        with the same key, whichever comes first: a quotation mark that is missing hides brackets."""
        if self._text[self._at : self._at + 1] not in ("{", "["):
            end = _SCALAR.match(self._text, self._at).end()  # type: ignore[union-attr]
            return end if (end < len(self._text) or self._ended) and end > self._at else None
        sibling = None
        if first := _FIRST_KEY.match(self._text, self._at):
            begins = re.compile(r"\}\s*,?\s*(?=\{\s*\"" + re.escape(first[1]) + '")')
            found = begins.search(self._text, self._at + 1)
            sibling = found.start() + 1 if found else None
        closed = self._closes()
        ends = [end for end in (sibling, closed) if end is not None]
        return min(ends) if ends else None

    def _closes(self) -> int | None:
        depth = 0
        for match in _STEP.finditer(self._text, self._at):
            token = match[0]
            if token == '"':
                return None  # a string that does not end
            if token in "{[":
                depth += 1
            elif token in "}]":
                depth -= 1
                if depth == 0:
                    end = match.end()
                    follows = self._text[_SPACE.match(self._text, end).end() :][:1]  # type: ignore[union-attr]
                    return end if follows in ("", ",", "]", "}", "{", "[") else None
        return None

    def items(self) -> Iterator[None]:
        """Stop before each item of the array that begins here; the caller reads it with `value`.

        Raises BrokenError at the end of the text if the array does not end.
        """
        self.step()
        while True:
            following = self.peek()
            if following == "":
                raise self._broken("the array does not end", len(self._text))
            if following == "]":
                self.step()
                return
            if following == ",":
                self.step()
                continue
            yield

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here, each before its value, which the caller reads."""
        self.step()
        while True:
            following = self.peek()
            if following in ("}", ""):
                self.step()
                return
            if following == ",":
                self.step()
                continue
            key = self.value()
            if self.peek() == ":":
                self.step()
                self.peek()
            yield str(key)
