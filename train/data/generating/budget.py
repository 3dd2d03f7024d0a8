"""What a generation may take, and what it took: tokens and money, estimated before, counted after."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assistant.engines.remote.tokens import estimate
from assistant.errors import UsageError
from assistant.words import Text

from .jobs import Job
from .journal import Entry
from .settings import GenerateTable

MILLION = 1_000_000


@dataclass(frozen=True)
class Spent:
    """Requests and tokens, and their price where prices are known."""

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float | None = None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.answer_tokens

    def text(self) -> Text:
        cost = "" if self.cost is None else f", {self.cost:.4f}"
        return Text(
            f"{self.requests:,} requests, {self.prompt_tokens:,} prompt + {self.answer_tokens:,} "
            f"answer tokens{cost and cost + ' in money'}",
            f"{self.requests:,} 次请求，提示 {self.prompt_tokens:,} + 回答 {self.answer_tokens:,} 个 token"
            f"{cost and '，费用 ' + cost[2:]}",
        )

    def as_json(self) -> dict[str, float | int | None]:
        return {
            "requests": self.requests, "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens, "cost": self.cost,
        }  # fmt: skip


def price(table: GenerateTable, prompt_tokens: int, answer_tokens: int) -> float | None:
    """In the currency of the prices; None without any."""
    if not table.price_prompt and not table.price_answer:
        return None
    return (prompt_tokens * table.price_prompt + answer_tokens * table.price_answer) / MILLION


def at_most(jobs: Sequence[Job], table: GenerateTable) -> Spent:
    """What the jobs take if every answer is as long as it may be and none is asked for twice."""
    prompt = sum(estimate(job.messages) for job in jobs)
    answer = sum(job.max_tokens for job in jobs)
    return Spent(len(jobs), prompt, answer, price(table, prompt, answer))


def spent(entries: Iterable[Entry], table: GenerateTable) -> Spent:
    """What the entries of a journal took."""
    entries = list(entries)
    prompt = sum(entry.prompt_tokens for entry in entries)
    answer = sum(entry.answer_tokens for entry in entries)
    return Spent(len(entries), prompt, answer, price(table, prompt, answer))


class Budget:
    """Lets a request begin only if the limits hold even when its answer is as long as it may be.

    What was spent before (`already`) counts. Thread-safe.
    """

    def __init__(self, table: GenerateTable, already: Spent):
        if table.max_cost and price(table, 1, 1) is None:
            raise UsageError(
                Text("A limit in money needs prices.", "按费用限制需要先设置价格。"),
                Text(
                    "Set [train.generate] price_prompt and price_answer (for a million tokens).",
                    "请设置 [train.generate] 的 price_prompt 和 price_answer（每百万 token）。",
                ),
            )
        self._table = table
        self._prompt, self._answer = already.prompt_tokens, already.answer_tokens
        self._under_way = 0
        self._changed = threading.Condition()
        self.exhausted = False

    def reserve(self, prompt_tokens: int, answer_tokens: int) -> bool:
        """Take that much, once there is room: answers under way give back what they do not need.
        False, when there is none even then, ends the work."""
        with self._changed:
            while not self._fits(prompt_tokens, answer_tokens):
                if not self._under_way:
                    self.exhausted = True
                if self.exhausted:
                    return False
                self._changed.wait()
            self._add(prompt_tokens, answer_tokens)
            self._under_way += 1
            return True

    def settle(self, reserved: tuple[int, int], taken: tuple[int, int]) -> None:
        """End what was reserved: what was not taken is given back."""
        with self._changed:
            self._add(taken[0] - reserved[0], taken[1] - reserved[1])
            self._under_way -= 1
            self._changed.notify_all()

    def _fits(self, prompt_tokens: int, answer_tokens: int) -> bool:
        table = self._table
        prompt, answer = self._prompt + prompt_tokens, self._answer + answer_tokens
        cost = price(table, prompt, answer) or 0.0
        tokens_fit = not table.max_tokens_total or prompt + answer <= table.max_tokens_total
        return tokens_fit and (not table.max_cost or cost <= table.max_cost)

    def _add(self, prompt_tokens: int, answer_tokens: int) -> None:
        self._prompt += prompt_tokens
        self._answer += answer_tokens
