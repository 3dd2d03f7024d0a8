"""Tokens of a PyTorch model by transformers' `generate`, one answer at a time.

On ZeroGPU this runs in a process that is forked for the visitor: what goes in and what comes out
are plain values, and the word to stop is a file.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..cpu.prefix import common_beginning

if TYPE_CHECKING:
    import transformers

PREFILL_TOKENS = 256  # of a prompt at once: between two such pieces an answer can be cancelled
Outbox: TypeAlias = queue.SimpleQueue[list[int] | BaseException | None]  # None: the end


@dataclass(frozen=True)
class Order:
    """One answer: the prompt's tokens, and how to pick those that follow. Temperature 0 is greedy.

    It ends soon after a file named `cancelled` appears.
    """

    prompt: list[int]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    seed: int
    cancelled: str

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return os.path.exists(self.cancelled)


@dataclass(frozen=True)
class Made:
    """Tokens that came since the last time; `cached` of the prompt's had been computed before."""

    tokens: list[int]
    cached: int


class TokenMaker:
    """Carries out one order after another with `model`; `ends` are the tokens that end an answer.

    Keys and values of the last conversation are kept: the next one goes on where they agree.
    """

    def __init__(self, model: Any, ends: Collection[int]):
        self._model = model
        self._ends = sorted(ends)
        self._cache: Any = None
        self._known: list[int] = []  # the tokens whose keys and values are in the cache

    def __call__(self, order: Order) -> Iterator[Made]:
        """The answer's tokens as they come, its end token too. Raises what PyTorch raises."""
        cached = self._cut_back(order.prompt)
        outbox: Outbox = queue.SimpleQueue()
        thread = threading.Thread(target=self._compute, args=(order, outbox), daemon=True)
        thread.start()
        while (item := outbox.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield Made(item, cached)
        thread.join()

    def _cut_back(self, prompt: list[int]) -> int:
        """Forget what `prompt` does not begin with; how many of its tokens are known then."""
        if self._cache is None:
            return 0
        shared = min(common_beginning(self._known, prompt), len(prompt) - 1)
        if surplus := self._cache.get_seq_length() - shared:
            self._cache.crop(-surplus)
        self._known = prompt[:shared]
        return shared

    def _compute(self, order: Order, outbox: Outbox) -> None:
        import torch

        try:
            with torch.no_grad():
                if self._read(order):
                    self._write(order, outbox)
        except BaseException as error:  # handed to the reader, whatever it is
            self._cache, self._known = None, []
            outbox.put(error)
        else:
            outbox.put(None)

    def _read(self, order: Order) -> bool:
        """Compute the prompt but for its last piece; False if it was cancelled meanwhile."""
        import torch

        while self._cache is not None and len(order.prompt) - len(self._known) > PREFILL_TOKENS:
            if order.is_cancelled:
                return False
            begin = len(self._known)
            piece = order.prompt[begin : begin + PREFILL_TOKENS]
            tokens = torch.tensor([piece], device=self._model.device)
            self._model.base_model(input_ids=tokens, past_key_values=self._cache, use_cache=True)
            self._known = self._known + piece
        return not order.is_cancelled

    def _write(self, order: Order, outbox: Outbox) -> None:
        """Compute the rest of the prompt and the answer."""
        import torch
        from transformers import StoppingCriteriaList

        def cancelled(tokens: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
            return torch.full((1,), order.is_cancelled, device=tokens.device, dtype=torch.bool)

        prompt = torch.tensor([order.prompt], device=self._model.device)
        torch.manual_seed(order.seed)
        done = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=self._config(order),
            stopping_criteria=StoppingCriteriaList([cancelled]),
            streamer=_Streamer(outbox),
            **({} if self._cache is None else {"past_key_values": self._cache}),
        )
        self._keep(done.past_key_values, done.sequences[0].tolist())

    def _config(self, order: Order) -> transformers.GenerationConfig:
        from transformers import GenerationConfig

        sampled = {
            "do_sample": True,
            "temperature": order.temperature,
            "top_p": order.top_p,
            "top_k": order.top_k,
        }
        return GenerationConfig(
            max_new_tokens=order.max_tokens,
            repetition_penalty=order.repetition_penalty,
            eos_token_id=self._ends or None,
            pad_token_id=next(iter(self._ends), 0),
            return_dict_in_generate=True,
            **(sampled if order.temperature else {"do_sample": False}),
        )

    def _keep(self, cache: Any, tokens: list[int]) -> None:
        """Keep what was computed of `tokens`, if it can be cut back to a shorter beginning."""
        if _can_be_cut_back(cache):
            self._cache, self._known = cache, tokens[: cache.get_seq_length()]
        else:
            self._cache, self._known = None, []


class _Streamer:
    """Takes tokens from `generate`, whose first call shows it the prompt."""

    def __init__(self, outbox: Outbox):
        self._outbox = outbox
        self._prompt_seen = False

    def put(self, tokens: Any) -> None:
        if self._prompt_seen:
            self._outbox.put(tokens.tolist())
        self._prompt_seen = True

    def end(self) -> None:
        """The caller tells the end, once the cache is in order."""


def _can_be_cut_back(cache: Any) -> bool:
    """Not where a layer forgets (a sliding window) or sums up (a recurrent state)."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    return isinstance(cache, DynamicCache) and all(
        type(layer) is DynamicLayer for layer in cache.layers
    )
