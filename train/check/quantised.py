"""A model that LMDeploy quantised to 4 bits (AWQ), as the 16-bit numbers that its bits stand for.

transformers reads AWQ only with kernels of its own for a GPU; LMDeploy brings the arithmetic, and
it is LMDeploy that serves these weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import BlockedError, UsageError
from assistant.libraries import installing
from assistant.words import Text

if TYPE_CHECKING:
    import torch


def dequantised(folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """The causal language model of `folder`; `options` go to transformers' `from_pretrained`.

    Raises UsageError for a quantisation that is not AWQ, BlockedError where LMDeploy is missing.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    how = config.quantization_config
    if how.get("quant_method") != "awq":
        raise UsageError(
            Text(f"{folder} is quantised by {how.get('quant_method')}; only AWQ can be checked.",
                 f"{folder} 的量化方式是 {how.get('quant_method')}；只能检验 AWQ。"),
        )  # fmt: skip
    del config.quantization_config
    kind: Any = getattr(transformers, config.architectures[0])  # the Auto class insists on a folder
    weights = _weights(folder, how["bits"], how["group_size"], dtype)
    model = kind.from_pretrained(None, config=config, state_dict=weights, dtype=dtype, **options)
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model


def _weights(folder: Path, bits: int, group: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors by name: (q - zero) * scale where they are packed, [in, out] turned to [out, in]."""
    from safetensors.torch import load_file

    unpack = _lmdeploys()
    packed: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        packed.update(load_file(file))
    for name in [name for name in packed if name.endswith(".qweight")]:
        place = name.removesuffix(".qweight")
        codes, zeros, scales = (
            packed.pop(f"{place}.{part}") for part in ("qweight", "qzeros", "scales")
        )
        weight = unpack(codes, zeros, scales.float(), bits, group)
        packed[f"{place}.weight"] = weight.t().to(dtype).contiguous()
    return packed


def _lmdeploys() -> Any:
    try:
        from lmdeploy.pytorch.backends.default.awq_modules import dequantize_gemm
    except ImportError as error:
        raise BlockedError(
            Text(f"AWQ weights are read by LMDeploy, which cannot be used here: {error}",
                 f"读取 AWQ 权重需要 LMDeploy，这里无法使用：{error}"),
            installing("lmdeploy"),
        ) from None  # fmt: skip
    return dequantize_gemm
