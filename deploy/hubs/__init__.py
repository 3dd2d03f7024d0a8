"""The hubs, a module each. All obey `deploy.hubs.base.Hub`."""

from __future__ import annotations

from ..target import Target
from ..tokens import Secret
from .base import Hub


def open_hub(target: Target, token: Secret | None) -> Hub:
    """The hub of a target. No network is used yet."""
    if target.hub == "hf":
        from .huggingface import HuggingFace

        return HuggingFace(token)
    if target.hub == "modelscope":
        from .modelscope import ModelScope

        return ModelScope(token)
    from .openxlab import OpenXLab

    return OpenXLab(token)
