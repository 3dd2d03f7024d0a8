"""`deploy plan --check-here`: the plan's formula on this machine, where it can be measured.

The bandwidth and the operations per second are measured with numpy, the decoding with the CPU
engine; both stand beside what the formula says, so that everyone sees how far off it is.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.config import Config
from assistant.conversation import Message
from assistant.engines.base import Engine, Sampling
from assistant.progress import Progress, Report
from assistant.words import Text

from .estimate import GB, Machine

if TYPE_CHECKING:
    from .model import ModelShape

BATCHES = (1, 4, 8)
NEW_TOKENS = 64
MATRIX_ROWS, MATRIX_COLUMNS = 65_536, 2_048  # 512 MiB of float32: far beyond any cache
SQUARE = 2_048
REPEATS = 5
PROMPT = "Tell a long story about a lighthouse, a storm and a lost letter."


@dataclass(frozen=True)
class Measured:
    """One batch: tokens a second for each answer, as the formula says and as it was."""

    batch: int
    estimated: float
    measured: float

    @property
    def reached(self) -> float:
        """What was measured as a share of the estimate."""
        return self.measured / self.estimated


@dataclass(frozen=True)
class Here:
    """This machine's figures: bytes a second, operations a second, and the decoding."""

    machine: Machine
    device: str
    model: str
    weight_bytes: int
    batches: tuple[Measured, ...]


def check_here(config: Config, named: str | None, report: Report) -> Here:
    """Measure. Raises what loading the CPU engine raises, UsageError for a model without figures."""
    from assistant.engines import open_engine
    from assistant.models import fetch
    from assistant.weights import choose_weights

    from .model import read_shape

    local = fetch(choose_weights(config, named).reference, base_folder=config.folder, report=report)
    shape = read_shape(local.path)
    report(Progress(Text("Measuring memory and arithmetic", "正在测量内存带宽和算力")))
    machine = Machine(read_bandwidth(), multiply_rate())
    engine = open_engine("cpu", local, config.serve, report).engine
    try:
        weights = _bytes_read(local, report)
        report(Progress(Text("Measuring the decoding", "正在测量生成速度")))
        found = tuple(
            Measured(batch, _estimate(machine, shape, weights, batch), decode_rate(engine, batch))
            for batch in BATCHES
        )
        return Here(machine, engine.describe().device, local.name, weights, found)
    finally:
        engine.close()


def _estimate(machine: Machine, shape: ModelShape, weights: int, batch: int) -> float:
    """The plan's formula with the bytes that this engine reads, at efficiency 1."""
    cache = batch * NEW_TOKENS * shape.kv_bytes()
    read = (weights + cache) / machine.bandwidth
    computed = 2 * shape.multiplied() * batch / machine.flops
    return 1 / max(read, computed)


def _bytes_read(local: Any, report: Report) -> int:
    """Bytes of the weights as the CPU engine reads them."""
    from assistant.engines.cpu.weights import openvino_weights

    path: Path = openvino_weights(local, report).path
    return (path if path.is_file() else path / "openvino_model.bin").stat().st_size


def read_bandwidth() -> float:
    """Bytes a second that all cores together read from memory, the best of REPEATS."""
    import numpy

    matrix = numpy.ones((MATRIX_ROWS, MATRIX_COLUMNS), dtype=numpy.float32)
    vector = numpy.ones(MATRIX_COLUMNS, dtype=numpy.float32)
    return matrix.nbytes / min(_seconds(lambda: matrix @ vector) for _ in range(REPEATS))


def multiply_rate() -> float:
    """Floating-point operations a second of a float32 matrix product, the best of REPEATS."""
    import numpy

    square = numpy.ones((SQUARE, SQUARE), dtype=numpy.float32)
    return 2 * SQUARE**3 / min(_seconds(lambda: square @ square) for _ in range(REPEATS))


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def decode_rate(engine: Engine, batch: int) -> float:
    """Tokens a second of each of `batch` answers written together, the prompt's reading left out."""
    rates: list[float] = []

    def answer(number: int) -> None:
        asked = [Message(role="user", content=f"{number}. {PROMPT}")]
        first, tokens = 0.0, 0
        for chunk in engine.stream(asked, Sampling(max_tokens=NEW_TOKENS, temperature=0)):
            first = first or time.perf_counter()
            tokens = chunk.new_tokens or tokens
        rates.append((tokens - 1) / (time.perf_counter() - first))

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(batch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates) / len(rates)


def here_text(here: Here) -> Text:
    """Both sides, batch by batch."""
    machine = here.machine
    lines = [
        Text(f"here        {here.device}: {machine.bandwidth / GB:.1f} GB/s read, {machine.flops / GB:.0f} GFLOPS (numpy)",
             f"本机        {here.device}：读取 {machine.bandwidth / GB:.1f} GB/s，{machine.flops / GB:.0f} GFLOPS（numpy）"),
        Text(f"model       {here.model}: {here.weight_bytes / GB:.3f} GB read for each step",
             f"模型        {here.model}：每步读取 {here.weight_bytes / GB:.3f} GB"),
    ]  # fmt: skip
    lines += [
        Text(f"{one.batch:>3} at once   formula {one.estimated:7.1f}, measured {one.measured:7.1f} tokens/s each: {one.reached:.0%} of the formula at efficiency 1",
             f"{one.batch:>3} 人同时   公式 {one.estimated:7.1f}，实测每人每秒 {one.measured:7.1f} token：为公式（效率 1）的 {one.reached:.0%}")
        for one in here.batches
    ]  # fmt: skip
    return Text("\n".join(line.en for line in lines), "\n".join(line.zh for line in lines))


def here_json(here: Here) -> dict[str, Any]:
    """The same figures for programs."""
    return {
        "device": here.device,
        "model": here.model,
        "bandwidth_bytes_per_second": here.machine.bandwidth,
        "operations_per_second": here.machine.flops,
        "weight_bytes": here.weight_bytes,
        "batches": [
            {"batch": one.batch, "estimated": one.estimated, "measured": one.measured,
             "reached": one.reached} for one in here.batches
        ],
    }  # fmt: skip
