"""What visitors may take: a bounded queue in front of the engine, and a rate for each visitor."""

from __future__ import annotations

import collections
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from .errors import AssistantError
from .words import Text

REMEMBERED_ANSWERS = 32  # the last answers whose mean duration predicts the wait
FIRST_GUESS_SECONDS = 10.0


class BusyError(AssistantError):
    """Too much is asked at once; `retry_after` seconds from now there should be room."""

    exit_code = 3

    def __init__(self, message: Text, retry_after: float):
        super().__init__(message)
        self.retry_after = retry_after


class Gate:
    """Lets `concurrent` answers run and `queue` more wait, first come, first served."""

    def __init__(self, concurrent: int, queue: int, clock: Callable[[], float] = time.monotonic):
        self._concurrent = concurrent
        self._queue = queue
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: collections.deque[object] = collections.deque()
        self._running = 0
        self._durations: collections.deque[float] = collections.deque(maxlen=REMEMBERED_ANSWERS)

    @contextmanager
    def place(self, left: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold one of the running places; waits for it in line.

        `left` is asked now and then whether the visitor has gone; then the wait ends.
        Raises BusyError at once if the queue is full, or if the visitor left.
        """
        self._enter(left)
        started = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._durations.append(self._clock() - started)
                self._changed.notify_all()

    def _enter(self, left: Callable[[], bool]) -> None:
        ticket = object()
        with self._changed:
            free = self._concurrent - self._running
            if len(self._waiting) >= self._queue + free:
                raise self._full()
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self._running >= self._concurrent:
                    if left():
                        raise BusyError(Text("Stopped while waiting.", "等待时已停止。"), 0)
                    self._changed.wait(timeout=0.25)
                self._running += 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _full(self) -> BusyError:
        seconds = self._expected_wait(len(self._waiting))
        waiting = len(self._waiting)
        return BusyError(
            Text(
                f"Too many people are asking at once: {waiting} wait already. "
                f"Try again in about {seconds} s.",
                f"现在提问的人太多：已有 {waiting} 人在等。请约 {seconds} 秒后再试。",
            ),
            seconds,
        )

    def _expected_wait(self, ahead: int) -> int:
        known = self._durations
        mean = sum(known) / len(known) if known else FIRST_GUESS_SECONDS
        return max(1, math.ceil(mean * (ahead + 1) / self._concurrent))

    def expected_wait(self) -> int:
        """Seconds a newcomer would wait for a place, from the last answers; 0 if one is free."""
        with self._changed:
            if self._running + len(self._waiting) < self._concurrent:
                return 0
            return self._expected_wait(len(self._waiting))

    @property
    def load(self) -> tuple[int, int]:
        """How many answers run, and how many wait."""
        with self._changed:
            return self._running, len(self._waiting)


class VisitorRate:
    """At most so many messages a minute from one visitor (a moving window)."""

    def __init__(self, messages_per_minute: int):
        self._item = RateLimitItemPerMinute(messages_per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, visitor: str) -> None:
        """Count one message of `visitor`. Raises BusyError when there were too many."""
        if self._limiter.hit(self._item, visitor):
            return
        reset = self._limiter.get_window_stats(self._item, visitor).reset_time
        seconds = max(1, math.ceil(reset - time.time()))
        raise BusyError(
            Text(
                f"That was many messages in a short time. Go on in {seconds} s.",
                f"短时间内消息太多了。请 {seconds} 秒后继续。",
            ),
            seconds,
        )
