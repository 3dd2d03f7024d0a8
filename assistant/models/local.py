"""What a model reference becomes: a folder or file on this machine, known to be whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..config import RUNS
from ..errors import UsageError
from ..run import ADAPTER, MERGED
from ..words import Text
from . import gguf, weights

Format = Literal["gguf", "hf", "openvino", "adapter"]


@dataclass(frozen=True)
class LocalModel:
    """A model on this disk. `path` is a GGUF file for "gguf", else a folder."""

    reference: str  # as the person wrote it
    path: Path
    format: Format
    revision: str = ""  # commit, package version or sha256: what pins exactly these weights
    licence: str = ""  # SPDX-like name where the source gives one
    origin: str = ""  # where it came from, for the page and the model card

    @property
    def name(self) -> str:
        """A short name for people: the last part of the reference, or of the path; a run's model
        with the run's name."""
        folder = self.path.resolve()
        if folder.name in (MERGED, ADAPTER) and folder.parent.parent.name == RUNS:
            return f"{folder.parent.name}/{folder.name}"
        return self.reference.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] or folder.name


def open_local(reference: str, path: Path) -> LocalModel:
    """The model at `path`, its weights checked to be whole (not hashed).

    Raises UsageError if it is of no known kind, cut short, a git-lfs pointer, or pickle only.
    """
    kind, place = recognise(path)
    licence = licence_of(place)
    return LocalModel(reference, place, kind, licence=licence, origin=str(path))


def recognise(path: Path) -> tuple[Format, Path]:
    """The kind of the model at `path`, and its GGUF file or folder. Raises UsageError."""
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise UsageError(
                Text(f"{path} is not a model file.", f"{path} 不是模型文件。"),
                Text(
                    "Name a .gguf file, or the folder that holds the model.",
                    "请指定 .gguf 文件，或装有模型的文件夹。",
                ),
            )
        return _gguf(path)
    names = {file.name for file in path.iterdir() if file.is_file()}
    tensors = sorted(name for name in names if name.endswith(".safetensors"))
    full = "config.json" in names and any(not name.startswith("adapter_") for name in tensors)
    if "adapter_config.json" in names and not full:
        return _safetensors(path, tensors, "adapter")
    if "openvino_model.xml" in names:
        for xml in sorted(path.glob("openvino_*.xml")):
            weights.check_openvino(xml)
        weights.check_openvino_tokenizer(path)
        return "openvino", path
    if full:
        found = _safetensors(path, tensors, "hf")
        weights.check_tokenizer(path)
        return found
    files = sorted(file for file in path.glob("*.gguf") if file.is_file())
    if files and (len(files) == 1 or all(part in gguf.parts(files[0]) for part in files)):
        return _gguf(files[0])
    raise _no_model(path, names, [file.name for file in files])


def _gguf(file: Path) -> tuple[Format, Path]:
    weights.refuse_pointer(file)
    for part in gguf.whole_set(file):
        weights.refuse_pointer(part)
        gguf.check(part)
    return "gguf", file


def _safetensors(folder: Path, names: list[str], kind: Format) -> tuple[Format, Path]:
    if not names:
        raise _no_model(folder, {file.name for file in folder.iterdir()}, [])
    for index in folder.glob("*.safetensors.index.json"):
        weights.check_shards(index)
    for name in names:
        weights.check_safetensors(folder / name)
    return kind, folder


def _no_model(folder: Path, names: set[str], ggufs: list[str]) -> UsageError:
    if ggufs:
        return UsageError(
            Text(
                f"{folder} holds {len(ggufs)} GGUF files: {', '.join(ggufs)}.",
                f"{folder} 里有 {len(ggufs)} 个 GGUF 文件：{'、'.join(ggufs)}。",
            ),
            Text(f"Name one: {folder / ggufs[0]}", f"请指定其中一个：{folder / ggufs[0]}"),
        )
    pickles = sorted(name for name in names if name.endswith(weights.PICKLES))
    if pickles:
        return UsageError(
            Text(
                f"{folder} holds its weights as pickle only ({pickles[0]}). Pickle can run code "
                "when it is read, so it is never loaded here.",
                f"{folder} 只有 pickle 格式的权重（{pickles[0]}）。"
                "读取 pickle 可能会执行代码，这里从不加载。",
            ),
            Text(
                "Take the model in safetensors form, or save it so with transformers: "
                "model.save_pretrained(FOLDER, safe_serialization=True).",
                "请使用 safetensors 版本，或用 transformers 另存："
                "model.save_pretrained(文件夹, safe_serialization=True)。",
            ),
        )
    return UsageError(
        Text(f"{folder} holds no model.", f"{folder} 里没有模型。"),
        Text(
            "Expected is config.json with *.safetensors, openvino_model.xml, adapter_config.json "
            "with *.safetensors, or one .gguf file.",
            "应有 config.json 和 *.safetensors，或 openvino_model.xml，"
            "或 adapter_config.json 和 *.safetensors，或一个 .gguf 文件。",
        ),
    )


def licence_of(place: Path) -> str:
    """The licence that the model itself names: the GGUF's field, or the README's front matter."""
    if place.is_file():
        named = gguf.read_header(place).texts.get("general.license", "")
        return named or licence_of(place.parent)
    readme = place / "README.md"
    if not readme.is_file():
        return ""
    lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return ""
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, _, value = line.partition(":")
        if key.strip() == "license":
            return value.strip().strip("\"'")
    return ""
