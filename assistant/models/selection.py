"""Which files of a hub repository are taken: weights that are safe to load and what they need."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ..errors import UsageError
from ..words import Text
from .gguf import part_names, part_number
from .reference import Reference
from .weights import PICKLES

FOLDERS = ("", "openvino", "additional_chat_templates")
_BESIDE = (
    "*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt",
    "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "README.md",
)  # fmt: skip


def select(paths: Iterable[str], reference: Reference) -> list[str]:
    """The paths to download, sorted. No pickle, no Python, GGUF only where nothing else is.

    Raises UsageError where no usable weights are there, or several GGUF files and none is named.
    """
    all_paths = sorted(paths)
    near = [path for path in all_paths if _folder(path) in FOLDERS and path[0] not in "./\\"]
    beside = [path for path in near if any(fnmatchcase(_name(path), like) for like in _BESIDE)]
    if reference.file:
        if reference.file not in all_paths:
            raise _not_there(reference, _ggufs(all_paths))
        wanted = _all_parts(reference)
        if absent := [part for part in wanted if part not in all_paths]:
            raise _lacks_parts(reference, absent)
        return sorted({*beside, *wanted})
    tensors = _without_duplicates([path for path in near if path.endswith(".safetensors")])
    graphs = [path for path in near if path.endswith(".xml") and path[:-4] + ".bin" in near]
    # The .bin beside an .xml of the same name is OpenVINO's plain array of weights, no pickle.
    weights = tensors + graphs + [path[:-4] + ".bin" for path in graphs]
    if not tensors and not graphs:
        weights = _only_gguf(_ggufs(all_paths), all_paths, reference)
    return sorted({*beside, *weights})


def _all_parts(reference: Reference) -> list[str]:
    """The named GGUF with its further parts. Raises UsageError where a further part is named."""
    names = part_names(reference.file)
    if part_number(reference.file) > 1:
        first = Reference(reference.scheme, reference.name, reference.revision, names[0])
        raise UsageError(
            Text(f"{reference} is a later part of a split GGUF.", f"{reference} 不是分片 GGUF 的第一份。"),
            Text(f"Name the first part: {first}", f"请指定第一份：{first}"),
        )  # fmt: skip
    return names


def _lacks_parts(reference: Reference, absent: list[str]) -> UsageError:
    return UsageError(
        Text(f"{reference}: parts are missing there: {', '.join(absent)}.",
             f"{reference}：那里缺少分片 {'、'.join(absent)}。"),
        Text("Take another repository, or another file of it.", "请换一个仓库，或其中的另一个文件。"),
    )  # fmt: skip


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _ggufs(paths: list[str]) -> list[str]:
    return [path for path in paths if path.lower().endswith(".gguf")]


def _without_duplicates(tensors: list[str]) -> list[str]:
    """Some repositories hold the same weights twice, once as `consolidated*.safetensors`."""
    if any(_name(path).startswith("model") for path in tensors):
        return [path for path in tensors if not _name(path).startswith("consolidated")]
    return tensors


def _only_gguf(ggufs: list[str], all_paths: list[str], reference: Reference) -> list[str]:
    if ggufs and ggufs == sorted(part_names(ggufs[0])):
        return ggufs  # one, or all parts of one
    if ggufs:
        raise _name_one(reference, [path for path in ggufs if part_number(path) < 2])
    pickles = [path for path in all_paths if path.endswith(PICKLES)]
    if pickles:
        raise UsageError(
            Text(
                f"{reference} has its weights as pickle only ({pickles[0]}). Pickle can run code "
                "when it is read, so it is never downloaded.",
                f"{reference} 只有 pickle 格式的权重（{pickles[0]}）。"
                "读取 pickle 可能会执行代码，所以从不下载。",
            ),
            Text(
                "Take a repository, or a revision (@…), that has *.safetensors.",
                "请换用有 *.safetensors 的仓库或版本（@…）。",
            ),
        )
    raise UsageError(
        Text(
            f"{reference} holds no model: no *.safetensors, OpenVINO or GGUF weights.",
            f"{reference} 里没有模型：没有 *.safetensors、OpenVINO 或 GGUF 权重。",
        ),
        Text("Check the name.", "请检查名称。"),
    )


def _name_one(reference: Reference, ggufs: list[str]) -> UsageError:
    listed = ", ".join(ggufs[:12])
    example = Reference(reference.scheme, reference.name, reference.revision, ggufs[0])
    return UsageError(
        Text(
            f"{reference} holds {len(ggufs)} GGUF files: {listed}.",
            f"{reference} 有 {len(ggufs)} 个 GGUF 文件：{listed}。",
        ),
        Text(f"Name one, such as {example}", f"请指定其中一个，例如 {example}"),
    )


def _not_there(reference: Reference, ggufs: list[str]) -> UsageError:
    listed = ", ".join(ggufs[:12]) or "-"
    return UsageError(
        Text(f"{reference}: there is no such file.", f"{reference}：没有这个文件。"),
        Text(f"GGUF files there: {listed}.", f"那里的 GGUF 文件：{listed}。"),
    )
