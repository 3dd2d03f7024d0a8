"""Small model folders with the chat templates of the families that people bring; no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHATML_DEFAULT = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN25 = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + "
    "'<|im_end|>\n' }}{%- else %}{{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. "
    "You are a helpful assistant.<|im_end|>\n' }}{%- endif %}{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or "
    "message.role == 'assistant' %}{{- '<|im_start|>' + message.role + '\n' + message.content + "
    "'<|im_end|>' + '\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
INTERNLM2 = (
    "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# name -> architecture, template, BOS (None: the tokenizer has none), end token
FAMILIES = {
    "smollm2": ("LlamaForCausalLM", CHATML_DEFAULT, None, "<|im_end|>"),
    "qwen2.5": ("Qwen2ForCausalLM", QWEN25, None, "<|im_end|>"),
    "internlm2": ("InternLM2ForCausalLM", INTERNLM2, "<s>", "<|im_end|>"),
}
_MODEL_TYPES = {
    "LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2", "InternLM2ForCausalLM": "internlm2",
}  # fmt: skip


def chat_folder(folder: Path, family: str, context_length: int = 1024, **config: Any) -> Path:
    """`folder` with the config and the tokenizer of a small model of `family`.

    `config` adds to, or replaces in, its config.json.
    """
    architecture, template, bos, end = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder, template, bos, end)
    values = {
        "architectures": [architecture], "model_type": _MODEL_TYPES[architecture],
        "vocab_size": vocabulary, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": context_length, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "bias": False, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values | config), "utf-8")
    return folder


def _write_tokenizer(folder: Path, template: str, bos: str | None, end: str) -> int:
    """A byte-level tokenizer; with a BOS it adds that one by itself, as InternLM2's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [token for token in ("<unk>", bos, "<|im_start|>", end) if token]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["the capital of France is Paris", "你好，我是小贝", "tell me a very long story of rivers"]
        * 4,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=end, unk_token="<unk>",
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    fast.chat_template = template
    fast.save_pretrained(folder)
    return len(fast)
