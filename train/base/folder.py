"""The base model as training needs it: a full-precision Hugging Face folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.artifacts import (
    Manifest,
    library_versions,
    now,
    one_builder,
    sha256_of,
    whole_folder,
    write_manifest,
)
from assistant.errors import UsageError
from assistant.models import LocalModel, home
from assistant.models.chat_template import chat_template
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

if TYPE_CHECKING:
    from gguf import GGUFReader

FORMAT = 1  # of converted folders; counted up when what is written changes
PLAIN_FOLDER = {"model.safetensors", "model.safetensors.index.json"}


@dataclass(frozen=True)
class TrainingBase:
    """A Hugging Face folder with full-precision weights, and where it came from."""

    folder: Path
    reference: str  # as the person wrote it, or what others may be told
    revision: str = ""
    licence: str = ""

    @property
    def public_reference(self) -> str:
        """What may stand in published files: the reference, but never a path of this machine."""
        return self.reference if ":" in self.reference else Path(self.reference).name


def prepare_base(
    model: LocalModel, report: Report = unreported, cache: Path | None = None
) -> TrainingBase:
    """The folder to train from. A GGUF file is converted once and kept; a folder is used as it is.

    Raises UsageError for a base without weights, tokenizer or chat template.
    """
    if model.format == "hf":
        folder = model.path
    elif model.format == "gguf":
        folder = converted_folder(model, cache)
        with one_builder(folder) as missing:
            if missing:
                _convert(model, folder, report)
    else:
        raise UsageError(
            Text(
                f"{model.reference} is a model in {model.format} format; training needs the "
                "full-precision Hugging Face folder.",
                f"{model.reference} 是 {model.format} 格式；训练需要全精度的 Hugging Face 目录。",
            ),
            Text(
                "Name that folder or its hub reference as [model] base.",
                "请把该目录或其仓库引用写在 [model] base。",
            ),
        )
    check_base(folder)
    return TrainingBase(folder, model.reference, model.revision, model.licence)


def check_base(folder: Path) -> None:
    """Raise UsageError unless `folder` holds a chat model in full precision."""
    config = _json(folder / "config.json")
    if config is None or not any((folder / name).is_file() for name in PLAIN_FOLDER):
        raise UsageError(
            Text(
                f"{folder} is not a Hugging Face model folder with safetensors weights.",
                f"{folder} 不是带 safetensors 权重的 Hugging Face 模型目录。",
            )
        )
    if "quantization_config" in config:
        raise UsageError(
            Text(
                f"{folder} holds quantised weights: merging onto them would lose the identity.",
                f"{folder} 里是量化过的权重：合并上去会丢掉训练结果。",
            ),
            Text(
                "Use the unquantised model as [model] base; recipes such as qlora-8gb quantise it "
                "in memory.",
                "请用未量化的模型作为 [model] base；qlora-8gb 等配方会在内存里量化。",
            ),
        )
    if not chat_template(folder):
        raise UsageError(
            Text(
                f"The base model {folder.name} has no chat template: it is not a chat model.",
                f"基座模型 {folder.name} 没有对话模板：它不是对话模型。",
            ),
            Text(
                "Choose its -Instruct or -Chat version, or put chat_template.jinja into the folder.",
                "请换用它的 -Instruct 或 -Chat 版本，或在目录里放入 chat_template.jinja。",
            ),
        )


def _json(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def converted_folder(model: LocalModel, cache: Path | None = None) -> Path:
    """Where the conversion of a GGUF file is kept, whether it is there or not."""
    name = f"{model.path.stem}-{sha256_of(model.path)[:12]}-v{FORMAT}"
    return (cache or home()) / "bases" / name


def _convert(model: LocalModel, folder: Path, report: Report) -> None:
    """Convert a GGUF file into the cache."""
    import gguf

    started = now()
    what = Text("Unpacking the base model to full precision", "把基座模型展开为全精度")
    report(Progress(what, 0, 2))
    with whole_folder(folder) as out:
        reader = gguf.GGUFReader(model.path)  # seconds: it makes an array of every word
        _write_tokenizer(reader, model.path.name, out)
        report(Progress(what, 1, 2))
        _write_weights(reader, model.path.name, out)
        write_manifest(
            out,
            Manifest(
                stage="base",
                inputs={model.reference: sha256_of(model.path)},
                settings={"dtype": "bfloat16"},
                libraries=library_versions("torch", "transformers", "gguf"),
                started=started,
                finished=now(),
            ),
        )
    report(Progress(what, 2, 2))


def _write_tokenizer(reader: GGUFReader, name: str, folder: Path) -> None:
    from .gguf_tokenizer import read_tokenizer

    read_tokenizer(reader, name).save_pretrained(folder)
    readable_by_older_libraries(folder)


def _write_weights(reader: GGUFReader, name: str, folder: Path) -> None:
    from safetensors.torch import save_file

    from .gguf_weights import read_config, read_weights
    from .tokenizer import load_tokenizer

    tokenizer = load_tokenizer(str(folder))
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = read_config(reader, name)
    weights = folder / "model.safetensors"
    save_file(read_weights(reader, config), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors leaves it readable by its owner alone
    _write_json(config | ends, folder / "config.json")
    _write_json(ends, folder / "generation_config.json")
    readable_by_older_libraries(folder)


def readable_by_older_libraries(folder: Path) -> None:
    """Say in `folder` again, in the words of transformers 4, what version 5 alone understands.

    Without them a reader of the older kind takes another rotary base or tokenizer class silently.
    """
    tokenizer = _json(folder / "tokenizer_config.json")
    if tokenizer is not None and tokenizer.get("tokenizer_class") == "TokenizersBackend":
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
        _write_json(tokenizer, folder / "tokenizer_config.json")
    config = _json(folder / "config.json")
    if config is not None:
        theta = (config.get("rope_parameters") or {}).get("rope_theta")
        if theta is not None:
            config.setdefault("rope_theta", theta)
        if "dtype" in config:
            config.setdefault("torch_dtype", config["dtype"])
        _write_json(config, folder / "config.json")


def _write_json(value: dict[str, Any], file: Path) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
