"""The tool "clock": the date and the time."""

from __future__ import annotations

import datetime
import zoneinfo

from ..words import Text
from .base import Arguments, Tool, ToolError


class ClockArguments(Arguments):
    """`zone`: a time zone such as Asia/Shanghai; empty for this machine's."""

    zone: str = ""


class Clock(Tool):
    """Says what day and time it is, here or in a time zone."""

    name = "clock"
    described = Text("today's date, weekday and time; zone may be Asia/Shanghai, Europe/Paris…",
                     "今天的日期、星期和时间；zone 可以是 Asia/Shanghai、Europe/Paris 等")  # fmt: skip
    arguments = ClockArguments
    computes = True

    def run(self, arguments: ClockArguments) -> str:
        now = datetime.datetime.now(_zone(arguments.zone))
        return f"{now:%A, %Y-%m-%d, %H:%M} ({now.tzname()})"


def _zone(name: str) -> datetime.tzinfo | None:
    if not name:
        return datetime.datetime.now().astimezone().tzinfo
    try:
        return zoneinfo.ZoneInfo(name)
    except (
        ValueError,
        OSError,
        zoneinfo.ZoneInfoNotFoundError,
    ):  # a path, a folder, an unknown one
        raise ToolError(f"{name[:40]!r} is not a time zone such as Europe/Paris") from None
