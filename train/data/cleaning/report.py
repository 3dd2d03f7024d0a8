"""What `clean` did."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from assistant.artifacts import now


class Change(NamedTuple):
    """What became of one row: messages mended (place, before, after), or the row removed."""

    row: int
    rules: tuple[str, ...]
    mended: tuple[tuple[int, str, str], ...] = ()
    removed: str = ""
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        if self.removed:
            return {"row": self.row, "removed": self.removed, "before": json.loads(self.text)}
        mended = [
            {"message": place + 1, "before": before, "after": after}
            for place, before, after in self.mended
        ]
        return {"row": self.row, "rules": list(self.rules), "changes": mended}


@dataclass
class CleanReport:
    """What `clean` did. `changes` are the first SHOWN; the changes file has all."""

    out: Path
    changes_file: Path
    dry_run: bool
    ran: tuple[str, ...] = ()  # the names of the rules
    rows_in: int = 0
    rows_out: int = 0
    changed: int = 0
    rules: Counter[str] = field(default_factory=Counter)  # rows that each rule touched
    removed: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": "clean", "out": str(self.out), "changes_file": str(self.changes_file),
            "dry_run": self.dry_run, "ran": list(self.ran), "finished": now(), "rows_in": self.rows_in,
            "rows_out": self.rows_out, "changed": self.changed, "rules": dict(self.rules),
            "removed": dict(self.removed),
        }  # fmt: skip
