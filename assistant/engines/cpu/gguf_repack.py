"""Make a GGUF exact for OpenVINO, once.

OpenVINO's GGUF reader keeps a whole-number zero point for each block, so formats with a fractional
offset (Q4_1, the K-quants, …) are rounded a second time: SmolLM2's Q4_1 lost 30 % in perplexity
that way (26.3 against 20.3). The same weights repacked as Q8_0, which has no offset, stay within
0.5 %. Formats that it reads as they are need nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...artifacts import whole_path
from ...models.gguf import parts, read_header
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
    with whole_path(target) as partial:
        architecture = reader.fields["general.architecture"].contents()
        writer = gguf.GGUFWriter(partial, architecture)
        _copy_fields(reader, writer)
        for tensor in tensors:
            kind = _kind_for(tensor)
            shape = tuple(int(size) for size in reversed(tensor.shape))
            writer.add_tensor_info(tensor.name, shape, _ANY, _bytes(shape, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for number, tensor in enumerate(tensors, 1):
            writer.write_tensor_data(_data(tensor))
            report(Progress(WHAT, number, len(tensors)))
        writer.close()


_ANY: Any = None  # the array type, which GGUFWriter does not ask for when the ggml type is given


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


def _bytes(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    import gguf

    values, size = gguf.GGML_QUANT_SIZES[kind]
    total = 1
    for length in shape:
        total *= length
    return total // values * size


def _data(tensor: gguf.ReaderTensor) -> Any:
    import gguf.quants

    kind = _kind_for(tensor)
    if kind == tensor.tensor_type:
        return tensor.data
    return gguf.quants.quantize(gguf.quants.dequantize(tensor.data, tensor.tensor_type), kind)
