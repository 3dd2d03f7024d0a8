"""The YAML head of a README.md, as each hub reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..target import Target
from .source import Source


def front_matter(source: Source, target: Target, files: Sequence[str]) -> str:
    """Licence, base and kind of the model between two `---` lines."""
    values = _common(source, files)
    if target.hub == "hf":
        if only_gguf(files):
            values["library_name"] = "gguf"
        elif not source.quantised_by:  # that needs LMDeploy, which the hub knows no name for
            values["library_name"] = "peft" if source.kind == "adapter" else "transformers"
        values["pipeline_tag"] = "text-generation"
    elif target.hub == "modelscope":
        values |= {"frameworks": ["Pytorch"], "tasks": ["text-generation"]}
    return as_front_matter(values)


def only_gguf(files: Sequence[str]) -> bool:
    """Whether the weights go up as GGUF alone."""
    names = [path for path in files if path.endswith((".gguf", ".safetensors"))]
    return bool(names) and all(name.endswith(".gguf") for name in names)


def as_front_matter(values: dict[str, Any]) -> str:
    """`values` as a YAML head; text stays readable, nothing is sorted."""
    import yaml

    body = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, default_flow_style=False)
    return f"---\n{body}---"


def _common(source: Source, files: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"license": source.base.licence or "other"}
    if not source.base.licence:
        values["license_name"] = "unknown"
    values["language"] = list(source.persona.languages)
    if source.base.public:
        values["base_model"] = source.base.public
        values["base_model_relation"] = (
            "adapter" if source.kind == "adapter"
            else "quantized" if source.quantised_by or only_gguf(files) else "finetune"
        )  # fmt: skip
    more = ["lora"] if source.kind == "adapter" else [source.quantised_by]
    if any(path.endswith(".gguf") for path in files):
        more.append("gguf")
    values["tags"] = ["conversational", *filter(None, more)]
    return values
