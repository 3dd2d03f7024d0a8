"""A stored number and its number format -> what the sheet shows."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from .values import moment_text, number_text, rounded

GENERAL = "General"
_IGNORED = re.compile(r"\[(?:Red|Blue|Green|Black|White|Yellow|Cyan|Magenta|Color\d+|DBNum\d|[<>=]+[\d.]+)\]|_.|\*.", re.IGNORECASE)  # fmt: skip
_CURRENCY = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]")
_LITERAL = re.compile(r'"([^"]*)"|\\(.)')
_PLAIN = re.compile(r"^([^#0?]*)([#0?,]*[#0?])(?:\.([#0?]*))?([^#0?]*)$")
_DATE_WORDS = "年月日时時分秒"
_DATE_TOKEN = re.compile(
    r"y+|m+|d+|h+|s+(?:\.0+)?|AM/PM|上午/下午|aaaa?|.", re.IGNORECASE | re.DOTALL
)
_WEEKDAYS = "一二三四五六日"


class _Plain(NamedTuple):
    """A number format such as `¥#,##0.00` taken apart."""

    before: str
    zeros: int  # digits that are always shown before the point
    grouped: bool
    places: int
    optional: int  # of the places, those shown only where needed
    percent: bool
    after: str


def shown_number(value: float, code: str) -> str:
    """The number as the format shows it; formats beyond the usual ones show all its digits."""
    sections = _sections(code)
    if value < 0 and len(sections) > 1:
        plain, value = _plain(sections[1]), -value
    elif value == 0 and len(sections) > 2:
        plain = _plain(sections[2])
    else:
        plain = _plain(sections[0])
    return number_text(value) if plain is None else _formatted(value, plain)


def _formatted(value: float, plain: _Plain) -> str:
    number = rounded(value * 100 if plain.percent else value, plain.places)
    sign = "-" if number < 0 else ""
    digits, _, decimals = f"{abs(number):f}".partition(".")
    digits = digits.lstrip("0").rjust(plain.zeros, "0") if plain.zeros else digits.lstrip("0")
    if plain.grouped and digits:
        digits = f"{int(digits):,}".rjust(len(digits), "0")
    least = plain.places - plain.optional
    while len(decimals) > least and decimals.endswith("0"):
        decimals = decimals[:-1]
    return f"{sign}{plain.before}{digits or '0'}{'.' if decimals else ''}{decimals}{plain.after}"


@lru_cache(maxsize=512)
def _sections(code: str) -> tuple[str, ...]:
    parts, quoted, start = [], False, 0
    for place, letter in enumerate(code):
        if letter == '"':
            quoted = not quoted
        elif letter == ";" and not quoted:
            parts.append(code[start:place])
            start = place + 1
    return (*parts, code[start:])


@lru_cache(maxsize=512)
def _plain(section: str) -> _Plain | None:
    """The section taken apart; None for General and for what is not a plain number format."""
    section = _CURRENCY.sub(lambda match: f'"{match[1]}"', _IGNORED.sub("", section))
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(match[1] if match[1] is not None else match[2])
        return chr(0xE000 + len(held) - 1)

    match = _PLAIN.match(_LITERAL.sub(hold, section))
    if (
        not match
        or "general" in section.casefold()
        or re.search(r"[eE/@yYdDhH]", match[1] + match[4])
    ):
        return None
    before, whole, decimals, after = match[1], match[2], match[3] or "", match[4]
    if whole.endswith(","):  # scaled by thousands
        return None

    def text(part: str) -> str:
        return "".join(
            held[ord(letter) - 0xE000] if 0xE000 <= ord(letter) < 0xE000 + len(held) else letter
            for letter in part
        )

    return _Plain(
        before=text(before).replace("%", ""), zeros=whole.count("0"), grouped="," in whole,
        places=len(decimals), optional=len(decimals) - len(decimals.rstrip("#?")),
        percent="%" in before + after, after=text(after).strip(" "),
    )  # fmt: skip


def shown_moment(value: datetime | date | time | timedelta, code: str) -> str:
    """A date in Chinese words where its format has them, else in ISO form."""
    words = any(word in code for word in _DATE_WORDS)
    if words and isinstance(value, (datetime, time)):
        return _in_words(value, _sections(code)[0])
    if isinstance(value, datetime) and not re.search(r"[hs]", code, re.IGNORECASE):
        return value.date().isoformat()
    return moment_text(value)


def _in_words(value: datetime | time, section: str) -> str:
    section = re.sub(r"\[[^\]]*\]|_.|\*.", "", section)
    tokens = _DATE_TOKEN.findall(_LITERAL.sub(lambda match: match[1] or match[2] or "", section))
    half_day = any(token.upper() in ("AM/PM", "上午/下午") for token in tokens)
    shown: list[str] = []
    after_hour = False
    for place, token in enumerate(tokens):
        kind = token[0].lower()
        following = next((other for other in tokens[place + 1 :] if other.strip()), "")
        minutes = kind == "m" and (after_hour or (following[:1] in ("分", ":") and not shown))
        shown.append(_token(value, token, kind, minutes, half_day))
        if kind in "hyd":
            after_hour = kind == "h"
    return "".join(shown).strip()


def _token(value: datetime | time, token: str, kind: str, minutes: bool, half_day: bool) -> str:
    wide = len(token) > 1
    if token.upper() in ("AM/PM", "上午/下午"):
        return ("上午" if value.hour < 12 else "下午") if "午" in token else f"{value:%p}"
    if kind == "h":
        hour = (value.hour % 12 or 12) if half_day else value.hour
        return f"{hour:02}" if wide else str(hour)
    if kind == "s":
        return f"{value.second:02}" if wide else str(value.second)
    if minutes:
        return f"{value.minute:02}" if wide else str(value.minute)
    if isinstance(value, datetime):
        if kind == "y":
            return f"{value.year:04}" if len(token) > 2 else f"{value.year % 100:02}"
        if kind == "m":
            return f"{value.month:02}" if wide else str(value.month)
        if kind == "d":
            return f"{value.day:02}" if wide else str(value.day)
        if kind == "a":
            return ("星期" if len(token) > 3 else "") + _WEEKDAYS[value.weekday()]
    return token
