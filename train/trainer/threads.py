"""How many threads training computes with: as many as other programs leave cores.

A step is thousands of short parallel parts, each as slow as its slowest thread: one thread too many
beside a busy program and every part waits for the scheduler. (Two cores without AVX-512 beside one
busy process: a step of two threads took five times as long as alone, one of one thread nearly four.)
So the threads follow what is free, as training goes.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

THREADS_FILE = "threads.json"
WINDOW = 2.0  # seconds to look at: shorter ones see the scheduler rather than the programs
PATIENCE = 2  # looks in a row that must see free cores before threads are added


@dataclass(frozen=True)
class Threads:
    """What training computes with, and the cores that others used when that was chosen."""

    threads: int
    cores: int
    others: float

    def write(self, work: Path) -> None:
        """Leave word for whoever watches; a line this short is written whole."""
        (work / THREADS_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, work: Path) -> Threads | None:
        """The last word; None before the first."""
        try:
            return cls(**json.loads((work / THREADS_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


class OtherPrograms:
    """Counts the cores that other programs use, of those this process may run on."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        affinity = getattr(os, "sched_getaffinity", None)
        self._processors = sorted(affinity(0)) if affinity else None
        self._last = self._now()

    def cores(self) -> float | None:
        """Cores used by others on average since the last count; None for less than WINDOW seconds,
        which go on counting."""
        then, now = self._last, self._now()
        seconds = now[0] - then[0]
        if seconds < WINDOW:
            return None
        self._last = now
        return max(0.0, (now[1] - then[1]) - (now[2] - then[2])) / seconds

    def _now(self) -> tuple[float, float, float]:
        """The clock, the seconds that all programs have computed, and those of this one."""
        every = psutil.cpu_times(percpu=True)
        chosen = self._processors or range(len(every))
        busy = sum(_busy(every[number]) for number in chosen if number < len(every))
        own = self._process.cpu_times()
        return time.monotonic(), busy, own.user + own.system


def _busy(times: object) -> float:
    """Seconds in which one processor could not have worked for anyone else; what a virtual
    machine's host took away (steal) counts, and what guests used is in `user` already."""
    named = times._asdict()  # type: ignore[attr-defined]  # psutil's named tuple differs by system
    free = ("idle", "iowait", "guest", "guest_nice")
    return sum(value for name, value in named.items() if name not in free)


class ThreadCount:
    """The number of threads for the next step, from what other programs use."""

    def __init__(self, cores: int):
        self.cores = cores
        self.threads = cores
        self._seen_free = 0

    def after(self, others: float) -> int:
        """Look at the cores that `others` used. Fewer threads at once; more only when free cores
        were seen PATIENCE times in a row, for a build or a page comes in bursts."""
        room = min(self.cores, max(1, self.cores - math.floor(others + 0.5)))
        self._seen_free = self._seen_free + 1 if room > self.threads else 0
        if room < self.threads or self._seen_free >= PATIENCE:
            self.threads = room
            self._seen_free = 0
        return self.threads
