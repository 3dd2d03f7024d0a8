"""The tokenizer of a model folder as GGUF's fields: byte-level BPE alone, told by its own file.

llama.cpp splits text by a rule of a name (`tokenizer.ggml.pre`); a wrong name gives other tokens
without a word, so a rule that is not known to be the same is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import UsageError
from assistant.words import Text

from .architectures import CONVERTER

if TYPE_CHECKING:
    import gguf

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's token types
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    _LETTERS + r"\p{N}" + _REST: "qwen2",
    _LETTERS + r"\p{N}{1,3}" + _REST: "llama-bpe",
}


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF says of a tokenizer. `ends` are the ids that end an answer, the tokenizer's first."""

    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    bos: int | None
    ends: tuple[int, ...]
    pad: int | None
    unknown: int | None
    adds_bos: bool

    def text(self, token: int) -> str:
        return self.tokens[token]


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """Read tokenizer.json and what stands beside it; `size` is the model's count of tokens.

    Raises UsageError for a tokenizer that llama.cpp would read otherwise.
    """
    file = folder / "tokenizer.json"
    described = _object(file)
    if not described:
        raise UsageError(
            Text(f"{file} is missing or cannot be read.", f"{file} 缺失或无法读取。"),
            Text("Merge again: python -m train merge --force", "请重新合并：python -m train merge --force"),
        )  # fmt: skip
    pre = _splitter(described)
    if pre is None:
        raise _unknown(file)
    model = described["model"]
    words = {number: word for word, number in model["vocab"].items()}
    added = {entry["id"]: entry for entry in described["added_tokens"]}
    size = max(size, max(words) + 1, max(added, default=0) + 1)
    ids = {**model["vocab"], **{entry["content"]: number for number, entry in added.items()}}
    tokens, types = [], []
    for number in range(size):
        entry = added.get(number)
        tokens.append(entry["content"] if entry else words.get(number, f"[PAD{number}]"))
        types.append(
            (CONTROL if entry["special"] else USER_DEFINED)
            if entry
            else (NORMAL if number in words else UNUSED)
        )
    config = _object(folder / "tokenizer_config.json")

    def identifier(name: str) -> int | None:
        word = config.get(f"{name}_token")
        content = word["content"] if isinstance(word, Mapping) else word
        return None if content is None else ids.get(content)

    bos = identifier("bos")
    return Vocabulary(
        pre, tuple(tokens), tuple(types),
        tuple(one if isinstance(one, str) else " ".join(one) for one in model["merges"]),
        bos, _ends(folder, identifier("eos")), identifier("pad"), identifier("unk"),
        adds_bos=bos is not None and tokens[bos] == _first_added(described.get("post_processor")),
    )  # fmt: skip


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write the tokenizer's fields."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.types))
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(vocabulary.adds_bos)
    if vocabulary.bos is not None:
        writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.ends[0])
    writer.add_eot_token_id(vocabulary.ends[0])
    if vocabulary.pad is not None:
        writer.add_pad_token_id(vocabulary.pad)
    if vocabulary.unknown is not None:
        writer.add_unk_token_id(vocabulary.unknown)


def _ends(folder: Path, eos: int | None) -> tuple[int, ...]:
    stated = _object(folder / "generation_config.json").get("eos_token_id")
    many = stated if isinstance(stated, list) else [stated]
    found = tuple(dict.fromkeys(one for one in (eos, *many) if one is not None))
    if found:
        return found
    raise UsageError(
        Text(f"{folder} names no token that ends an answer.", f"{folder} 没有指明结束回答的 token。"),
        Text("Its tokenizer_config.json must give eos_token.", "它的 tokenizer_config.json 应写明 eos_token。"),
    )  # fmt: skip


def _splitter(described: Mapping[str, Any]) -> str | None:
    """llama.cpp's name of the rule by which tokenizer.json splits text; None where it has none."""
    model, steps = described["model"], _steps(described.get("pre_tokenizer"))
    if model.get("type") != "BPE" or model.get("byte_fallback") or not steps:
        return None
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    normalizer = (described.get("normalizer") or {}).get("type")
    before, regex = steps[:-1], last.get("use_regex", True)
    if not before and regex and normalizer is None:
        return "gpt-2"
    if len(before) != 1:
        return None
    first = before[0]
    if first.get("type") == "Digits" and first.get("individual_digits") and regex:
        return "smollm" if normalizer is None else None
    if first.get("type") != "Split" or regex or first.get("behavior") != "Isolated":
        return None
    name = _SPLITS.get((first.get("pattern") or {}).get("Regex", ""))
    whole_words = bool(model.get("ignore_merges"))  # llama.cpp looks words up whole for this one
    if name == "llama-bpe" and whole_words and normalizer is None:
        return name
    return name if name == "qwen2" and not whole_words and normalizer in ("NFC", None) else None


def _first_added(processor: Mapping[str, Any] | None) -> str | None:
    """The special token that the tokenizer puts before a text by itself; None for none."""
    if processor is None:
        return None
    if processor.get("type") == "Sequence":
        found = (_first_added(one) for one in processor["processors"])
        return next((one for one in found if one is not None), None)
    first = (processor.get("single") or [{}])[0]
    return (first.get("SpecialToken") or {}).get("id")


def _steps(step: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if step is None:
        return []
    return list(step["pretokenizers"]) if step.get("type") == "Sequence" else [step]


def _unknown(file: Path) -> UsageError:
    return UsageError(
        Text(f"{file} splits text in a way that llama.cpp is not known to share: known are the tokenizers of "
             "SmolLM, Qwen2, Qwen3, Llama 3 and GPT-2.",
             f"不能确认 llama.cpp 会与 {file} 一样切分文本：已知的有 SmolLM、Qwen2、Qwen3、Llama 3 和 GPT-2 的分词器。"),
        Text(f"llama.cpp's own converter knows more: {CONVERTER}; the merged folder is what it reads.",
             f"llama.cpp 自带的转换工具支持更多：{CONVERTER}；它读的就是合并后的文件夹。"),
    )  # fmt: skip


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
