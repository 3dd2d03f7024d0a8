"""What may be shared: an allow-list for each kind of model. Whatever is not on it stays here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from assistant.artifacts import MANIFEST_FILE, OPENVINO_FOLDER
from assistant.errors import UsageError
from assistant.persona import PERSONA_FILE
from assistant.run import Kind
from assistant.words import Text

_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "*.tiktoken", "chat_template.jinja",
)  # fmt: skip
_BESIDE = (PERSONA_FILE, MANIFEST_FILE, "LICENSE*", "LICENCE*", "NOTICE*")
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", *_TOKENIZER, *_BESIDE)
_MERGED = (
    "config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors",
    "model.safetensors.index.json", *_TOKENIZER, *_BESIDE,
)  # fmt: skip
# The .bin beside an .xml of the same name is OpenVINO's plain array of weights, no pickle.
_GRAPHS = ("openvino_*.xml", "openvino_*.bin", "config.json", "generation_config.json", *_TOKENIZER)
ALLOWED: dict[Kind, tuple[str, ...]] = {"adapter": _ADAPTER, "merged": _MERGED}
NEEDED: dict[Kind, tuple[str, ...]] = {
    "adapter": ("adapter_config.json", "adapter_model.safetensors"),
    "merged": ("config.json",),
}


@dataclass(frozen=True)
class Chosen:
    """Paths inside a run's folder, sorted: what goes up, and what stays."""

    taken: tuple[str, ...]
    left: tuple[str, ...]


def choose(folder: Path, kind: Kind, *, with_openvino: bool = True) -> Chosen:
    """Sort the files of `runs/R/adapter` or `runs/R/merged` by the allow-list of `kind`.

    Raises UsageError where the folder is missing or lacks what the kind cannot do without.
    """
    _refuse_missing(folder, kind)
    patterns = (*ALLOWED[kind], *_own_code(folder))
    taken: list[str] = []
    left: list[str] = []
    for file in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = file.relative_to(folder).as_posix()
        inside = name.partition("/")[2] if name.startswith(f"{OPENVINO_FOLDER}/") else ""
        if file.is_symlink():  # it may lead anywhere
            allowed = False
        elif inside:
            allowed = kind == "merged" and with_openvino and _allows(_GRAPHS, inside)
            allowed = allowed and (file.suffix != ".bin" or file.with_suffix(".xml").is_file())
        else:
            allowed = _allows(patterns, name)
        (taken if allowed else left).append(name)
    return Chosen(tuple(taken), tuple(left))


def _allows(patterns: tuple[str, ...], name: str) -> bool:
    return "/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns)


def _own_code(folder: Path) -> tuple[str, ...]:
    """Modules that config.json names in `auto_map`: the model cannot be loaded without them."""
    try:
        named = json.loads((folder / "config.json").read_bytes()).get("auto_map", {})
    except (OSError, ValueError, AttributeError):
        return ()
    texts = [str(each).split("--")[-1] for value in named.values() if value
             for each in (value if isinstance(value, list) else [value])]  # fmt: skip
    return tuple(f"{text.split('.')[0]}.py" for text in texts)


def _refuse_missing(folder: Path, kind: Kind) -> None:
    missing = [name for name in NEEDED[kind] if not (folder / name).is_file()]
    if not missing and (kind == "adapter" or any(folder.glob("model*.safetensors"))):
        return
    if kind == "adapter" and (folder / "config.json").is_file():
        raise UsageError(
            Text(f"{folder} is a whole model (a full fine-tune), not an adapter.",
                 f"{folder} 是完整模型（全参数微调），不是 adapter。"),
            Text("Share the merged model: --kind merged", "请分享合并后的模型：--kind merged"),
        )  # fmt: skip
    lacking = missing[0] if missing else "model*.safetensors"
    command = "python -m train fit" if kind == "adapter" else "python -m train merge"
    raise UsageError(
        Text(
            f"Nothing to share: {folder} lacks {lacking}.",
            f"没有可分享的：{folder} 缺少 {lacking}。",
        ),
        Text(f"Make it: {command}", f"先生成：{command}"),
    )
