"""The command and environment that start XTuner for a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from assistant.progress import Report, unreported

from ..recipes import Recipe
from .config import Job
from .waiting import waiting

CHILD = "train.trainer.child"
KIT = Path(__file__).resolve().parents[2]


def command(job: Job, config: Path, resume_from: Path | None = None) -> list[str]:
    """XTuner's train command for `job`: alone, or under torchrun for several GPUs or nodes.

    Other nodes are told by XTuner's own variables: NODE_RANK, ADDR and PORT.
    """
    recipe = job.recipe
    arguments = [str(config), "--work-dir", str(job.work)]
    if resume_from is not None:
        arguments += ["--resume", str(resume_from)]
    if recipe.zero_stage:
        arguments += ["--deepspeed", f"deepspeed_zero{recipe.zero_stage}"]
    if recipe.gpus * recipe.nodes == 1:
        return [sys.executable, "-m", CHILD, *arguments]
    return [*_torchrun(recipe), "-m", CHILD, *arguments, "--launcher", "pytorch"]


def _torchrun(recipe: Recipe) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run",
        f"--nnodes={recipe.nodes}",
        f"--node_rank={os.environ.get('NODE_RANK', '0')}",
        f"--nproc_per_node={recipe.gpus}",
        f"--master_addr={os.environ.get('ADDR', '127.0.0.1')}",
        f"--master_port={os.environ.get('PORT', '29501')}",
    ]  # fmt: skip


def threads_are_set() -> bool:
    """Whether the user chose the number of threads; then it is kept."""
    return bool(os.environ.get("OMP_NUM_THREADS"))


def environment(job: Job, cores: int, report: Report = unreported) -> dict[str, str]:
    """Return the child's environment: this kit importable, and on the processor as many threads as
    cores, which wait for each other as is quickest here, unless the user set either."""
    paths = [str(KIT), os.environ.get("PYTHONPATH", "")]
    waits = waiting(job.dtype, cores, report) if job.recipe.device == "cpu" else {}
    return (
        os.environ
        | {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(cores),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            "ASSISTANT_TRAINING_WATCHED": "1",  # the child ends when this process does
        }
        | waits
    )
