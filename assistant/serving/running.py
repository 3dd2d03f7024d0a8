"""An answer under way: how it is ended from outside, and how an engine fails it."""

from __future__ import annotations

import threading
from typing import Protocol

from ..errors import EngineError
from ..words import Text


class Closable(Protocol):
    """An answer under way, as far as ending it goes."""

    def close(self) -> None: ...


class Running:
    """A visitor's answer under way; `stop` ends it in the engine, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reply: Closable | None = None
        self.stopped = False

    def attach(self, answer: Closable) -> None:
        with self._lock:
            self._reply = answer
            stopped = self.stopped
        if stopped:
            answer.close()

    def stop(self) -> None:
        """End the answer; again is harmless."""
        if (answer := self._taken()) is not None:
            answer.close()

    def abandon(self) -> None:
        """`stop` without waiting for an engine that may be stuck."""
        if (answer := self._taken()) is not None:
            threading.Thread(target=answer.close, name="abandon", daemon=True).start()

    def _taken(self) -> Closable | None:
        """The answer to end; None if there is none yet, or it was ended before."""
        with self._lock:
            answer = None if self.stopped else self._reply
            self.stopped = True
        return answer


class StuckError(EngineError):
    """The engine gave no sign of life for `seconds`."""

    def __init__(self, seconds: float):
        super().__init__(
            "unavailable",
            Text(
                f"The engine gave no answer for {seconds:g} s; it is being looked after.",
                f"引擎 {seconds:g} 秒没有回应，正在处理。",
            ),
            Text("Ask again in a moment.", "请稍后再问一次。"),
        )


def engine_closed_under_it() -> EngineError:
    """The engine was closed while it answered: because it broke, or because the page closes."""
    return EngineError(
        "unavailable",
        Text("The engine was restarted while it answered.", "回答途中引擎重新启动了。"),
        Text("Ask again in a moment.", "请稍后再问一次。"),
    )
