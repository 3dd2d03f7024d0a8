"""What the CPU engine can read: an OpenVINO export, a GGUF, or a folder that is exported once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ...artifacts import OPENVINO_FOLDER, fingerprint, one_builder
from ...errors import EngineError
from ...models import home
from ...models.gguf import parts, read_header
from ...models.local import LocalModel
from ...progress import Report
from ...words import Text
from ..packed import refuse_packed
from .export import export
from .gguf_repack import is_exact, repack

OPENVINO_MODEL = "openvino_model.xml"
# Whose GGUFs OpenVINO GenAI builds a model from; of any other it says "Unsupported architecture".
GGUF_ARCHITECTURES = frozenset(("llama", "qwen2", "qwen3"))


@dataclass(frozen=True)
class Readable:
    """Weights that OpenVINO GenAI opens, and how many tokens they read at most."""

    path: Path
    context_length: int


def openvino_weights(model: LocalModel, report: Report) -> Readable:
    """Weights of `model` that OpenVINO reads; what must be converted is converted once and kept.

    Raises EngineError("unavailable") where the tools for that are not installed, BlockedError
    where the disk is full.
    """
    if model.format == "gguf":
        return Readable(_exact_gguf(model.path, report), gguf_context_length(model.path))
    folder = _openvino_folder(model, report)
    return Readable(folder, folder_context_length(folder))


def reads(model: LocalModel) -> bool:
    """Whether OpenVINO reads `model` at all, as it is or converted."""
    if model.format != "gguf":
        return True
    return read_header(model.path).texts.get("general.architecture") in GGUF_ARCHITECTURES


def _openvino_folder(model: LocalModel, report: Report) -> Path:
    if model.format == "openvino":
        return model.path
    beside = model.path / OPENVINO_FOLDER
    if (beside / OPENVINO_MODEL).is_file():
        return beside
    if model.format == "adapter":
        raise EngineError(
            "unavailable",
            Text(f"{model.path} is an adapter: it cannot talk without its base.",
                 f"{model.path} 是 adapter：没有基座不能对话。"),
            Text("Make it ready: python -m train fit --resume --adapter-only - or merge it: "
                 "python -m train merge",
                 "请先准备：python -m train fit --resume --adapter-only；或合并：python -m train merge"),
        )  # fmt: skip
    refuse_packed(model)
    exported = _kept(model.path)
    with one_builder(exported) as missing:
        if missing:
            export(model.path, exported, report)
    return exported


def _exact_gguf(source: Path, report: Report) -> Path:
    if is_exact(source):
        return source
    kept = _kept(source)
    repacked = kept.with_name(kept.name + ".gguf")  # with_suffix would cut "x.Q4_1-…" at its dot
    with one_builder(repacked) as missing:
        if missing:
            repack(source, repacked, report)
    return repacked


def _kept(source: Path) -> Path:
    known = [fingerprint(part) for part in parts(source)]
    one = known[0] if len(known) == 1 else hashlib.sha256("".join(known).encode()).hexdigest()[:16]
    return home() / "converted" / f"{source.stem}-{one}"


def gguf_context_length(file: Path) -> int:
    """`<architecture>.context_length` of a GGUF's header, in tokens."""
    header = read_header(file)
    architecture = header.texts.get("general.architecture", "")
    return _known(header.numbers.get(f"{architecture}.context_length"), file)


def folder_context_length(folder: Path) -> int:
    """`max_position_embeddings` of a folder's config.json, in tokens."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        config = {}
    return _known(config.get("max_position_embeddings"), folder)


def _known(length: object, where: Path) -> int:
    if isinstance(length, int) and length > 0:
        return length
    raise EngineError(
        "unavailable",
        Text(f"{where} does not say how many tokens it can read.", f"{where} 没有说明上下文长度。"),
        Text("Its config.json must give max_position_embeddings.",
             "它的 config.json 应写明 max_position_embeddings。"),
    )  # fmt: skip
