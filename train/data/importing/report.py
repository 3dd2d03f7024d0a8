"""What an import did, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.artifacts import now
from assistant.words import Text

from .records import NOTES, REASONS, nothing_read


@dataclass
class FileCounts:
    """What became of the rows of one file."""

    file: str
    format: str = ""
    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    details: dict[str, Any] = field(default_factory=dict)
    whole: bool = True  # read to its end
    size: int = 0  # bytes
    share_read: Callable[[], float] = nothing_read

    def read(self) -> int:
        """About how many of its bytes were read so far."""
        return int(self.size * self.share_read())

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file, "format": self.format, **self.details, "rows_in": self.rows_in,
            "rows_out": self.rows_out, "dropped": dict(self.dropped), "notes": dict(self.notes),
            "shapes": dict(self.shapes), "whole": self.whole,
        }  # fmt: skip


@dataclass
class ImportReport:
    """What an import did. `out` is the conversations, `dropped_file` what was left out and why."""

    out: Path
    dropped_file: Path
    files: list[FileCounts] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows_in(self) -> int:
        return sum(file.rows_in for file in self.files)

    @property
    def rows_out(self) -> int:
        return sum(file.rows_out for file in self.files)

    @property
    def dropped(self) -> Counter[str]:
        return sum((file.dropped for file in self.files), Counter())

    @property
    def whole(self) -> bool:
        """Whether every file could be read to its end."""
        return all(file.whole for file in self.files)

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": "import", "out": str(self.out), "dropped_file": str(self.dropped_file),
            "finished": now(), "seconds": round(self.seconds, 2), "rows_in": self.rows_in,
            "rows_out": self.rows_out, "dropped": dict(self.dropped), "whole": self.whole,
            "files": [file.as_json() for file in self.files],
        }  # fmt: skip

    def text(self) -> Text:
        """For people: a line for the whole, one for each reason."""
        lines = [
            Text(
                f"{self.rows_out} conversations of {self.rows_in} rows -> {self.out}",
                f"{self.rows_in} 行中得到 {self.rows_out} 段对话 -> {self.out}",
            )
        ]
        for reason, count in self.dropped.most_common():
            said = REASONS[reason]
            lines.append(Text(f"{count:>8} left out: {said.en}", f"{count:>8} 行未采用：{said.zh}"))
        for note, count in sum((file.notes for file in self.files), Counter()).most_common():
            said = NOTES[note]
            lines.append(Text(f"{count:>8} changed: {said.en}", f"{count:>8} 行有改动：{said.zh}"))
        return Text("\n".join(line.en for line in lines), "\n".join(line.zh for line in lines))
