"""Serve until the person or the system ends it: Ctrl-C at once, SIGTERM gently."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from ..words import Text
from .answerer import Answerer

LOOK_SECONDS = 0.2  # between two looks whether to end
LAST_WORDS_SECONDS = 1.0  # servers send an answer's last step after the answer has ended


class Ending:
    """Made on the main thread before the server starts, so that no SIGTERM is missed."""

    def __init__(self, answerer: Answerer, drain_seconds: float, say: Callable[[Text], None]):
        self._answerer = answerer
        self._drain_seconds = drain_seconds
        self._say = say
        self._asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: self._asked.append(number))

    def wait(self) -> None:
        """Block until SIGTERM, then until running answers have ended. Raises KeyboardInterrupt on
        Ctrl-C, which does not wait for them."""
        while not self._asked:  # a wait without end misses a signal that another thread took
            time.sleep(LOOK_SECONDS)
        seconds = self._drain_seconds
        self._say(
            Text(
                f"Ending: running answers have {seconds:g} s.",
                f"正在结束：已开始的回答还有 {seconds:g} 秒。",
            )
        )
        self._answerer.drain(seconds)
        time.sleep(LAST_WORDS_SECONDS)
