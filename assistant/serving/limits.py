"""What visitors may take: a bounded queue in front of the engine, and a rate for each visitor."""

from __future__ import annotations

import collections
import math
import threading
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from ..errors import AssistantError
from ..words import Text

REMEMBERED_ANSWERS = 32  # the last answers whose mean duration predicts the wait
FIRST_GUESS_SECONDS = 10.0


class BusyError(AssistantError):
    """Too much is asked at once; `retry_after` seconds from now there should be room."""

    exit_code = 3

    def __init__(self, message: Text, retry_after: float):
        super().__init__(message)
        self.retry_after = retry_after


class QueueTicket:
    """A visitor's place: first in line, then among the running. Given back with `leave`."""

    def __init__(self, gate: Gate):
        self._gate = gate

    @property
    def running(self) -> bool:
        """Whether the visitor's turn has come."""
        return self._gate._is_running(self)

    @property
    def ahead(self) -> int:
        """How many wait in front; 0 for the next one and for one whose turn has come."""
        return self._gate._ahead(self)

    @property
    def expected_wait(self) -> int:
        """Seconds until the turn comes, from how long the last answers took; 0 if it has come."""
        return self._gate._seconds_for(self)

    def leave(self, answered_in: float | None = None) -> None:
        """Give the place back; again is harmless. `answered_in` seconds teach the prediction."""
        self._gate._leave(self, answered_in)


class Gate:
    """Lets `concurrent` answers run and `queue` more wait, first come, first served.

    Nothing here blocks: who joins asks the Place whether the turn has come, so waiting costs no
    thread. A place left by one who waits frees the line at once. Thread-safe.
    """

    def __init__(self, concurrent: int, queue: int):
        self._concurrent = concurrent
        self._queue = queue
        self._lock = threading.Lock()
        self._waiting: collections.deque[QueueTicket] = collections.deque()
        self._running: set[QueueTicket] = set()
        self._durations: collections.deque[float] = collections.deque(maxlen=REMEMBERED_ANSWERS)

    def join(self) -> QueueTicket:
        """Take a place. Raises BusyError, with the time to come back, if the line is full."""
        with self._lock:
            if len(self._running) < self._concurrent:
                place = QueueTicket(self)
                self._running.add(place)
                return place
            if len(self._waiting) >= self._queue:
                raise self._full()
            place = QueueTicket(self)
            self._waiting.append(place)
            return place

    @property
    def load(self) -> tuple[int, int]:
        """How many answers run, and how many wait."""
        with self._lock:
            return len(self._running), len(self._waiting)

    def _full(self) -> BusyError:
        waiting = len(self._waiting)
        seconds = self._expected_wait(waiting)
        return BusyError(
            Text(
                f"Too many people are asking at once: {waiting} wait already. "
                f"Try again in about {seconds} s.",
                f"现在提问的人太多：已有 {waiting} 人在等。请约 {seconds} 秒后再试。",
            ),
            seconds,
        )

    def _expected_wait(self, ahead: int) -> int:
        """Seconds for `ahead` others and then one more place to come free."""
        known = self._durations
        mean = sum(known) / len(known) if known else FIRST_GUESS_SECONDS
        return max(1, math.ceil(mean * (ahead + 1) / self._concurrent))

    def _is_running(self, place: QueueTicket) -> bool:
        with self._lock:
            return place in self._running

    def _ahead(self, place: QueueTicket) -> int:
        with self._lock:
            return self._waiting.index(place) if place in self._waiting else 0

    def _seconds_for(self, place: QueueTicket) -> int:
        with self._lock:
            if place not in self._waiting:
                return 0
            return self._expected_wait(self._waiting.index(place))

    def _leave(self, place: QueueTicket, answered_in: float | None) -> None:
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place in self._running:
                self._running.remove(place)
                if answered_in is not None:
                    self._durations.append(answered_in)
            while self._waiting and len(self._running) < self._concurrent:
                self._running.add(self._waiting.popleft())


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
