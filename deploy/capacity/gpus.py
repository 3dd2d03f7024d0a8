"""The GPUs of `gpus.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from assistant.config import Table
from assistant.errors import UsageError
from assistant.toml_file import shipped_toml
from assistant.words import Text

GPUS_FILE = Path(__file__).with_name("gpus.toml")
Positive = Annotated[float, Field(gt=0)]


class Gpu(Table):
    """One kind of GPU: memory in GB (10^9 bytes), bandwidth in GB/s, dense half-precision TFLOPS."""

    name: str
    memory_gb: Positive
    bandwidth_gb_s: Positive
    tflops: Positive
    source: str


def all_gpus() -> dict[str, Gpu]:
    """Every GPU of the file, by name."""
    tables = shipped_toml(GPUS_FILE.read_text("utf-8"))
    return {name: Gpu(name=name, **figures) for name, figures in tables.items()}


def find_gpu(name: str) -> Gpu:
    """The GPU of that name, however it is capitalised. Raises UsageError naming those there are."""
    known = all_gpus()
    by_plain = {_plain(each): gpu for each, gpu in known.items()}
    if found := by_plain.get(_plain(name)):
        return found
    names = ", ".join(known)
    raise UsageError(
        Text(f"No GPU {name!r} is known.", f"没有 {name!r} 这种 GPU 的数据。"),
        Text(f"Known: {names}. Add others to {GPUS_FILE.name}.", f"已有：{names}。可在 {GPUS_FILE.name} 里添加。"),
    )  # fmt: skip


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
