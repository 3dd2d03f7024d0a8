"""How long steps tell what they do: one event type, shown by the terminal and by the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from .words import Text


class Progress(NamedTuple):
    """A step under way: what, how much of how much. `total` None is not known."""

    what: Text
    done: int = 0
    total: int | None = None
    unit: Literal["B", "it"] = "it"

    @property
    def fraction(self) -> float | None:
        """Done of total between 0 and 1, None where the total is not known."""
        return min(1.0, self.done / self.total) if self.total else None


Report = Callable[[Progress], None]


def unreported(_: Progress) -> None:
    """A Report that shows nothing."""
