"""What XTuner 0.2.0 lacks on today's libraries, filled before it is imported."""

from __future__ import annotations


def mend() -> None:
    """Give torch and transformers the two names XTuner asks for.

    `torch.cpu.is_bf16_supported` (XTuner asks `torch.<device>`), and
    `transformers.utils.is_safetensors_available`, gone in transformers 5 where safetensors is a
    requirement. Call it before the first import of xtuner.
    """
    import torch
    import transformers.utils

    if not hasattr(torch.cpu, "is_bf16_supported"):
        setattr(torch.cpu, "is_bf16_supported", lambda: True)  # noqa: B010
    if not hasattr(transformers.utils, "is_safetensors_available"):
        setattr(transformers.utils, "is_safetensors_available", lambda: True)  # noqa: B010
