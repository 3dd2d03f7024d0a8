"""Writing a GGUF whose tensors are made one after the other, so that one at a time is in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..progress import Progress, Report
from ..words import Text

if TYPE_CHECKING:
    import gguf

_ANY: Any = None  # the array type, which GGUFWriter does not ask for when the ggml type is given


@dataclass(frozen=True)
class TensorToWrite:
    """A tensor: `shape` with the rows first, and `data`, which makes what is written of it."""

    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType
    data: Callable[[], Any]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        import gguf

        values, size = gguf.GGML_QUANT_SIZES[self.kind]
        return math.prod(self.shape) // values * size


def write_tensors(
    writer: gguf.GGUFWriter, tensors: Sequence[TensorToWrite], what: Text, report: Report
) -> None:
    """Write header, fields and `tensors`, and close the file."""
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, _ANY, tensor.size, raw_dtype=tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    try:
        for number, tensor in enumerate(tensors, 1):
            writer.write_tensor_data(tensor.data())
            report(Progress(what, number, len(tensors)))
    finally:
        writer.close()
