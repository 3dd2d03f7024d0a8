"""The arithmetic of serving: what a decoding step takes, and how many GPUs a number of people need.

A step writes one token for each of B answers. It reads every weight once and the cache of every
answer, and multiplies each token with every weight; the slower of the two is what it takes:
    seconds = max((weights + B * context * kv) / (tp * bandwidth * efficiency),
                  2 * parameters * B / (tp * flops * efficiency))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from assistant.errors import FailedError
from assistant.words import Text

from .gpus import Gpu
from .model import ModelShape

GB = 1e9
# Assumed, and said in the plan: what engines reach of a GPU's printed figures once scheduling,
# kernels and the exchange between GPUs are paid, and what the driver and activations take of it.
EFFICIENCY = 0.6
RESERVED_GB = 2.0
CACHE_SHARE_LIMIT = 0.8  # of what is free after the weights; above it GPUs run out of memory
MOST_GPUS_PER_MODEL = 8
HOURS_PER_MONTH = 730

WeightBits = Literal[16, 4]
KvBits = Literal[16, 8, 4]


@dataclass(frozen=True)
class Wanted:
    """`users` answers being written at once, each at `tokens_per_second` or faster, `context`
    tokens long with their question and history."""

    users: int
    tokens_per_second: float
    context: int
    weight_bits: WeightBits = 16
    kv_bits: KvBits = 16
    efficiency: float = EFFICIENCY


@dataclass(frozen=True)
class Machine:
    """What one copy of the model runs on: bytes per second read, operations per second."""

    bandwidth: float
    flops: float

    def step_seconds(self, model: ModelShape, wanted: Wanted, batch: int) -> float:
        """Seconds of one decoding step for `batch` answers of `wanted.context` tokens."""
        cache = batch * wanted.context * model.kv_bytes(wanted.kv_bits)
        read = (model.read_bytes(wanted.weight_bits) + cache) / self.bandwidth
        computed = 2 * model.multiplied() * batch / self.flops
        return max(read, computed)


@dataclass(frozen=True)
class Capacity:
    """A way to serve `wanted`: `replicas` copies of the model, each over `tp` GPUs."""

    wanted: Wanted
    tp: int
    replicas: int
    free_bytes: float  # on the GPUs of a copy once the weights are loaded
    batch_by_memory: int
    batch_by_speed: int
    per_copy: int  # answers each copy writes at once
    step: float  # seconds
    cache_share: float  # of the free memory that they need
    first_token: float  # seconds until a prompt of half the context is read

    @property
    def gpus(self) -> int:
        return self.tp * self.replicas

    @property
    def per_user(self) -> float:
        """Tokens a second of each answer."""
        return 1 / self.step

    @property
    def total(self) -> float:
        """Tokens a second of all answers."""
        return self.wanted.users / self.step


def plan_capacity(model: ModelShape, gpu: Gpu, wanted: Wanted) -> Capacity:
    """The fewest GPUs that serve `wanted`; of equal ones the one that spreads a model least.

    Raises FailedError, with the nearest miss, where no number of these GPUs does.
    """
    found = [each for each in _ways(model, gpu, wanted) if each is not None]
    if found:
        return min(found, key=lambda way: (way.gpus, way.tp))
    raise _impossible(model, gpu, wanted)


def _ways(model: ModelShape, gpu: Gpu, wanted: Wanted) -> Iterator[Capacity | None]:
    tp = 1
    while tp <= MOST_GPUS_PER_MODEL and model.heads % tp == 0:  # TurboMind splits by heads
        yield _way(model, gpu, wanted, tp)
        tp *= 2


def _way(model: ModelShape, gpu: Gpu, wanted: Wanted, tp: int) -> Capacity | None:
    free = tp * (gpu.memory_gb - RESERVED_GB) * GB - model.weight_bytes(wanted.weight_bits)
    each = wanted.context * model.kv_bytes(wanted.kv_bits)
    by_memory = math.floor(CACHE_SHARE_LIMIT * free / each) if free > 0 else 0
    machine = spread(gpu, tp, wanted.efficiency)
    by_speed = _largest_batch(model, machine, wanted, by_memory)
    batch = min(by_memory, by_speed)
    if batch < 1:
        return None
    replicas = math.ceil(wanted.users / batch)
    per_copy = math.ceil(wanted.users / replicas)
    return Capacity(
        wanted, tp, replicas, free, by_memory, by_speed, per_copy,
        step=machine.step_seconds(model, wanted, per_copy),
        cache_share=per_copy * each / free,
        first_token=2 * model.multiplied() * (wanted.context / 2) / machine.flops,
    )  # fmt: skip


def spread(gpu: Gpu, tp: int, efficiency: float) -> Machine:
    """What `tp` GPUs reach together."""
    return Machine(tp * gpu.bandwidth_gb_s * GB * efficiency, tp * gpu.tflops * 1e12 * efficiency)


def _largest_batch(model: ModelShape, machine: Machine, wanted: Wanted, limit: int) -> int:
    """The most answers at once that each still come at the wanted speed, at most `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if machine.step_seconds(model, wanted, middle) * wanted.tokens_per_second <= 1:
            low = middle
        else:
            high = middle - 1
    return low


def _impossible(model: ModelShape, gpu: Gpu, wanted: Wanted) -> FailedError:
    most = next(tp for tp in (8, 4, 2, 1) if tp <= MOST_GPUS_PER_MODEL and model.heads % tp == 0)
    machine = spread(gpu, most, wanted.efficiency)
    fastest = 1 / machine.step_seconds(model, wanted, 1)
    weights = model.weight_bytes(wanted.weight_bits) / GB
    return FailedError(
        Text(f"No number of {gpu.name} does it: a copy spread over {most} has "
             f"{most * gpu.memory_gb:g} GB for {weights:.1f} GB of weights, and writes at most "
             f"{fastest:.1f} tokens a second for one person.",
             f"多少块 {gpu.name} 都做不到：一份模型分到 {most} 块上，显存 {most * gpu.memory_gb:g} GB，"
             f"权重 {weights:.1f} GB，单人最快每秒 {fastest:.1f} 个 token。"),
        Text("Ask for fewer tokens a second, a shorter --context, --weight-bits 4, or a larger GPU.",
             "请降低每秒 token 数、缩短 --context、用 --weight-bits 4，或换更大的 GPU。"),
    )  # fmt: skip
