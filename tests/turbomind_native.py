"""A stand-in for LMDeploy's native module, exactly at the device boundary.

Everything in Python above `lmdeploy.turbomind._turbomind` is the real package: pipeline, sessions,
configuration objects, chat template, tokenizer, `TurboMind` and `TurboMindInstance`. What stands in
for the GPU: this module's engine, the copying of weights, and what `torch.cuda` says is there.

Its "model" answers with the end of the prompt, token by token, when greedy (top_k 1, or temperature 0
as LMDeploy's api_server passes it on), and with tokens of the prompt's beginning drawn by the seed
when sampling; then comes the end token. So answers depend on the prompt and on the sampling, not on
luck.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

BLOCK = 64  # TurboMind's KV block, in tokens
FINISHED, CANCELLED = 7, 8  # TurboMind's request states (csrc: engine/request.h)
INPUT_TOO_LONG, OUT_OF_MEMORY = 6, 11


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass
class Native:
    """One stand-in device: how it behaves, and what was asked of it."""

    gpus: int = 1
    seconds_per_token: float = 0.004
    tokens_per_signal: int = 1  # several where the event loop falls behind the engine
    fails_with: int = 0  # a state to end every request with
    gate: threading.Event = field(default_factory=_open_gate)  # closed: the device is stuck
    refuses: Exception | None = None  # raised when the engine is made, as for lack of memory
    engines: list[Any] = field(default_factory=list)  # EngineConfig of each
    requests: list[Any] = field(default_factory=list)  # GenerationConfig of each
    prompts: list[list[int]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # the state that each request ended with
    running: int = 0
    most_running: int = 0
    known: list[list[int]] = field(default_factory=list)  # sequences in the prefix cache
    lock: threading.Lock = field(default_factory=threading.Lock)

    def behave(self) -> None:
        """Back to the ordinary behaviour; what was asked stays on record."""
        ordinary = Native()
        for name in ("gpus", "seconds_per_token", "tokens_per_signal", "fails_with", "refuses"):
            setattr(self, name, getattr(ordinary, name))
        self.gate.set()
        self.most_running = 0


class GenerationConfig:
    """Takes the fields that the native struct has, and refuses others."""

    __slots__ = (
        "bad_ids", "eos_ids", "max_new_tokens", "min_new_tokens", "min_p", "output_last_hidden_state",
        "output_logits", "output_logprobs", "random_seed", "repetition_penalty", "return_ppl",
        "stop_ids", "temperature", "top_k", "top_p",
    )  # fmt: skip

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "random_seed" and not 0 <= value < 2**64:
            raise TypeError("random_seed is an unsigned 64-bit integer")
        object.__setattr__(self, name, value)


class State:
    def __init__(self, prompt_tokens: int):
        self._lock = threading.Lock()
        self._state = (0, prompt_tokens)

    def set(self, status: int, seq_len: int) -> None:
        with self._lock:
            self._state = (status, seq_len)

    def consume(self) -> Any:
        with self._lock:
            return types.SimpleNamespace(status=self._state[0], seq_len=self._state[1])


class Request:
    """`ModelRequest`: one at a time, computed on a thread of the engine's own."""

    def __init__(self, native: Native, engine: Any):
        self._native, self._engine = native, engine
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def forward(
        self, inputs: Any, mm_inputs: Any, session: Any, config: Any, stream: bool, metrics: bool, signal: Any
    ) -> Any:  # fmt: skip
        import torch

        prompt = inputs["input_ids"].tolist()
        native = self._native
        self._cancelled.clear()
        buffer = torch.zeros(len(prompt) + config.max_new_tokens, dtype=torch.int32)
        buffer[: len(prompt)] = inputs["input_ids"]
        with native.lock:
            native.requests.append(config)
            native.prompts.append(prompt)
            native.running += 1
            native.most_running = max(native.most_running, native.running)
            cached = self._cached(prompt)
        state = State(len(prompt))
        told = types.SimpleNamespace(enqueue_time=1, scheduled_time=1, cached_tokens=cached)
        work = (prompt, config, buffer, state, signal)
        threading.Thread(target=self._compute, args=work, daemon=True).start()
        return {"output_ids": buffer}, state, told

    def _cached(self, prompt: list[int]) -> int:
        if not self._engine.enable_prefix_caching:
            return 0
        same = max((_common(prompt, known) for known in self._native.known), default=0)
        return min(same, len(prompt) - 1) // BLOCK * BLOCK

    def _compute(
        self, prompt: list[int], config: Any, buffer: Any, state: State, signal: Any
    ) -> None:
        native, place = self._native, len(prompt)
        status = native.fails_with
        for token in _answer(prompt, config):
            if status:
                break
            time.sleep(native.seconds_per_token)
            native.gate.wait()
            if self._cancelled.is_set():
                status = CANCELLED
                break
            buffer[place] = token
            place += 1
            made = place - len(prompt)
            if token in getattr(config, "eos_ids", []) or made == config.max_new_tokens:
                break
            if made % native.tokens_per_signal == 0:
                state.set(0, place)
                signal()
        with native.lock:
            native.running -= 1
            native.ends.append(status or FINISHED)
            native.known.append(buffer[:place].tolist())
        state.set(status or FINISHED, place)
        signal()


