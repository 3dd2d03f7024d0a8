"""Are weights whole, and of a kind that is safe to load?"""

from __future__ import annotations

import codecs
import json
import re
import shlex
from pathlib import Path

from ..errors import UsageError
from ..words import Text
from .gguf import truncated

_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_MAX = 1024
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_HEADER_MAX = 100_000_000  # the limit of the safetensors library itself
_CONSTANT = re.compile(rb'\boffset="(\d+)"\s+[^>]*?\bsize="(\d+)"')


def is_pointer(file: Path) -> bool:
    """Whether the file is a git-lfs pointer that stands where weights should."""
    if file.stat().st_size > _POINTER_MAX:
        return False
    with file.open("rb") as source:
        return source.read(len(_POINTER)) == _POINTER


def refuse_pointer(file: Path) -> None:
    """Raise UsageError if `file` is a git-lfs pointer."""
    if is_pointer(file):
        raise UsageError(
            Text(
                f"{file} is a git-lfs pointer, not the weights: they were never downloaded.",
                f"{file} 只是 git-lfs 指针，不是权重：权重没有下载。",
            ),
            Text(
                f"Run in that folder: git lfs install && git lfs pull  ({file.parent})",
                f"请在那个文件夹里运行：git lfs install && git lfs pull （{file.parent}）",
            ),
        )


def quantised_by(folder: Path) -> str:
    """The method that a model folder's config.json names ("awq", "gptq", …); empty for none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever reads the model says so
        return ""
    return str((config.get("quantization_config") or {}).get("quant_method") or "")


def check_safetensors(file: Path) -> None:
    """Raise UsageError unless every tensor of the safetensors file lies inside it."""
    refuse_pointer(file)
    size = file.stat().st_size
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if size < 8 or (length <= _HEADER_MAX and size < 8 + length):
            raise truncated(file, size, 8 + length if size >= 8 else None)
        try:
            if length > _HEADER_MAX:
                raise ValueError
            header = json.loads(source.read(length))
            ends = [item["data_offsets"][1] for name, item in header.items() if name[:2] != "__"]
            needed = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise UsageError(
                Text(
                    f"{file} is not a safetensors file: its header cannot be read.",
                    f"{file} 不是 safetensors 文件：文件头无法读取。",
                ),
                Text("Download or save it again.", "请重新下载或保存。"),
            ) from None
    if size < needed:
        raise truncated(file, size, needed)


def check_shards(index: Path) -> None:
    """Raise UsageError if a shard that a `*.safetensors.index.json` names is missing."""
    try:
        named = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            Text(f"{index} cannot be read.", f"{index} 无法读取。"),
            Text("Download it again.", "请重新下载。"),
        ) from None
    missing = sorted(name for name in named if not (index.parent / name).is_file())
    if missing:
        raise UsageError(
            Text(
                f"{index.parent} lacks weights that {index.name} names: {', '.join(missing)}.",
                f"{index.parent} 缺少 {index.name} 列出的权重：{'、'.join(missing)}。",
            ),
            Text("Copy or download the missing files.", "请补上缺少的文件。"),
        )


def check_openvino(xml: Path) -> None:
    """Raise UsageError unless an OpenVINO model's text and its weights are whole."""
    weights = xml.with_suffix(".bin")
    if not weights.is_file():
        raise UsageError(
            Text(
                f"{xml} has no weights beside it ({weights.name}).",
                f"{xml} 旁边没有权重（{weights.name}）。",
            ),
            Text("Copy the file, or export the model again.", "请补上这个文件，或重新导出模型。"),
        )
    refuse_pointer(xml)
    refuse_pointer(weights)
    text = xml.read_bytes()
    if b"</net>" not in text[-4096:]:
        raise truncated(xml, len(text))
    ends = (int(match[1]) + int(match[2]) for match in _CONSTANT.finditer(text))
    needed = max(ends, default=0)
    if (size := weights.stat().st_size) < needed:
        raise truncated(weights, size, needed)


# Each line is a whole tokenizer; a model's own `*.model` or `*.tiktoken` is one as well.
TOKENIZERS = (
    ("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"), ("vocab.txt",),
)  # fmt: skip
_OPENVINO_TOKENIZER = ("openvino_tokenizer", "openvino_detokenizer")


def check_tokenizer(folder: Path) -> None:
    """Raise UsageError where a Hugging Face folder has no tokenizer, or one that is not whole."""
    names = {file.name for file in folder.iterdir() if file.is_file()}
    found = [files for files in TOKENIZERS if names.issuperset(files)]
    found += [(name,) for name in sorted(names) if name.endswith((".model", ".tiktoken"))]
    if not found:
        needed = [n for n in ("tokenizer.json", "tokenizer_config.json") if n not in names]
        for pair in TOKENIZERS:
            if names.intersection(pair):  # half a tokenizer: the other half is what is missing
                needed = [name for name in pair if name not in names]
        raise _no_tokenizer(folder, needed)
    for name in found[0]:
        refuse_pointer(folder / name)
        if not (folder / name).stat().st_size:
            raise truncated(folder / name, 0)
    for name in {"tokenizer.json", "tokenizer_config.json", "config.json"} & names:
        refuse_pointer(folder / name)
        _check_json(folder / name)


def check_openvino_tokenizer(folder: Path) -> None:
    """Raise UsageError where an OpenVINO export lacks its tokenizer's two models."""
    missing = [
        f"{name}.xml" for name in _OPENVINO_TOKENIZER if not (folder / f"{name}.xml").is_file()
    ]
    if missing:
        raise _no_tokenizer(folder, missing)


def _no_tokenizer(folder: Path, missing: list[str]) -> UsageError:
    return UsageError(
        Text(
            f"{folder} has no whole tokenizer: {', '.join(missing)} missing. A model cannot read or "
            "write text without it.",
            f"{folder} 没有完整的分词器：缺少 {'、'.join(missing)}。没有分词器，模型无法读写文字。",
        ),
        Text(
            "Copy the missing files into the folder from where the model came from.",
            "请从模型的来源处把缺少的文件复制到这个文件夹。",
        ),
    )


def _check_json(file: Path) -> None:
    text = file.read_bytes()
    if text.startswith(codecs.BOM_UTF8):  # transformers and tokenizers fail on it
        name = shlex.quote(str(file))
        raise UsageError(
            Text(f"{file} begins with a byte order mark, which JSON may not have.",
                 f"{file} 以字节顺序标记（BOM）开头，JSON 不允许这样。"),
            Text(f"Save it as UTF-8 without it: sed -i '1s/^\\xEF\\xBB\\xBF//' {name}",
                 f"请另存为不带 BOM 的 UTF-8：sed -i '1s/^\\xEF\\xBB\\xBF//' {name}"),
        )  # fmt: skip
    try:
        whole = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise UsageError(
            Text(f"{file} cannot be read: it is not a whole JSON object.",
                 f"{file} 无法读取：不是完整的 JSON 对象。"),
            Text("Copy or download it again.", "请重新复制或下载。"),
        )  # fmt: skip
