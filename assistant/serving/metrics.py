"""What an operator counts: requests, the line, tokens, latencies, in Prometheus' own format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accounts import AnswerAccount
    from .host import HostState

PREFIX = "assistant"
# Seconds. From a GPU's first token to a long prompt on a laptop, and from a GPU's token to a
# crowded laptop's.
FIRST_TOKEN_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
BETWEEN_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
WAIT_BUCKETS = (0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
PHASES = ("loading", "restarting", "ready", "failed")


class Metrics:
    """The figures of one page, in a registry of its own. Thread-safe.

    `load` gives how many answers run and how many wait; `state` is the host's. Both are asked
    when the figures are read.
    """

    def __init__(self, load: Callable[[], tuple[int, int]], state: Callable[[], HostState]):
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._state = state
        common: dict[str, Any] = {"namespace": PREFIX, "registry": self._registry}
        self._requests = Counter(
            "requests", "Questions asked, by how they ended.", ["outcome"], **common
        )
        tokens = Counter("tokens", "Tokens read (in) and written (out).", ["direction"], **common)
        self._tokens_in, self._tokens_out = tokens.labels("in"), tokens.labels("out")
        self._cached = Counter(
            "cached_prompt_tokens", "Prompt tokens taken from the prefix cache.", **common
        )
        self._wait = Histogram(
            "queue_wait_seconds", "From the question to its turn.", buckets=WAIT_BUCKETS, **common
        )
        self._first = Histogram(
            "time_to_first_token_seconds", "From the turn to the first text.",
            buckets=FIRST_TOKEN_BUCKETS, **common,
        )  # fmt: skip
        self._between = Histogram(
            "inter_token_seconds", "Between two pieces of text; engines send about one a token.",
            buckets=BETWEEN_BUCKETS, **common,
        )  # fmt: skip
        running = Gauge("running", "Answers being written.", **common)
        running.set_function(lambda: load()[0])
        waiting = Gauge("queue_length", "Questions waiting for their turn.", **common)
        waiting.set_function(lambda: load()[1])
        restarts = Gauge("engine_restarts", "How often the engine was opened again.", **common)
        restarts.set_function(lambda: state().restarts)
        self._phase = Gauge(
            "engine_state", "1 for the state the engine is in.", ["state"], **common
        )
        for phase in PHASES:
            self._phase.labels(phase).set_function(partial(self._is_in, phase))
        self._info = Gauge(
            "engine_info", "Always 1; the labels say what runs.",
            ["engine", "device", "context_length"], **common,
        )  # fmt: skip

    def _is_in(self, phase: str) -> float:
        return float(self._state().phase == phase)

    def count(self, account: AnswerAccount) -> None:
        """Add an answer that ended, however it ended."""
        self._requests.labels(account.outcome).inc()
        if account.wait is not None:
            self._wait.observe(account.wait)
        if account.first_token is not None:
            self._first.observe(account.first_token)
        for seconds in account.between:
            self._between.observe(seconds)
        self._tokens_in.inc(account.prompt_tokens)
        self._tokens_out.inc(account.new_tokens)
        self._cached.inc(account.cached_tokens)

    def text(self) -> tuple[bytes, str]:
        """All figures, and the media type they are sent as."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        self._info.clear()  # the engine may be another one since
        if info := self._state().info:
            self._info.labels(info.name, info.device, str(info.context_length)).set(1)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
