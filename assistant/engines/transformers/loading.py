"""What transformers reads: a folder with safetensors, put where it will compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...libraries import installing
from ...models.local import LocalModel
from ...transformers_import import import_transformers
from ...words import Text
from ..base import no_chat_template
from ..packed import refuse_packed
from . import zero_gpu
from .tokens import Made, Order, TokenMaker

READABLE = "hf"  # the one format of `LocalModel` that is read here


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to make tokens; `ends` are those that end an answer."""

    tokenizer: Any
    make: Callable[[Order], Iterator[Made]]
    ends: frozenset[int]
    device: str
    precision: str


def weights_folder(model: LocalModel) -> Path:
    """The folder that is read. Raises EngineError("unavailable") for other formats."""
    if model.format == READABLE:
        refuse_packed(model)
        return model.path
    raise EngineError(
        "unavailable",
        Text(f"The transformers engine does not read {model.format} weights.",
             f"transformers 引擎不能读取 {model.format} 权重。"),
        Text("Name a Hugging Face folder with *.safetensors, such as a merged model; for others: --engine cpu",
             "请使用带 *.safetensors 的 Hugging Face 目录，例如合并后的模型；其他格式请用 --engine cpu"),
    )  # fmt: skip


def load(weights: Path, name: str) -> Loaded:
    """The model in the folder `weights`, on the GPU where there is one.

    On ZeroGPU before the page is opened: what is put on the GPU later does not get there. Raises
    EngineError("unavailable").
    """
    tokenizer, model = _read(weights)
    if not tokenizer.chat_template:
        raise no_chat_template(name)
    ends = _end_tokens(tokenizer, model)
    model.generation_config = type(model.generation_config)()  # its own sampling is not asked
    return Loaded(
        tokenizer,
        zero_gpu.on_gpu(TokenMaker(model, ends)),
        ends,
        _device_name(model),
        str(model.dtype).removeprefix("torch."),
    )


def _read(weights: Path) -> tuple[Any, Any]:
    """Tokenizer and model. No code of theirs is run, no pickle read, nothing downloaded."""
    if zero_gpu.here():
        zero_gpu.stand_in()  # before the weights are read
    try:
        import_transformers()
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise EngineError(
            "unavailable",
            Text(f"transformers with PyTorch is not installed: {error}.",
                 f"没有安装 transformers 和 PyTorch：{error}。"),
            installing("transformers"),
        ) from None  # fmt: skip
    device = "cuda" if torch.cuda.is_available() else "cpu"
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(weights), **safe)
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(weights),
            use_safetensors=True,
            # Few processors compute in bfloat16 as fast as in full precision.
            dtype="auto" if device == "cuda" else torch.float32,
            **safe,
        )
        return tokenizer, model.to(device).eval()
    except Exception as error:  # whatever transformers finds wrong with them
        raise EngineError(
            "unavailable",
            Text(f"transformers cannot load {weights}: {error}",
                 f"transformers 无法加载 {weights}：{error}"),
            Text("If a file was cut or changed, fetch it again; see: python -m assistant models",
                 "若文件不完整或被改动，请重新下载；参见：python -m assistant models"),
        ) from error  # fmt: skip


def _end_tokens(tokenizer: Any, model: Any) -> frozenset[int]:
    """The tokens that end an answer: the tokenizer's, and those of generation_config.json."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*named, tokenizer.eos_token_id) if token is not None)


def _device_name(model: Any) -> str:
    if zero_gpu.here():
        return "ZeroGPU"
    if model.device.type != "cuda":
        return "CPU"
    import torch

    return str(torch.cuda.get_device_name(model.device))
