"""Which models can be exported, and how GGUF calls what their config.json says.

Each of these was loaded by llama.cpp and answered as transformers does (tests/deploy/test_deploy_export.py);
of any other it is said that it was not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import UsageError
from assistant.words import Text

if TYPE_CHECKING:
    import gguf

CONVERTER = "https://github.com/ggml-org/llama.cpp (convert_hf_to_gguf.py)"
DEFAULT_THETA = 10000.0


@dataclass(frozen=True)
class Architecture:
    """GGUF's name, and whether its query and key rows are in another order (rotary pairs)."""

    name: str
    permuted: bool


ARCHITECTURES = {
    "LlamaForCausalLM": Architecture("llama", True),
    "Qwen2ForCausalLM": Architecture("qwen2", False),
    "Qwen3ForCausalLM": Architecture("qwen3", False),
}


@dataclass(frozen=True)
class ModelConfig:
    """The parts of config.json that the export reads."""

    values: Mapping[str, Any]
    architecture: Architecture

    def check_whole(self) -> None:
        """Raise KeyError, TypeError or ValueError where a size is missing or is no number."""
        for name in ("hidden_size", "intermediate_size"):
            int(self.values[name])
        float(self.values["rms_norm_eps"])
        if 0 in (self.heads, self.key_heads, self.layers, self.vocabulary, self.context_length):
            raise ValueError("a size is 0")

    @property
    def heads(self) -> int:
        return int(self.values["num_attention_heads"])

    @property
    def key_heads(self) -> int:
        return int(self.values.get("num_key_value_heads") or self.heads)

    @property
    def head_size(self) -> int:
        return int(self.values.get("head_dim") or self.values["hidden_size"] // self.heads)

    @property
    def layers(self) -> int:
        return int(self.values["num_hidden_layers"])

    @property
    def vocabulary(self) -> int:
        return int(self.values["vocab_size"])

    @property
    def context_length(self) -> int:
        return int(self.values["max_position_embeddings"])

    @property
    def tied(self) -> bool:
        """Whether the output layer is the embedding."""
        return bool(self.values.get("tie_word_embeddings"))

    @property
    def rope(self) -> Mapping[str, Any]:
        """Rotary settings, in the words of transformers 5 or of 4."""
        stated = self.values.get("rope_parameters") or self.values.get("rope_scaling") or {}
        theta = stated.get("rope_theta") or self.values.get("rope_theta") or DEFAULT_THETA
        kind = stated.get("rope_type") or stated.get("type") or "default"
        return {**stated, "rope_theta": float(theta), "rope_type": kind}


def read_config(folder: Path) -> ModelConfig:
    """The config.json of a merged model. Raises UsageError, by name, for what cannot be exported."""
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        raise UsageError(
            Text(f"Nothing to export: {folder} has no config.json that can be read.",
                 f"没有可导出的模型：{folder} 没有可读的 config.json。"),
            Text("Train and merge first: python -m train all", "请先训练并合并：python -m train all"),
        ) from None  # fmt: skip
    if how := (values.get("quantization_config") or {}).get("quant_method"):
        raise UsageError(
            Text(f"{folder} is quantised already ({how}): a GGUF of it would lose twice.",
                 f"{folder} 已经量化过（{how}）：再转成 GGUF 会损失两次。"),
            Text("Export the 16-bit run that it was made from: python -m deploy export RUN",
                 "请导出量化之前的 16 位运行：python -m deploy export 运行名"),
        )  # fmt: skip
    named = str((values.get("architectures") or ["?"])[0])
    architecture = ARCHITECTURES.get(named)
    if architecture is None:
        raise _unknown(
            f"{named}", f"known are {', '.join(ARCHITECTURES)}", f"已知：{'、'.join(ARCHITECTURES)}"
        )
    config = ModelConfig(values, architecture)
    if config.rope["rope_type"] != "default":
        kind = config.rope["rope_type"]
        raise _unknown(f"{named} with rope_type {kind!r}", "only the plain rotary embedding is",
                       "只支持普通的旋转位置编码")  # fmt: skip
    if values.get("use_sliding_window"):
        raise _unknown(
            f"{named} with a sliding window", "only full attention is", "只支持完整注意力"
        )
    return config


def _unknown(what: str, en: str, zh: str) -> UsageError:
    return UsageError(
        Text(f"{what} cannot be exported to GGUF here: {en}.", f"这里不能把 {what} 导出为 GGUF：{zh}。"),
        Text(f"llama.cpp's own converter knows more: {CONVERTER}; the merged folder is what it reads.",
             f"llama.cpp 自带的转换工具支持更多：{CONVERTER}；它读的就是合并后的文件夹。"),
    )  # fmt: skip


def add_shape(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    """Write the model's sizes as llama.cpp reads them."""
    values = config.values
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(values["hidden_size"])
    writer.add_feed_forward_length(values["intermediate_size"])
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.key_heads)
    writer.add_rope_freq_base(config.rope["rope_theta"])
    writer.add_layer_norm_rms_eps(values["rms_norm_eps"])
    writer.add_vocab_size(config.vocabulary)
    writer.add_rope_dimension_count(config.head_size)
    if values.get("head_dim"):  # it need not be hidden_size / heads
        writer.add_key_length(config.head_size)
        writer.add_value_length(config.head_size)
