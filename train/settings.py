"""`[train]` of assistant.toml: the recipe, and what to change of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assistant.config import Table

from .check.settings import CheckTable
from .data.generating.settings import GenerateTable
from .data.settings import DataTable

RecipeName = Literal["auto", "cpu", "qlora-8gb", "qlora-24gb", "lora", "full-zero3"]

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, le=1)]


class TrainTable(Table):
    """`[train]`. Whatever is left out, the recipe says (`python -m train recipes`)."""

    recipe: RecipeName = "auto"
    data: DataTable = DataTable()
    check: CheckTable = CheckTable()
    generate: GenerateTable = GenerateTable()
    gpus: Positive | None = None
    nodes: Positive = 1
    seed: Annotated[int, Field(ge=0)] = 42
    style_rows: Positive = (
        20  # that carry a trigger: from so many on, training has taught the style
    )
    keep_checkpoints: Annotated[int, Field(ge=0)] = 0  # 0 keeps all: check picks the best
    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Positive | None = None
    learning_rate: Rate | None = None
    batch_size: Positive | None = None
    accumulation: Positive | None = None
    max_length: Annotated[int, Field(ge=32)] | None = None
    lora_rank: Positive | None = None
    lora_alpha: Positive | None = None
    lora_layers: Annotated[float, Field(gt=0, le=1)] | None = None
    save_every: Positive | None = None
    gradient_checkpointing: bool | None = None
    zero_stage: Literal[0, 2, 3] | None = None

    def changes(self) -> dict[str, object]:
        """What the person set that the recipe also says."""
        own = {
            "recipe", "data", "check", "generate", "nodes", "seed", "style_rows", "keep_checkpoints",
        }  # fmt: skip
        return {
            name: value for name, value in self.model_dump(exclude=own).items() if value is not None
        }
