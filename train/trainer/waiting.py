"""How training's threads wait for each other: asleep, or spinning for a moment first.

A step is thousands of parallel parts of a millisecond. Where waking a thread takes as long as the part
(some virtual machines), waiting asleep halved the tokens a second; elsewhere spinning takes from the
other thread what it needs, and asleep was a seventh quicker. So it is measured, once for a machine.
Spinning without end (OMP_WAIT_POLICY=ACTIVE) is no choice: the threads that a smaller team leaves idle
go on spinning beside it.

    python -m train.trainer.waiting DTYPE THREADS     (a process of its own: prints one JSON object)
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from assistant.artifacts import write_json
from assistant.bench.report import processor_name
from assistant.errors import BlockedError
from assistant.models import home
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

from .threads import OtherPrograms

KIT = Path(__file__).resolve().parents[2]
WAYS: dict[str, dict[str, str]] = {
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spinning": {"GOMP_SPINCOUNT": "20000"},  # about a millisecond: longer than gaps inside a step
}
PAYS = 0.95  # of the seconds asleep: what spinning must save, for it takes from other programs
QUIET = 0.3  # cores that others may use while it is measured
ROUNDS = 2  # of each way, in turn; the quicker counts
SECONDS = 2.5  # of one round: no less than threads.WINDOW
LAYERS, TOKENS, WIDTH, INNER, RANK = 6, 400, 576, 1536, 16  # a step of 8 rows, on a base of 135M


def is_set() -> bool:
    """Whether the user chose how threads wait; then it is kept."""
    return bool(os.environ.get("OMP_WAIT_POLICY") or os.environ.get("GOMP_SPINCOUNT"))


def waiting(dtype: str, threads: int, report: Report = unreported) -> dict[str, str]:
    """The environment variables that set how threads wait, measured unless known for this machine.

    Args:
        dtype: What training computes in, as `float32`.
        threads: How many of them compute.
        report: Told that measuring goes on, for it takes a quarter of a minute.

    Returns:
        One of WAYS; asleep, and not remembered, where other programs were busy. Nothing where the user
        has chosen, one thread has none to wait for, or libgomp does not compute (it does on Linux).
    """
    if is_set() or threads < 2 or sys.platform != "linux":
        return {}
    file = home() / "waiting.json"
    known = _known(file)
    machine = f"{processor_name()}, {threads} threads, {dtype}"
    if known.get(machine) not in WAYS:
        report(Progress(Text("Measuring this machine (once)", "测量这台机器（只需一次）")))
        seconds = _measured(dtype, threads)
        if not seconds:
            return WAYS["asleep"]
        spin = seconds["spinning"] < PAYS * seconds["asleep"]
        known[machine] = "spinning" if spin else "asleep"
        with suppress(BlockedError):  # not to be written: measured again the next time
            write_json(known, file)
    return WAYS[known[machine]]


def _known(file: Path) -> dict[str, str]:
    """What was measured before, by machine."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _measured(dtype: str, threads: int) -> dict[str, float]:
    """Seconds of a step by way of waiting; empty where other programs were busy meanwhile."""
    found: dict[str, float] = {}
    for way in list(WAYS) * ROUNDS:
        line = [sys.executable, "-m", "train.trainer.waiting", dtype, str(threads)]
        done = subprocess.run(
            line, env=os.environ | WAYS[way], cwd=KIT, capture_output=True, text=True
        )
        said = json.loads(done.stdout) if done.returncode == 0 else {"others": threads}
        if said["others"] > QUIET:
            return {}
        found[way] = min(found.get(way, said["seconds"]), said["seconds"])
    return found


def step_seconds(dtype: str, threads: int) -> dict[str, float]:
    """Take steps like training's for SECONDS.

    Returns:
        `seconds` of one (the median), and the cores that `others` used meanwhile.
    """
    import torch

    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    square, wide = (WIDTH, WIDTH), (WIDTH, INNER)
    weights = [
        [torch.randn(shape, dtype=kind) for shape in (square, square, wide, wide, wide[::-1])]
        for _ in range(LAYERS)
    ]
    adapters = [
        [
            (torch.randn(shape[0], RANK, dtype=kind, requires_grad=True),
             torch.zeros(RANK, shape[1], dtype=kind, requires_grad=True))
            for shape in (weight.shape for weight in layer)
        ]
        for layer in weights
    ]  # fmt: skip
    others = OtherPrograms()
    taken: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS or len(taken) < 3:
        started = time.perf_counter()
        hidden = torch.ones(TOKENS, WIDTH, dtype=kind)
        for layer, adapter in zip(weights, adapters, strict=True):
            out = [
                lambda x, w=w, a=a, b=b: x @ w + (x @ a) @ b
                for w, (a, b) in zip(layer, adapter, strict=True)
            ]
            hidden = torch.nn.functional.layer_norm(out[1](out[0](hidden)), (WIDTH,))
            hidden = hidden + out[4](torch.nn.functional.silu(out[2](hidden)) * out[3](hidden))
        hidden.sum().backward()
        taken.append(time.perf_counter() - started)
    return {"seconds": statistics.median(taken[1:]), "others": others.cores() or 0.0}


if __name__ == "__main__":
    print(json.dumps(step_seconds(sys.argv[1], int(sys.argv[2]))))
