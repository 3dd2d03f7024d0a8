"""Recipes as data: how to train on which hardware. `auto` is a rule, not a file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field

from assistant.config import Label, Table
from assistant.errors import BlockedError
from assistant.toml_file import shipped_toml
from assistant.words import Text

from ..base.machine import Machine
from ..base.size import Size
from ..settings import RecipeName, TrainTable

Method = Literal["lora", "qlora", "full"]
Device = Literal["cpu", "cuda"]

GIB = 1 << 30
LORA_TARGETS = "all-linear"
ROOMY = 0.85  # of a GPU's memory: what training may plan with


class Recipe(Table):
    """How to train. A `qlora` recipe holds the base in NF4 with double quantisation."""

    name: RecipeName
    label: Label
    needs: Label
    device: Device
    method: Method
    learning_rate: Annotated[float, Field(gt=0)]
    epochs: Annotated[float, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=0)]
    max_length: Annotated[int, Field(gt=0)]
    gradient_checkpointing: bool
    lora_rank: Annotated[int, Field(gt=0)] = 16
    lora_alpha: Annotated[int, Field(gt=0)] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lora_layers: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of the layers, the last ones
    accumulation: Annotated[int, Field(gt=0)] = 1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    zero_stage: Literal[0, 2, 3] = 0
    gpus: Annotated[int, Field(gt=0)] = 1
    nodes: Annotated[int, Field(gt=0)] = 1
    steps: int | None = None  # instead of epochs
    save_every: int | None = None  # optimiser steps; None: five times in a run

    @property
    def rows_per_step(self) -> int:
        """Samples that one optimiser step learns from, over all GPUs."""
        return self.batch_size * self.accumulation * self.gpus * self.nodes


@cache
def all_recipes() -> dict[str, Recipe]:
    """Every recipe by its name, in the order of the hardware they ask for."""
    found = {}
    for name in ("cpu", "qlora-8gb", "qlora-24gb", "lora", "full-zero3"):
        text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
        found[name] = Recipe.model_validate({"name": name, **shipped_toml(text)})
    return found


def choose(table: TrainTable, machine: Machine, base: Size) -> tuple[Recipe, Text]:
    """The recipe that `[train]` names, with its changes, and why it is this one.

    Raises BlockedError where the recipe asks for a GPU that is not there.
    """
    name, reason = (
        automatic(machine, base)
        if table.recipe == "auto"
        else (table.recipe, Text("named in [train]", "由 [train] 指定"))
    )
    recipe = all_recipes()[name]
    if recipe.device == "cuda" and not machine.gpus:
        if recipe.method == "full" or recipe.zero_stage:
            raise _no_gpu(name)
        recipe = recipe.model_copy(update={"device": "cpu", "gradient_checkpointing": False})
        reason = Text(
            reason.en + "; no GPU here, so on the processor, slowly",
            reason.zh + "；这里没有显卡，改在处理器上运行，会很慢",
        )
    wanted = table.changes() | {"nodes": table.nodes}
    recipe = recipe.model_copy(update=wanted)
    wants_many = recipe.gpus * recipe.nodes > 1 and recipe.device == "cuda"
    if wants_many and not recipe.zero_stage:
        recipe = recipe.model_copy(update={"zero_stage": 2})
    if recipe.device == "cpu":
        recipe = recipe.model_copy(update={"gpus": 1, "nodes": 1, "zero_stage": 0})
    elif recipe.gpus > len(machine.gpus):
        raise BlockedError(
            Text(
                f"Recipe {name} asks for {recipe.gpus} GPUs on this machine; it has "
                f"{len(machine.gpus)}.",
                f"配方 {name} 需要本机有 {recipe.gpus} 张显卡，实际有 {len(machine.gpus)} 张。",
            ),
            Text("Set [train] gpus, or another recipe.", "请设置 [train] gpus，或换一个配方。"),
        )
    return recipe, reason


def automatic(machine: Machine, base: Size | None) -> tuple[RecipeName, Text]:
    """The rule of `auto`: the least approximate recipe that the hardware holds. A `base` that is
    not known yet (None) is taken for one that only fits quantised."""
    if not machine.gpus:
        return "cpu", Text("no GPU on this machine", "本机没有显卡")
    memory = min(gpu.memory for gpu in machine.gpus)
    billions = f"{base.parameters / 1e9:.2g}B" if base else "?"
    said = f"{memory / GIB:.0f} GB"
    reason = Text(f"a base of {billions}, a GPU of {said}", f"基座 {billions}，显存 {said}")
    if base and base.parameters * 2 + 3 * GIB <= memory * ROOMY:
        return "lora", reason
    return ("qlora-24gb" if memory >= 20 * GIB else "qlora-8gb"), reason


def _no_gpu(name: str) -> BlockedError:
    return BlockedError(
        Text(f"Recipe {name} needs GPUs; none is here.", f"配方 {name} 需要显卡，这里没有。"),
        Text(
            'Set [train] recipe = "auto" (or "cpu").',
            '请设置 [train] recipe = "auto"（或 "cpu"）。',
        ),
    )
