"""The hubs, a module each. All obey `deploy.hubs.base.Hub`."""

from __future__ import annotations

from ..target import Target
from ..tokens import Secret
from .base import Hub


def open_hub(target: Target, token: Secret | None, repository: str = "") -> Hub:
    """The hub of a target; `repository` is the GitHub repository of an OpenXLab app, where that is
    not called as the app. No network is used yet.
    """
    if target.hub == "hf":
        from .huggingface import HuggingFace

        return HuggingFace(token)
    if target.hub == "modelscope":
        from .modelscope import ModelScope
        from .studio import Studio

        return Studio(token) if target.what == "app" else ModelScope(token)
    if target.what == "app":
        from .github import GitHub

        return GitHub(token, repository or target.repo)
    from .openxlab import OpenXLab

    return OpenXLab(token, target.owner)
