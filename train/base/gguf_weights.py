"""The weights inside a Llama-family GGUF file, back in full precision under their usual names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assistant.errors import UsageError
from assistant.words import Text

if TYPE_CHECKING:
    from gguf import GGUFReader

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def read_config(reader: GGUFReader, name: str) -> dict[str, Any]:
    """The `config.json` of the model in the GGUF `name`. Raises UsageError unless it is a Llama."""
    named = reader.get_field("general.architecture")
    architecture = named.contents() if named else "unknown"
    if architecture != "llama":
        raise UsageError(
            Text(
                f"{name} is of the {architecture} family, which cannot be trained from GGUF.",
                f"{name} 属于 {architecture} 系列，无法直接从 GGUF 训练。",
            ),
            Text(
                "Use the model's Hugging Face folder (safetensors) as [model] base.",
                "请用该模型的 Hugging Face 目录（safetensors）作为 [model] base。",
            ),
        )

    def value(key: str) -> Any:
        field = reader.get_field(f"llama.{key}")
        return None if field is None else field.contents()

    heads = value("attention.head_count")
    hidden = value("embedding_length")
    theta = float(value("rope.freq_base") or 10000.0)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "head_dim": value("rope.dimension_count") or hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": value("feed_forward_length"),
        "max_position_embeddings": value("context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": value("block_count"),
        "num_key_value_heads": value("attention.head_count_kv") or heads,
        "rms_norm_eps": round(float(value("attention.layer_norm_rms_epsilon")), 9),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "vocab_size": value("vocab_size"),
    }


def read_weights(reader: GGUFReader, config: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a GGUF in bf16 under transformers' names."""
    import gguf
    import torch

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    weights = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        name = TOP_NAMES.get(tensor.name)
        if name is None:
            _, layer, kind, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{LAYER_NAMES[kind]}.weight"
            if kind in heads:
                values = _unpermuted(values, heads[kind])
        weights[name] = torch.from_numpy(values.copy()).to(torch.bfloat16)
    return weights


def _unpermuted(values: Any, heads: int) -> Any:
    """Undo llama.cpp's order of rotary pairs: (heads, half, 2) back to (heads, 2, half)."""
    half = values.shape[0] // heads // 2
    pairs = values.reshape(heads, half, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