def _common(one: list[int], other: list[int]) -> int:
    """Length of the common beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _answer(prompt: list[int], config: Any) -> Any:
    """The answer's tokens; see the module."""
    ends = list(getattr(config, "eos_ids", []))
    if config.top_k == 1 or config.temperature == 0:
        yield from (token for token in prompt[-160:] if token not in ends)
    else:
        draw = random.Random(f"{config.random_seed} {config.temperature}")
        yield from (draw.choice(prompt[1:20]) for _ in range(100))
    yield ends[0]


class Communicator:
    """`TurboMind`: what LMDeploy calls the model's communicator."""

    def __init__(self, native: Native, config: Any):
        self._native, self._config = native, config

    def create_request(self) -> Request:
        return Request(self._native, self._config)

    def create_engine(self, rank: int) -> None:
        if self._native.refuses is not None:
            raise self._native.refuses

    def is_dummy_node(self) -> bool:
        return False

    def get_schedule_metrics(self, rank: int) -> Any:
        """What the health and the metrics of LMDeploy's servers are made of."""
        native = self._native
        return types.SimpleNamespace(
            active_seqs=native.running, waiting_seqs=0, cache_usage=0.0,
            prefix_cache_hit_rate=0.0, scheduler_tick=len(native.requests) + len(native.ends),
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        """Contexts, ranks and weights: of no meaning without a device."""
        return lambda *_: 0


def module(native: Native) -> types.ModuleType:
    """`_turbomind` over `native`. Names that only the copying of weights uses are mocks."""

    class Module(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            made = mock.MagicMock(name=name)
            setattr(self, name, made)
            return made

    class Gemm:
        def data_types(self, data_format: Any) -> Any:
            return mock.MagicMock(__contains__=lambda *_: True)

    class TurboMind:
        @staticmethod
        def create(model_dir: str, engine_config: Any) -> Communicator:
            native.engines.append(engine_config)
            return Communicator(native, engine_config)

    stand_in = Module("lmdeploy.turbomind._turbomind")
    stand_in.Gemm = Gemm
    stand_in.TurboMind = TurboMind
    stand_in.GenerationConfig = GenerationConfig
    stand_in.EngineConfig = types.SimpleNamespace
    stand_in.SessionParam = types.SimpleNamespace
    stand_in.TensorMap = dict
    stand_in.from_dlpack = lambda tensor: tensor
    return stand_in


def install() -> Native:
    """Put the stand-in where LMDeploy looks for its native module, for the rest of the process
    (LMDeploy binds it when `lmdeploy.turbomind` is imported), and return the device behind it."""
    import lmdeploy

    native = Native()
    for name in [name for name in sys.modules if name.startswith("lmdeploy.turbomind")]:
        del sys.modules[name]
    vars(lmdeploy).pop("turbomind", None)
    sys.modules["lmdeploy.turbomind._turbomind"] = module(native)
    return native


@contextlib.contextmanager
def device(native: Native) -> Iterator[Native]:
    """While this holds, torch has the stand-in's GPUs and weights need not be copied to them."""
    from lmdeploy.turbomind.model_loader import ModelLoader

    def is_available() -> bool:
        return native.gpus > 0

    def device_count() -> int:
        return native.gpus

    with (
        mock.patch("torch.cuda.is_available", is_available),
        mock.patch("torch.cuda.device_count", device_count),
        mock.patch("torch.cuda.get_device_name", return_value="Stand-in GPU"),
        mock.patch("torch.cuda.device", return_value=contextlib.nullcontext()),
        mock.patch.object(ModelLoader, "export"),
    ):
        yield native
