"""What mmengine writes while it trains: one JSON object a line, in a folder named by the time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scalar:
    """One logged iteration. `seconds` is how long it took; `rate` is the learning rate."""

    iteration: int
    loss: float
    rate: float
    seconds: float


def read_scalars(work: Path) -> list[Scalar]:
    """All that was logged in a work folder, by iteration; a resumed run's later word counts."""
    found: dict[int, Scalar] = {}
    for file in sorted(work.glob("*/vis_data/scalars.json")):
        for line in file.read_text(encoding="utf-8").splitlines():
            scalar = _scalar(line)
            if scalar:
                found[scalar.iteration] = scalar
    return [found[iteration] for iteration in sorted(found)]


def _scalar(line: str) -> Scalar | None:
    """One line; None for one still being written, or that says something else."""
    try:
        row = json.loads(line)
        found = Scalar(int(row["step"]), float(row["loss"]), float(row["lr"]), float(row["time"]))
    except (ValueError, KeyError, TypeError):
        return None
    return found if math.isfinite(found.loss) else None


def recent_seconds(scalars: Sequence[Scalar], last: int = 10) -> float | None:
    """Mean seconds an iteration took of late; None before the second one."""
    tail = [scalar.seconds for scalar in scalars[1:][-last:]]
    return sum(tail) / len(tail) if tail else None
