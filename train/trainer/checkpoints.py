"""The checkpoints of a run's work folder: which are there, whole, and what weights they hold."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESUME_POINTS = 2  # kept, so that one is whole while the next is being written
_NAME = re.compile(r"iter_(\d+)\.pth$")
_RESUME_NAME = re.compile(r"resume_(\d+)\.pth$")


@dataclass(frozen=True)
class Checkpoint:
    """One saved state: the iteration it was saved after, and its file (a folder by DeepSpeed)."""

    iteration: int
    path: Path


def checkpoints(work: Path) -> list[Checkpoint]:
    """The whole checkpoints of a work folder, oldest first; half-written ones are left out."""
    return _found(work, _NAME)


def resume_points(work: Path) -> list[Checkpoint]:
    """The points saved by time, oldest first: to go on from, not to choose from."""
    return _found(work, _RESUME_NAME)


def resume_name(iteration: int) -> str:
    """The file name of the point saved after `iteration`."""
    return f"resume_{iteration}.pth"


def last_saved(work: Path) -> Checkpoint | None:
    """Where a run goes on: the last whole checkpoint or point; None before the first."""
    return max(
        [*checkpoints(work), *resume_points(work)], key=lambda one: one.iteration, default=None
    )


def _found(work: Path, name: re.Pattern[str]) -> list[Checkpoint]:
    found = [
        Checkpoint(int(match[1]), path)
        for path in work.glob("*.pth")
        if (match := name.match(path.name)) and _whole(path)
    ]
    return sorted(found, key=lambda one: one.iteration)


def _whole(path: Path) -> bool:
    """torch writes a zip whose directory comes last: it is there only if all the rest is."""
    if path.is_dir():
        return any(path.rglob("*model_states.pt"))
    return zipfile.is_zipfile(path)


def trained_weights(path: Path) -> dict[str, Any]:
    """The trained tensors of a checkpoint by name, read without running anything it holds.

    A DeepSpeed folder is put together by XTuner's own reader.
    """
    import torch

    if path.is_dir():
        from .xtuner_patches import mend

        mend()
        from xtuner.model.utils import guess_load_checkpoint

        return dict(guess_load_checkpoint(str(path)))
    state = torch.load(path, map_location="cpu", weights_only=True)
    return dict(state["state_dict"])
