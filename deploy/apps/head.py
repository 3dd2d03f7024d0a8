"""The README.md of an app's repository, whose head each host reads."""

from __future__ import annotations

from typing import Any

from assistant.config import Config
from assistant.models.reference import Reference
from assistant.persona import persona_from_config
from assistant.words import Text

from ..sharing.front_matter import as_front_matter
from ..target import Target
from .profiles import Profile

GRADIO_FALLBACK = "6.31.0"  # where Gradio is not installed here: the lowest that the lists allow


def readme(
    config: Config, weights: Reference, profile: Profile, target: Target, licence: str
) -> str:
    """Head and a few lines for people."""
    persona = persona_from_config(config)
    name = persona.name
    said = Text(
        f"A chat app for **{name}**, made by {persona.author}. Weights: `{weights}`; they are verified "
        "before they are loaded. Conversations stay in the visitor's browser.",
        f"**{name}** 的对话应用，由 {persona.author} 制作。权重：`{weights}`，加载前会逐个文件核对。"
        "对话只存在访问者的浏览器里。",
    )
    head = _head(name, weights, profile, target, licence)
    return (
        f"{head}\n\n# {name}\n\n{said.zh}\n\n{said.en}\n"
        if head
        else f"# {name}\n\n{said.zh}\n\n{said.en}\n"
    )


def _head(name: str, weights: Reference, profile: Profile, target: Target, licence: str) -> str:
    if profile.hub == "hf":
        return as_front_matter(_huggingface(name, weights, profile, licence))
    if profile.hub == "modelscope":
        return as_front_matter(_modelscope(weights, licence))
    return ""  # OpenXLab reads no head


def _huggingface(name: str, weights: Reference, profile: Profile, licence: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "title": name, "emoji": "💬", "colorFrom": "blue", "colorTo": "green", "sdk": "gradio",
        "sdk_version": gradio_version(), "python_version": profile.python, "app_file": "app.py",
        "suggested_hardware": profile.hardware, "startup_duration_timeout": "1h",
    }  # fmt: skip
    if weights.scheme == "hf":
        values["models"] = [weights.name]
    if licence:
        values["license"] = licence
    return values


def _modelscope(weights: Reference, licence: str) -> dict[str, Any]:
    values: dict[str, Any] = {"domain": ["nlp"], "tags": ["chat"]}
    if weights.scheme == "modelscope":
        values["models"] = [weights.name]
    if licence:
        values["license"] = licence
    values["deployspec"] = {"entry_file": "app.py"}
    return values


def gradio_version() -> str:
    """The Gradio that this page was tried with here."""
    from importlib import metadata

    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return GRADIO_FALLBACK
