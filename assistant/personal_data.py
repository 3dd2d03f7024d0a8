"""Personal data and secrets in texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,}|"
    r"glpat-[\w-]{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[abprs]-[\w-]{20,}|npm_[A-Za-z0-9]{36}|LTAI[A-Za-z0-9]{16,24}|"
    r"eyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{20,})"
    r"|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
)
_ID_NUMBER = re.compile(
    r"(?<![0-9A-Za-z])[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dXx](?![0-9A-Za-z])"
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9_@])"
)
_EXAMPLE = re.compile(
    r"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|example|test|invalid|localhost)$", re.IGNORECASE
)
_PHONE_LIKE = re.compile(r"(?<![A-Za-z0-9_.])(?:\+|\(?\d)(?:[\s().-]{0,2}\d){6,14}(?![A-Za-z0-9_])")


def personal(text: str) -> Iterator[tuple[str, str]]:
    """(code, what stands there, masked) for each secret, ID number, phone number and address."""
    if any(mark in text for mark in _KEY_MARKS):
        for match in _KEYS.finditer(text):
            yield "E107", masked(match[0], 6, 0)
    if "@" in text:
        for match in _EMAIL.finditer(text):
            if not _EXAMPLE.search(match[0]):
                yield "W206", masked(match[0], 2, len(match[0].rpartition("@")[2]) + 1)
    if _SEVEN_DIGITS.search(text):
        taken = []
        for match in _ID_NUMBER.finditer(text):
            if is_id_number(match[0]):
                taken.append(match.span())
                yield "E108", masked(match[0], 6, 2)
        for match in _PHONE_LIKE.finditer(text):
            inside = any(start <= match.start() < end for start, end in taken)
            if not inside and is_phone(match[0]):
                yield "W205", masked(match[0].strip(), 3, 2)


_KEY_MARKS = (
    "sk-",
    "hf_",
    "gh",
    "glpat-",
    "AKIA",
    "AIza",
    "xox",
    "npm_",
    "LTAI",
    "eyJ",
    "PRIVATE KEY",
)
_SEVEN_DIGITS = re.compile(r"\d(?:[\s().-]{0,2}\d){6}")


def is_id_number(text: str) -> bool:
    """Whether 18 characters are a resident's ID number: region, birthday and check digit right."""
    from stdnum.cn import ric

    return bool(ric.is_valid(text.upper()))


def is_phone(text: str) -> bool:
    """Whether it is a number that can be dialled in China, or one with its country code."""
    import phonenumbers

    digits = re.sub(r"\D", "", text)
    if "+" not in text and not re.match(
        r"(?:86)?1[3-9]\d{9}$|0\d{2,3}\D?\d{7,8}$", re.sub(r"[\s().]", "", text).replace("-", "")
    ):
        return False
    if len(digits) < 7:
        return False
    try:
        number = phonenumbers.parse(text, "CN")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(number))


def masked(text: str, head: int, tail: int) -> str:
    """`text` with its middle hidden: a report must not spread what it warns of."""
    hidden = max(3, len(text) - head - tail)
    return text[:head] + "*" * min(hidden, 8) + (text[-tail:] if tail else "")
