"""A merged model written as one GGUF file: sizes, tokenizer, template, identity, weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.config import SamplingTable
from assistant.errors import UsageError
from assistant.models.chat_template import chat_template
from assistant.models.gguf_writing import TensorToWrite, write_tensors
from assistant.models.local import open_local
from assistant.persona import PERSONA_FIELD, Persona
from assistant.progress import Report
from assistant.words import Text

from .architectures import CONVERTER, ModelConfig, add_shape, read_config
from .formats import Quant, kind_for, packed
from .safetensors import StoredTensor, read_tensors
from .template import with_own_system
from .tokenizer import Vocabulary, add_vocabulary, read_vocabulary

if TYPE_CHECKING:
    import gguf


@dataclass(frozen=True)
class Identity:
    """Who the model is, for the file's own fields."""

    persona: Persona
    licence: str = ""
    base: str = ""  # owner/name where others find it
    description: str = ""


@dataclass(frozen=True)
class Exportable:
    """A merged model read and found to be one that GGUF can hold; no weights are loaded."""

    folder: Path
    config: ModelConfig
    vocabulary: Vocabulary
    tensors: Mapping[str, StoredTensor]
    identity: Identity
    template: str  # with the persona's own system prompt where a conversation brings none

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        return tuple(self.vocabulary.text(token) for token in self.vocabulary.ends)


def read_model(folder: Path, identity: Identity) -> Exportable:
    """Read a merged model. Raises UsageError, by name, for what cannot be exported, and for one that is
    not whole."""
    config = read_config(folder)
    open_local(str(folder), folder)
    try:
        return _read(folder, config, identity)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            Text(f"{folder} cannot be read as a model ({reason}).", f"无法把 {folder} 作为模型读取（{reason}）。"),
            Text("Merge again: python -m train merge --force", "请重新合并：python -m train merge --force"),
        ) from error  # fmt: skip


def _read(folder: Path, config: ModelConfig, identity: Identity) -> Exportable:
    config.check_whole()
    vocabulary = read_vocabulary(folder, config.vocabulary)
    own = chat_template(folder)
    if not own:
        raise UsageError(
            Text(f"{folder} has no chat template.", f"{folder} 没有对话模板。"),
            Text("Merge again: python -m train merge --force", "请重新合并：python -m train merge --force"),
        )  # fmt: skip
    template = with_own_system(own, identity.persona.system(None), special_tokens(vocabulary))
    tensors = dict(_named(config, read_tensors(folder)))
    return Exportable(folder, config, vocabulary, tensors, identity, template)


def special_tokens(vocabulary: Vocabulary) -> dict[str, str]:
    """What a template may write by name."""
    bos = "" if vocabulary.bos is None else vocabulary.text(vocabulary.bos)
    return {"bos_token": bos, "eos_token": vocabulary.text(vocabulary.ends[0])}


def write_gguf(
    model: Exportable, quant: Quant, sampling: SamplingTable, file: Path, report: Report
) -> None:
    """Write `model` to `file`, one tensor in memory at a time."""
    import gguf

    layers = model.config.layers
    tensors = []
    for name, stored in model.tensors.items():
        kind = kind_for(quant, name, stored.shape, layers)
        tensors.append(
            TensorToWrite(
                name, stored.shape, kind, partial(_data, model.config, name, stored, kind)
            )
        )
    writer = gguf.GGUFWriter(file, model.config.architecture.name)
    _add_identity(writer, model)
    add_shape(writer, model.config)
    add_vocabulary(writer, model.vocabulary)
    writer.add_chat_template(model.template)
    writer.add_sampling_temp(sampling.temperature)
    writer.add_sampling_top_k(sampling.top_k)
    writer.add_sampling_top_p(sampling.top_p)
    writer.add_sampling_penalty_repeat(sampling.repetition_penalty)
    writer.add_file_type(gguf.LlamaFileType[quant.file_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    what = Text(f"Writing {quant.suffix}", f"写入 {quant.suffix}")
    write_tensors(writer, tensors, what, report)


def _add_identity(writer: gguf.GGUFWriter, model: Exportable) -> None:
    who = model.identity
    writer.add_type("model")
    writer.add_name(who.persona.name)
    writer.add_author(who.persona.author)
    writer.add_description(who.description or who.persona.system(None))
    writer.add_size_label(f"{model.parameters / 1e6:.0f}M" if model.parameters < 1e9
                          else f"{model.parameters / 1e9:.1f}B")  # fmt: skip
    if who.licence:
        writer.add_license(who.licence)
    writer.add_languages(list(who.persona.languages))
    if who.base:
        owner, _, name = who.base.partition("/")
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, name)
        writer.add_base_model_organization(0, owner)
        writer.add_base_model_repo_url(0, f"https://huggingface.co/{who.base}")
    writer.add_string(PERSONA_FIELD, who.persona.model_dump_json())


def _named(
    config: ModelConfig, tensors: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors by GGUF's names, in the model's own order."""
    import gguf

    architecture = next(
        one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == config.architecture.name
    )
    names = gguf.get_tensor_name_map(architecture, config.layers)
    for name, stored in tensors.items():
        if name == "lm_head.weight" and config.tied:
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise UsageError(
                Text(f"GGUF has no name for the tensor {name} of this model.", f"GGUF 里没有张量 {name} 的名称。"),
                Text(f"llama.cpp's own converter may know it: {CONVERTER}", f"可试 llama.cpp 自带的转换工具：{CONVERTER}"),
            )  # fmt: skip
        yield known, stored


def _data(
    config: ModelConfig, name: str, stored: StoredTensor, kind: gguf.GGMLQuantizationType
) -> Any:
    values = stored.read()
    part = name.split(".")[-2]
    if config.architecture.permuted and part in ("attn_q", "attn_k"):
        values = _permuted(values, config.heads if part == "attn_q" else config.key_heads)
    return packed(values, kind)


def _permuted(values: Any, heads: int) -> Any:
    """llama.cpp's order of rotary pairs: (heads, 2, half) to (heads, half, 2)."""
    import numpy as np

    half = values.shape[0] // heads // 2
    pairs = values.reshape(heads, 2, half, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
