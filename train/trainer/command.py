"""The command and environment that start XTuner for a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..recipes import Recipe
from .config import Job

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


def environment(cores: int) -> dict[str, str]:
    """Return the child's environment: this kit importable, and threads that spin between a layer's
    many short parallel parts, unless the user set another OpenMP policy or number of threads. On
    virtual machines waking a sleeping thread takes as long as the part itself: waiting instead
    (PASSIVE) halved the tokens a second."""
    paths = [str(KIT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY") or "ACTIVE",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(cores),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "ASSISTANT_TRAINING_WATCHED": "1",  # the child ends when this process does
    }
