"""Merged weights against base + adapter, tensor by tensor, in steps of their own numbers.

A merged weight is a sum rounded to the dtype it is stored in, so it may differ from the exact sum
by one step of that dtype and no more: half a step for rounding the sum, half for rounding what
the adapter adds. Besides, what it adds is a sum of products in fp32, in whatever order, which is off
by up to gamma_n = n u / (1 - n u) times the sum of the products' sizes (n = r + 1 roundings: r products
added up and scaled; u = 2^-24; Higham, Accuracy and Stability of Numerical Algorithms, 3.1): much where
the products cancel and the base's own weight is nothing. Whatever differs more was not made by this merge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.records.check_report import WeightsCheck

from ..trainer.adapter import ADAPTER_WEIGHTS

if TYPE_CHECKING:
    import torch

ALLOWED_STEPS = 1.01
_UNIT = 2.0**-24  # fp32's unit roundoff
_PREFIX = "base_model.model."
_SHOWN = 5


def check_weights(base: Path, adapter: Path, merged: Path) -> WeightsCheck:
    """Compare all tensors of `merged` with what `base` and `adapter` give.

    `adapter` without PEFT weights is a whole model (a full fine-tune): then all must be equal.
    """
    import torch

    whole = not (adapter / ADAPTER_WEIGHTS).is_file()
    with ExitStack() as stack:
        before, after = _open(adapter if whole else base, stack), _open(merged, stack)
        deltas = {} if whole else _Deltas(adapter, stack).by_target()
        unexplained = sorted((set(before) ^ set(after)) - _tied(merged))
        unexplained += [f"adapter: {name}" for name in deltas if name not in before]
        worst = 0.0
        for name in sorted(set(before) & set(after)):
            old, new = before[name](), after[name]()
            if old.shape != new.shape or old.dtype != new.dtype:
                unexplained.append(name)
                continue
            if name in deltas:
                delta, slack = deltas[name]()
                steps = _steps(old, delta, slack, new)
            else:
                steps = 0.0 if torch.equal(old, new) else math.inf
            if steps <= ALLOWED_STEPS:
                worst = max(worst, steps)
            else:  # NaN too
                unexplained.append(name)
    return WeightsCheck(
        tensors=len(after),
        adapted=len(deltas),
        max_rounding_steps=worst,
        allowed_steps=ALLOWED_STEPS,
        unexplained_tensors=len(unexplained),
        unexplained=unexplained[:_SHOWN],
        proven=not unexplained,
    )


def _steps(old: torch.Tensor, delta: torch.Tensor, slack: torch.Tensor, new: torch.Tensor) -> float:
    """The largest distance of `new` from `old + delta` beyond `slack`, in steps of its dtype at that
    size."""
    import torch

    exact = old.double() + delta
    size = torch.maximum(torch.maximum(old.double().abs(), delta.abs()), new.double().abs())
    info = torch.finfo(new.dtype)
    step = torch.exp2(torch.floor(torch.log2(size.clamp_min(info.tiny)))) * info.eps
    return float((((new.double() - exact).abs() - slack).clamp_min(0) / step).max())


def _open(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Readers of all tensors of a model folder, by name; nothing is read yet."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        opened = stack.enter_context(safe_open(file, framework="pt"))
        for name in opened.keys():  # noqa: SIM118  (safe_open is no mapping)
            found[name] = lambda opened=opened, name=name: opened.get_tensor(name)
    return found


def _tied(folder: Path) -> set[str]:
    """Names that a model with tied embeddings may leave out."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {"lm_head.weight"} if config.get("tie_word_embeddings") else set()


class _Deltas:
    """What a PEFT LoRA adapter adds to each weight."""

    def __init__(self, adapter: Path, stack: ExitStack):
        self._tensors = _open(adapter, stack)
        self._config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))

    def by_target(self) -> dict[str, Any]:
        """Weight name -> a function that computes its delta in fp64, and by how much one in fp32 may
        be off."""
        return dict(self._named())

    def _named(self) -> Iterator[tuple[str, Any]]:
        for name in self._tensors:
            place, kind, _ = name.removeprefix(_PREFIX).partition(".lora_A.")
            if kind:
                yield f"{place}.weight", lambda name=name: self._delta(name)
            elif ".lora_B." not in name:
                yield name, None  # of no kind known here: stays unexplained

    def _delta(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        down = self._tensors[name]().double()
        up = self._tensors[name.replace(".lora_A.", ".lora_B.")]().double()
        rank = down.shape[0]
        scale = self._config["lora_alpha"] / (
            math.sqrt(rank) if self._config.get("use_rslora") else rank
        )
        roundings = (rank + 1) * _UNIT
        gamma = roundings / (1 - roundings)
        return scale * (up @ down), scale * gamma * (up.abs() @ down.abs())
