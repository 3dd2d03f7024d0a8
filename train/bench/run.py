"""Training tokens a second and peak memory, XTuner as this kit runs it against a plain loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assistant.bench.report import BenchRow, against, new_report
from assistant.bench.report import Report as Table
from assistant.config import Config
from assistant.errors import FailedError
from assistant.progress import Progress, Report
from assistant.run import Run
from assistant.words import Text

from ..recipes import Recipe
from ..trainer.command import command, environment
from ..trainer.config import write_config
from ..trainer.prepare import Prepared, prepare
from ..trainer.scalars import read_scalars

RATIO = 1.3  # of the peer's speed, at least, where the kit's own choice for this machine trains
WARM_UP = 2  # first steps that are not counted: memory is still being taken
SHOWN = 600  # characters of an error's end


def run_train_bench(config: Config, quick: bool, report: Report, made_by: str) -> Table:
    """Measure LoRA and 4-bit QLoRA, in bf16 and fp32; LoRA in bf16 only when `quick`.

    Both train the embedded question banks' rows on the configured base, batch by batch the same.
    Raises FailedError where one of the two cannot train.
    """
    from ..data.identity_set.identity import make_identity_data
    from ..settings import TrainTable

    table: TrainTable = config.tables["train"]
    settings = [("lora", "bfloat16", 6)] if quick else [
        ("lora", "bfloat16", 10), ("lora", "float32", 6),
        ("qlora", "bfloat16", 5), ("qlora", "float32", 5),
    ]  # fmt: skip
    out = new_report(made_by)
    with tempfile.TemporaryDirectory(prefix="train-bench-") as folder:
        run = Run(Path(folder, "run"))
        rows = table.data.model_copy(update={"ordinary_ratio": 0.0})
        make_identity_data(config, run, rows, table.seed, report=report)
        prepared = prepare(config, run, report)
        for method, dtype, count in settings:
            name = f"{method} {dtype}"
            report(Progress(Text(f"Measuring: {name}", f"正在测量：{name}")))
            out.rows += _compare(prepared, method, dtype, count + WARM_UP, Path(folder, name))
    return out


def _compare(
    prepared: Prepared, method: str, dtype: str, iterations: int, work: Path
) -> Sequence[BenchRow]:
    work.mkdir()
    recipe = Recipe.model_validate(
        prepared.recipe.model_dump() | {"method": method, "device": "cpu"}
    )
    job = replace(
        prepared.job(), recipe=recipe, work=work, iterations=iterations, dtype=dtype,
        save_every=iterations, questions=(),
    )  # fmt: skip
    config = write_config(job)
    threads = environment(job, prepared.machine.cores)
    _, ours = _measured(command(job, config), threads)
    said, theirs = _measured(
        [sys.executable, "-m", "train.bench.plain", str(config), dtype, str(iterations)], threads
    )
    plain = json.loads(said.splitlines()[-1])
    tokens = sum(plain["tokens"][WARM_UP:])
    seconds = sum(scalar.seconds for scalar in read_scalars(work)[WARM_UP:])
    name = f"training, {method} {dtype}"
    least = RATIO if (method, dtype) == ("lora", prepared.plan.dtype) else 1.0
    return [
        against(name, tokens / seconds, "tokens/s", "plain PEFT loop",
                tokens / sum(plain["seconds"][WARM_UP:]), f"ratio ≥ {least}",
                lambda ratio: ratio >= least),
        against(f"{name}, peak memory", ours / 1e6, "MB", "plain PEFT loop", theirs / 1e6),
    ]  # fmt: skip


def _measured(line: Sequence[str], environ: dict[str, str]) -> tuple[str, int]:
    """Run to the end: what it printed, and its peak resident memory in bytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(line, stdout=out, stderr=errors, env=environ)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            end = errors.read()[-SHOWN:]
            raise FailedError(Text(f"{line[2]} failed: {end}", f"{line[2]} 失败：{end}"))
        return out.read(), used.ru_maxrss * 1024
