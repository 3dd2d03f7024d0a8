"""Asking the generator: side by side, not too fast, again where it fails, within the budget."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from assistant.engines.base import Engine, Sampling
from assistant.errors import EngineError
from assistant.progress import Progress, Report
from assistant.words import Text

from .budget import Budget
from .jobs import Job, Unfit
from .journal import Entry, Journal
from .settings import GenerateTable

logger = logging.getLogger(__name__)

WHAT = Text("Generating", "正在生成")
FAILURES_IN_A_ROW = 5  # jobs that the generator could not answer: it is down, not the jobs
FIRST_PAUSE = 0.5  # seconds before a broken answer is asked for again; doubles
LONGEST_PAUSE = 20.0
SHORTEST_WAIT = 0.05  # seconds, for a turn in the rate


@dataclass
class Outcome:
    """How the asking ended. `stopped` is what ended it early, and `unfilled` names what has no
    answer after all tries, with the reason."""

    unfilled: dict[str, str]
    stopped: EngineError | None = None
    out_of_budget: bool = False


class Asker:
    """Asks all jobs of one generation and keeps each answer in the journal."""

    def __init__(
        self, engine: Engine, table: GenerateTable, journal: Journal, budget: Budget, report: Report
    ):
        self._engine = engine
        self._table = table
        self._journal = journal
        self._budget = budget
        self._report = report
        self._pace = _Pace(table.per_minute)
        self._stop = threading.Event()

    def run(self, jobs: Sequence[Job], already: int) -> Outcome:
        """Ask `jobs`; `already` answers were there before, for the progress. However this is left,
        every answer that came is kept."""
        outcome = Outcome({})
        total, done, failures = already + len(jobs), already, 0
        self._report(Progress(WHAT, done, total))
        pool = ThreadPoolExecutor(self._table.concurrent, thread_name_prefix="generate")
        left = list(reversed(jobs))
        running: dict[Future[str], Job] = {}
        try:
            while (left and not self._stop.is_set()) or running:
                while left and len(running) < self._table.concurrent and not self._stop.is_set():
                    job = left.pop()
                    running[pool.submit(self._ask, job)] = job
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    try:
                        reason = future.result()
                    except EngineError as error:
                        failures += 1
                        outcome.unfilled[job.name] = error.message.en
                        if failures >= min(FAILURES_IN_A_ROW, total) or _hopeless(error):
                            outcome.stopped = outcome.stopped or error
                            self._stop.set()
                        continue
                    failures = 0
                    if reason:
                        outcome.unfilled[job.name] = reason
                    else:
                        done += 1
                    self._report(Progress(WHAT, done, total))
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        outcome.out_of_budget = self._budget.exhausted
        return outcome

    def _ask(self, job: Job) -> str:
        """Ask until an answer is fit; why there is none, or "" for an answer. Raises EngineError
        where the generator does not answer at all."""
        reason = ""
        for number in range(self._table.tries):
            if not self._pace.wait(self._stop):
                return reason or "not asked"
            sampling = Sampling(
                max_tokens=job.max_tokens, temperature=self._table.temperature,
                top_p=self._table.top_p, repetition_penalty=1.0, seed=job.seed + number,
            )  # fmt: skip
            try:
                entry = self._once(job, sampling)
            except EngineError as error:
                if error.code not in ("truncated", "unavailable") or _hopeless(error):
                    raise
                if number == self._table.tries - 1:
                    raise
                reason = error.message.en
                self._stop.wait(min(LONGEST_PAUSE, FIRST_PAUSE * 2**number))
                continue
            if entry is None:
                self._stop.set()
                return "the budget is used up"
            if not entry.unfit:
                return ""
            reason = entry.unfit
        return reason

    def _once(self, job: Job, sampling: Sampling) -> Entry | None:
        """One request, kept whatever comes of it; None if the budget does not allow it."""
        reserved = (self._engine.count_tokens(job.messages), sampling.max_tokens)
        if not self._budget.reserve(*reserved):
            return None
        started = time.monotonic()
        entry = Entry(job=job.id, name=job.name, prompt_tokens=reserved[0])
        pieces: list[str] = []
        try:
            entry = self._read(job, sampling, entry, pieces)
        except EngineError as error:
            began = bool(pieces)  # else the server did no work that it would bill
            entry = _with(
                entry, unfit=f"{error.code}: {error.message.en}", answer_tokens=len(pieces),
                prompt_tokens=reserved[0] if began else 0,
            )  # fmt: skip
            raise
        finally:
            entry = _with(entry, seconds=round(time.monotonic() - started, 3))
            self._budget.settle(reserved, (entry.prompt_tokens, entry.answer_tokens))
            self._journal.add(entry)
        return entry

    def _read(self, job: Job, sampling: Sampling, entry: Entry, pieces: list[str]) -> Entry:
        generation = self._engine.stream(job.messages, sampling)
        last = None
        for chunk in generation:
            if chunk.text:
                pieces.append(chunk.text)
            last = chunk
        answer = "".join(pieces)
        assert last is not None
        entry = _with(
            entry, answer=answer, model=self._engine.describe().model,
            prompt_tokens=last.prompt_tokens, answer_tokens=last.new_tokens,
        )  # fmt: skip
        if last.finish != "stop":
            return _with(entry, unfit=f"not ended: {last.finish}")
        try:
            job.read(answer)
        except Unfit as why:
            return _with(entry, unfit=str(why))
        return entry


def _with(entry: Entry, **values: object) -> Entry:
    return entry.model_copy(update=values)


def _hopeless(error: EngineError) -> bool:
    """Whether asking anything else will fail the same way: a refused key, a model that is not there."""
    return error.code == "unavailable" and error.cure is not None


class _Pace:
    """At most so many beginnings in any minute; 0 is as fast as they come. Thread-safe."""

    def __init__(self, per_minute: int):
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def wait(self, stop: threading.Event) -> bool:
        """Until it is this one's turn; False if the work was stopped meanwhile."""
        while self._item is not None and not self._limiter.hit(self._item):
            free = self._limiter.get_window_stats(self._item).reset_time
            if stop.wait(max(SHORTEST_WAIT, free - time.time())):
                return False
        return not stop.is_set()
