"""How big a model is, read from the headers of its safetensors files; no tensor is loaded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Size:
    """Parameters in all and in linear layers, and the shape that memory depends on."""

    parameters: int
    linear: int  # those of the layers' matrices: what LoRA adapts and NF4 shrinks
    matrices: tuple[tuple[int, int], ...]  # the shapes of those matrices
    hidden: int
    layers: int
    vocabulary: int

    def adapter_parameters(self, rank: int) -> int:
        """Parameters of a LoRA adapter on all linear layers."""
        return sum(rank * (rows + columns) for rows, columns in self.matrices)


def measure(folder: Path) -> Size:
    """The size of a Hugging Face model folder."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shapes = {}
    for file in sorted(folder.glob("*.safetensors")):
        shapes.update(_shapes(file))
    matrices = tuple(
        (shape[0], shape[1])
        for name, shape in shapes.items()
        if len(shape) == 2 and ".layers." in name and name.endswith("weight")
    )
    return Size(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        linear=sum(rows * columns for rows, columns in matrices),
        matrices=matrices,
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        vocabulary=config["vocab_size"],
    )


def _shapes(file: Path) -> dict[str, list[int]]:
    """Tensor shapes from a safetensors header: eight bytes of length, then JSON."""
    with file.open("rb") as source:
        header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
