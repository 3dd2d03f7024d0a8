"""Make a GGUF exact for OpenVINO, once.

OpenVINO's GGUF reader keeps a whole-number zero point for each block, so formats with a fractional
offset (Q4_1, the K-quants, …) are rounded a second time: SmolLM2's Q4_1 lost 30 % in perplexity
that way (26.3 against 20.3). The same weights repacked as Q8_0, which has no offset, stay within
0.5 %. Formats that it reads as they are need nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...artifacts import whole_path
from ...models.gguf import parts, read_header
from ...models.gguf_writing import TensorToWrite, write_tensors
from ...progress import Progress, Report
from ...words import Text

if TYPE_CHECKING:
    import gguf

EXACT = frozenset({0, 1, 2, 8, 30})  # ggml: F32, F16, Q4_0, Q8_0, BF16
WHAT = Text("Repacking the weights for the CPU (once)", "正在为 CPU 重新打包权重（只需一次）")


def is_exact(source: Path) -> bool:
    """Whether OpenVINO reads every tensor of the GGUF as it is written."""
    return all(read_header(part).kinds <= EXACT for part in parts(source))


def repack(source: Path, target: Path, report: Report) -> None:
    """Write `source`, all parts of it, with its inexact tensors as Q8_0; `target` appears whole or
    not at all.

    One tensor at a time is held in memory. Raises BlockedError where the disk refuses.
    """
    import gguf

    report(Progress(WHAT))
    readers = [gguf.GGUFReader(part) for part in parts(source)]
    reader = readers[0]
    tensors = [tensor for one in readers for tensor in one.tensors]
    with whole_path(target) as unfinished:
        architecture = reader.fields["general.architecture"].contents()
        writer = gguf.GGUFWriter(unfinished, architecture)
        _copy_fields(reader, writer)
        write_tensors(writer, [_to_write(tensor) for tensor in tensors], WHAT, report)


def _copy_fields(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    import gguf

    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "split.")) and name != "general.architecture":
            array = field.types[0] == gguf.GGUFValueType.ARRAY
            inner = field.types[-1] if array else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)


def _kind_for(tensor: gguf.ReaderTensor) -> gguf.GGMLQuantizationType:
    import gguf

    return tensor.tensor_type if tensor.tensor_type in EXACT else gguf.GGMLQuantizationType.Q8_0


def _to_write(tensor: gguf.ReaderTensor) -> TensorToWrite:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    return TensorToWrite(tensor.name, shape, _kind_for(tensor), partial(_data, tensor))


def _data(tensor: gguf.ReaderTensor) -> Any:
    import gguf.quants

    kind = _kind_for(tensor)
    if kind == tensor.tensor_type:
        return tensor.data
    return gguf.quants.quantize(gguf.quants.dequantize(tensor.data, tensor.tensor_type), kind)
