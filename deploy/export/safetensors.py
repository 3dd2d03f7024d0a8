"""The tensors of a model folder, mapped from the disk and read one at a time; no torch needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import UsageError
from assistant.words import Text

_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a safetensors file: bytes `start` to `end` of `file`."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> Any:
        """Its numbers as float32, shaped."""
        import numpy as np

        stored = np.memmap(
            self.file, dtype=_DTYPES[self.dtype], mode="r", offset=self.start, shape=self.shape
        )
        if self.dtype == "BF16":  # the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32)


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the folder's weights by name. Raises UsageError for packed numbers."""
    found: dict[str, StoredTensor] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        with file.open("rb") as source:
            length = int.from_bytes(source.read(8), "little")
            header = json.loads(source.read(length))
        for name, about in header.items():
            if name == "__metadata__":
                continue
            if about["dtype"] not in _DTYPES:
                raise UsageError(
                    Text(f"{file}: {name} is stored as {about['dtype']}; only {', '.join(_DTYPES)} can be exported.",
                         f"{file}：{name} 的类型是 {about['dtype']}；只能导出 {'、'.join(_DTYPES)}。"),
                    Text("Export the merged model as python -m train merge writes it.",
                         "请导出 python -m train merge 生成的合并模型。"),
                )  # fmt: skip
            found[name] = StoredTensor(
                file, about["dtype"], tuple(about["shape"]), 8 + length + about["data_offsets"][0]
            )
    return found
