"""Values as a person reads them."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .records import UnusableError


def text_of(value: Any, name: str = "") -> str:
    """A JSON or parquet value as text: "" for null, "1" for 1.0.

    Raises UnusableError for lists, objects and bytes that are not UTF-8.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return number_text(value)
    if isinstance(value, (datetime, date, time, timedelta)):
        return moment_text(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise UnusableError("not_text", name) from None
    raise UnusableError("not_text", name)


def answer_of(value: Any, name: str) -> str:
    """An answer as text. Raises UnusableError as `text_of` does, and for true and false: a yes or no
    that nobody has put into words yet."""
    if isinstance(value, bool):
        raise UnusableError("yes_no", f"{name}: {text_of(value)}")
    return text_of(value, name)


def number_text(value: int | float | Decimal) -> str:
    """A number with at most 15 significant digits, as spreadsheets show it, never as 1e+20."""
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:  # Python writes no integer of more than 4,300 digits
            raise UnusableError("not_text") from None
    number = Decimal(value)
    if not number.is_finite():
        return ""
    if abs(number.adjusted()) > 40:
        return f"{number:.14E}"
    shown = f"{Decimal(f'{number:.14E}'):f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def rounded(value: float, places: int) -> Decimal:
    """`value` to `places` decimals, halves away from zero, as spreadsheets round."""
    exact = Decimal(f"{Decimal(value):.14E}")
    return exact.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def moment_text(value: datetime | date | time | timedelta) -> str:
    """A date as 2024-05-01, with its time of day only where it has one; a span as 26:30."""
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
    if isinstance(value, datetime):
        day = value.date().isoformat()
        of_day = value.time().replace(microsecond=0)
        return day if of_day == time() else f"{day} {_clock(of_day)}"
    if isinstance(value, date):
        return value.isoformat()
    return _clock(value)


def _clock(value: time) -> str:
    return value.strftime("%H:%M:%S" if value.second else "%H:%M")


def excerpt(value: Any, length: int) -> str:
    """The beginning of a row, for the side file; always text that UTF-8 can hold."""
    try:
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        )
    except (ValueError, RecursionError):
        text = "…"
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= length else text[: length - 1] + "…"
