"""4-bit weights on engines that do not read them."""

from __future__ import annotations

from ..errors import EngineError
from ..models.local import LocalModel
from ..models.weights import quantised_by
from ..words import Text

PACKED = ("awq", "gptq")  # transformers needs kernels for these that this kit does not bring


def refuse_packed(model: LocalModel) -> None:
    """Raise EngineError("unavailable") for 4-bit weights that only TurboMind reads here."""
    method = quantised_by(model.path)
    if method in PACKED:
        raise EngineError(
            "unavailable",
            Text(
                f"{model.name} is quantised ({method}): TurboMind reads it, on a GPU; this engine does not.",
                f"{model.name} 已量化（{method}）：只有 GPU 上的 TurboMind 能读，这个引擎不能。",
            ),
            Text(
                "Here, talk with the 16-bit model that it was made of (run R of R-awq).",
                "在这台机器上，请使用量化之前的 16 位模型（R-awq 对应的运行 R）。",
            ),
        )
