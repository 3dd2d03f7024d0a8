"""How many bits: which ggml format each tensor is written in, and the arithmetic of it.

16, 8 and 4 bits by the `gguf` package. The k-quants are ggml's own routines, which xllamacpp brings
with it and shows; without xllamacpp they are refused by name.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from assistant.errors import BlockedError, FailedError
from assistant.libraries import installing
from assistant.words import Text

if TYPE_CHECKING:
    import gguf

DEFAULT_QUANT = "q8_0"


@dataclass(frozen=True)
class Quant:
    """A way to write a model: ggml's names for its matrices, and for those that matter most."""

    name: str
    matrices: str
    embedding: str  # and the output layer
    file_type: str  # gguf.LlamaFileType
    better: str = ""  # of some layers' values and down projections, as llama.cpp mixes them

    @property
    def suffix(self) -> str:
        """As people look for it: Q8_0."""
        return self.name.upper()

    @property
    def needs_ggml(self) -> bool:
        return self.matrices.endswith("_K")


QUANTS = {
    one.name: one
    for one in (
        Quant("f16", "F16", "F16", "MOSTLY_F16"),
        Quant("q8_0", "Q8_0", "Q8_0", "MOSTLY_Q8_0"),
        Quant("q6_k", "Q6_K", "Q6_K", "MOSTLY_Q6_K"),
        Quant("q4_k_m", "Q4_K", "Q6_K", "MOSTLY_Q4_K_M", "Q6_K"),
        Quant("q4_0", "Q4_0", "Q8_0", "MOSTLY_Q4_0"),
    )
}
# For rows that are no multiple of 256, as llama.cpp does it.
_SMALLER_BLOCKS = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
_LARGE, _SMALL = 256, 32


def kind_for(
    quant: Quant, name: str, shape: tuple[int, ...], layers: int
) -> gguf.GGMLQuantizationType:
    """The ggml format of the tensor `name` (GGUF's name); one-dimensional ones stay F32."""
    import gguf

    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    wanted = quant.embedding if name in ("token_embd.weight", "output.weight") else quant.matrices
    if quant.better and _matters(name, layers):
        wanted = quant.better
    if wanted in _SMALLER_BLOCKS and shape[-1] % _LARGE:
        wanted = _SMALLER_BLOCKS[wanted]
    if wanted != "F16" and shape[-1] % _SMALL:
        wanted = "F16"
    return gguf.GGMLQuantizationType[wanted]


def _matters(name: str, layers: int) -> bool:
    """llama.cpp's `use_more_bits`, of values and down projections."""
    block, _, part = name.removeprefix("blk.").partition(".")
    if part not in ("attn_v.weight", "ffn_down.weight"):
        return False
    layer = int(block)
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def packed(values: Any, kind: gguf.GGMLQuantizationType) -> Any:
    """`values` (float32) in `kind`, as bytes or as numbers. Raises FailedError where they overflow."""
    import gguf.quants
    import numpy as np

    if kind.name.endswith("_K"):
        return _by_ggml(values, kind)
    with np.errstate(over="ignore"):
        written = gguf.quants.quantize(values, kind)
    if kind == gguf.GGMLQuantizationType.F16 and not np.isfinite(written).all():
        raise FailedError(
            Text(
                "Some weights are too large for 16 bits (f16).",
                "有些权重超出了 16 位（f16）的范围。",
            ),
            Text("Choose --quant q8_0.", "请用 --quant q8_0。"),
        )
    return written


def refuse_missing_llama_cpp(quants: Sequence[Quant], proof: bool) -> None:
    """Raise BlockedError where llama.cpp is needed, to make a k-quant or for the proof, and missing."""
    if find_spec("xllamacpp") is not None:
        return
    names = ", ".join(quant.name for quant in quants if quant.needs_ggml)
    if not names and not proof:
        return
    what = (
        Text(f"{names} is made by llama.cpp", f"{names} 由 llama.cpp 生成")
        if names
        else Text("The files are proven by llama.cpp", "证明文件要用 llama.cpp")
    )
    cure = installing("xllamacpp")
    if not names:
        cure = Text(
            f"{cure.en} - or without a proof: --no-check", f"{cure.zh}；或不要证明：--no-check"
        )
    raise BlockedError(
        Text(f"{what.en} (xllamacpp), which is not installed.", f"{what.zh}（xllamacpp），但没有安装。"),
        cure,
    )  # fmt: skip


@cache
def _ggml() -> Any:
    found = find_spec("xllamacpp.xllamacpp")
    assert found is not None
    assert found.origin is not None
    library = ctypes.CDLL(found.origin)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p,
    ]  # fmt: skip
    return library


def _by_ggml(values: Any, kind: gguf.GGMLQuantizationType) -> Any:
    import gguf
    import numpy as np

    source = np.ascontiguousarray(values, dtype=np.float32)
    rows, length = source.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.empty((rows, length // block * size), dtype=np.uint8)
    written = _ggml().ggml_quantize_chunk(
        int(kind), source.ctypes.data, out.ctypes.data, 0, rows, length, None
    )
    assert written == out.nbytes
    return out
