"""The tokenizer inside a GGUF file, rebuilt from its own metadata.

transformers guesses a Llama tokenizer from the same file, which adds BOS and, saved and read by
another version, loses newlines and spaces without a word. Here the ids are those of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from assistant.errors import UsageError
from assistant.words import Text

if TYPE_CHECKING:
    from gguf import GGUFReader
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

CONTROL, USER_DEFINED = 3, 4  # llama.cpp's token types
KNOWN_SPLITTERS = ("smollm",)
PAD_PREFERENCE = ("<|endoftext|>", "<pad>", "<|pad|>", "[PAD]")


class Parts(NamedTuple):
    """What a tokenizer is made of."""

    backend: Tokenizer
    end: str
    pad: str
    chat_template: str | None


def read_tokenizer(reader: GGUFReader, name: str) -> PreTrainedTokenizerFast:
    """The tokenizer of the GGUF `name` with byte-level BPE, its chat template with it; it adds no BOS.

    Raises UsageError for a kind not known here.
    """
    from transformers import PreTrainedTokenizerFast

    def value(key: str) -> Any:
        field = reader.get_field(f"tokenizer.{key}")
        return None if field is None else field.contents()

    parts = read_parts(value, name)
    return PreTrainedTokenizerFast(
        tokenizer_object=parts.backend,
        eos_token=parts.end,
        pad_token=parts.pad,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        chat_template=parts.chat_template,
        model_max_length=_context_length(reader),
    )


def read_parts(value: Callable[[str], Any], name: str) -> Parts:
    """The parts of the tokenizer of the GGUF `name`; `value` gives the field `tokenizer.KEY`.

    Padding is never the end-of-turn token: labels of padding are masked, and a model whose
    end-of-turn is masked never learns to stop. Raises UsageError for a kind not known here.
    """
    kind, splitter = value("ggml.model"), value("ggml.pre")
    if kind != "gpt2" or splitter not in KNOWN_SPLITTERS:
        raise UsageError(
            Text(
                f"{name} has a {kind}/{splitter} tokenizer, which cannot be trained from GGUF.",
                f"{name} 的分词器是 {kind}/{splitter}，无法直接从 GGUF 训练。",
            ),
            Text(
                "Use the model's Hugging Face folder (safetensors) as [model] base.",
                "请用该模型的 Hugging Face 目录（safetensors）作为 [model] base。",
            ),
        )
    tokens: list[str] = value("ggml.tokens")
    types: list[int] = value("ggml.token_type")
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    added = [token for token, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED]
    end = tokens[value("ggml.eos_token_id")]
    pad = next((token for token in PAD_PREFERENCE if token in special and token != end), None)
    if pad is None:
        pad = next(token for token in special if token != end)
    backend = _byte_level_bpe(tokens, value("ggml.merges"), special, added)
    return Parts(backend, end, pad, value("chat_template"))


def _byte_level_bpe(
    tokens: list[str], merges: list[str], special: list[str], added: list[str]
) -> Tokenizer:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ", 1)) for merge in merges],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return tokenizer


def _context_length(reader: Any) -> int:
    architecture = reader.get_field("general.architecture").contents()
    return int(reader.get_field(f"{architecture}.context_length").contents())
