"""What of a model's size decides how it is served: read from its files, no weights loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import UsageError
from assistant.models.gguf import read_header
from assistant.words import Text

AWQ_GROUP = 128  # the group TurboMind reads: a 16-bit scale and a 4-bit zero for each group
AWQ_BITS = 4 + (16 + 4) / AWQ_GROUP


@dataclass(frozen=True)
class ModelShape:
    """`parameters` counts every weight; `embedding` those of the input table, `head` those of the
    output layer, which has none of its own where the two are tied."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    parameters: int
    embedding: int
    tied: bool

    def weight_bytes(self, bits: int) -> float:
        """Bytes of all weights. At 4 bits (AWQ) the embedding and the output layer stay at 16."""
        if bits == 16:
            return self.parameters * 2
        kept = self.embedding * (1 if self.tied else 2)
        return kept * 2 + (self.parameters - kept) * AWQ_BITS / 8

    def read_bytes(self, bits: int) -> float:
        """Bytes of weights that each decoding step reads: all but an input table that is not also
        the output layer (of that one row is read)."""
        return self.weight_bytes(bits) - (0 if self.tied else self.embedding * 2)

    def kv_bytes(self, bits: int = 16) -> float:
        """Bytes of the key and value cache for one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bits / 8

    def multiplied(self) -> int:
        """Weights that each token is multiplied with."""
        return self.parameters - (0 if self.tied else self.embedding)


def read_shape(path: Path) -> ModelShape:
    """The shape of a Hugging Face folder (its config.json is enough), a config.json or a GGUF.

    Parameters are counted from the weights' own headers where the weights lie there, else from
    the config. Raises UsageError where something needed is not said.
    """
    if path.suffix.lower() == ".gguf":
        return _of_gguf(path)
    file = path if path.is_file() else path / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError):
        raise UsageError(
            Text(f"{path} has no readable config.json.", f"{path} 没有可读的 config.json。"),
            Text("Name a model's folder, its config.json, or a .gguf file.",
                 "请指定模型文件夹、它的 config.json，或 .gguf 文件。"),
        ) from None  # fmt: skip
    config = config.get("text_config") or config
    number = _numbers(config, file)
    hidden, heads = number("hidden_size"), number("num_attention_heads")
    shape: dict[str, Any] = {
        "name": path.parent.name if path.is_file() else path.name,
        "layers": number("num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or hidden // heads,
        "context_length": number("max_position_embeddings"),
        "embedding": number("vocab_size") * hidden,
        "tied": bool(config.get("tie_word_embeddings", False)),
    }
    counted = _counted(file.parent)
    return ModelShape(
        **shape, parameters=counted or _parameters(shape, number("intermediate_size"))
    )


def _numbers(config: Mapping[str, Any], file: Path) -> Callable[[str], int]:
    def number(key: str) -> int:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
        raise UsageError(Text(f"{file} does not say {key}.", f"{file} 没有写明 {key}。"))

    return number


def _parameters(shape: Mapping[str, Any], intermediate: int) -> int:
    """Weights of a decoder of the Llama family (biases, a thousandth of them, are left out)."""
    hidden = shape["hidden"]
    attention = hidden * shape["head_dim"] * (2 * shape["heads"] + 2 * shape["kv_heads"])
    layer = attention + 3 * hidden * intermediate + 2 * hidden
    tables = shape["embedding"] * (1 if shape["tied"] else 2)
    return shape["layers"] * layer + tables + hidden


def _counted(folder: Path) -> int:
    """Weights by the headers of the safetensors files; 0 where there are none or they are packed
    (quantised: several weights in one number)."""
    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as source:
            header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
        header.pop("__metadata__", None)
        if any(tensor["dtype"] in ("I32", "U8", "I8") for tensor in header.values()):
            return 0
        count += sum(math.prod(tensor["shape"]) for tensor in header.values())
    return count


def _of_gguf(file: Path) -> ModelShape:
    header = read_header(file)
    architecture = header.texts.get("general.architecture", "")
    known = {
        key.removeprefix(f"{architecture}."): value
        for key, value in header.numbers.items()
        if key.startswith(f"{architecture}.")
    }
    number = _numbers(known, file)
    hidden, heads = number("embedding_length"), number("attention.head_count")
    layers = number("block_count")
    shape: dict[str, Any] = {
        "name": file.stem,
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": known.get("attention.head_count_kv") or heads,
        "head_dim": known.get("attention.key_length") or hidden // heads,
        "context_length": number("context_length"),
        "embedding": number("vocab_size") * hidden,
        # The header's reader keeps no names: beside the layers' tensors stand the input table and
        # the last norm, and an output layer only where it is not tied.
        "tied": (header.tensors - 2) % layers == 0,
    }
    return ModelShape(**shape, parameters=_parameters(shape, number("feed_forward_length")))
