"""One use of a tool within an answer: what page, terminal and `ask --json` show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..words import Text

SHOWN_CHARACTERS = 120  # of what a tool was called with, and of what came


@dataclass(frozen=True)
class ToolStep:
    """One use of a tool: what with, what came, and the seconds it took. `error` instead of `result`
    where it could not be done."""

    tool: str
    arguments: Mapping[str, Any]
    result: str | None
    seconds: float
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `ask --json`."""
        return {
            "tool": self.tool, "arguments": dict(self.arguments), "result": self.result,
            "seconds": round(self.seconds, 3), "error": self.error,
        }  # fmt: skip

    def line(self) -> Text:
        """For people, in a line: what with, what came, how long."""
        asked = ", ".join(str(value) for value in self.arguments.values())
        called = _short(f"{self.tool or '?'}({asked})")
        came = _short(str(self.result if self.error is None else self.error))
        failed = Text("", "") if self.error is None else Text("failed: ", "失败：")
        return Text(f"{called} → {failed.en}{came} ({self.seconds:.2f} s)",
                    f"{called} → {failed.zh}{came}（{self.seconds:.2f} 秒）")  # fmt: skip


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"
