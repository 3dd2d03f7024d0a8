"""A Modelfile: what Ollama is told of a GGUF. Its language: https://docs.ollama.com/modelfile"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.config import SamplingTable
from assistant.errors import UsageError
from assistant.persona import Persona
from assistant.words import Text

from .template import Turns

MODELFILE = "Modelfile"
MOST_CONTEXT = 8192  # tokens that Ollama sets memory aside for
_QUOTES = '"""'


def go_template(turns: Turns) -> str:
    """The turns in the language of Go's text/template, every character of them as it is."""
    pieces = [*turns.system, *turns.user, *turns.assistant, turns.answer]
    if any("{{" in piece or "}}" in piece for piece in pieces):
        raise _unspeakable("{{")
    roles = (("system", turns.system), ("user", turns.user), ("assistant", turns.assistant))
    said = [
        f'{{{{ {"else " * bool(number)}if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for number, (role, (before, after)) in enumerate(roles)
    ]
    return f"{{{{ range .Messages }}}}{''.join(said)}{{{{ end }}}}{{{{ end }}}}{turns.answer}"


def parameters(
    sampling: SamplingTable, context_length: int, stops: Sequence[str]
) -> dict[str, Any]:
    """Ollama's names of `[serve.sampling]`, the context, and the texts that end an answer."""
    return {
        "num_ctx": min(context_length, MOST_CONTEXT),
        "num_predict": sampling.max_tokens,
        "repeat_penalty": sampling.repetition_penalty,
        "stop": list(stops),
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
    }


def modelfile(
    weights: str, persona: Persona, template: str, settings: Mapping[str, Any], licence: str
) -> str:
    """The whole file. Raises UsageError for a text that the language cannot hold."""
    lines = [
        f"# {' '.join(persona.name.split())}: ollama create NAME -f {MODELFILE} && ollama run NAME",
        f"FROM ./{weights}",
        f"TEMPLATE {_quoted(template)}",
        f"SYSTEM {_quoted(persona.system(None))}",
    ]
    for name, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"PARAMETER {name} {_parameter(one)}")
    if licence:
        lines.append(f"LICENSE {_quoted(licence)}")
    return "\n".join(lines) + "\n"


def hub_files(persona: Persona, template: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """The files that `ollama run hf.co/owner/name` reads beside a GGUF, by name."""
    told = {name: value for name, value in settings.items() if name != "num_ctx"}
    return {
        "template": template,
        "system": persona.system(None),
        "params": json.dumps(told, ensure_ascii=False, indent=2) + "\n",
    }


def _parameter(value: Any) -> str:
    if not isinstance(value, str):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if '"' in value or "\n" in value:
        return _quoted(value)
    return f'"{value}"'


def _quoted(text: str) -> str:
    """Between three quotes, which nothing inside can stand for."""
    if _QUOTES in text:
        raise _unspeakable(_QUOTES)
    return f"{_QUOTES}{text}{_QUOTES}"


def _unspeakable(what: str) -> UsageError:
    return UsageError(
        Text(f"Ollama's Modelfile cannot hold a text with {what} in it (system prompt, template or licence).",
             f"Ollama 的 Modelfile 无法写入含有 {what} 的文字（系统提示、模板或许可证）。"),
        Text("Take it out of the system prompt in assistant.toml and merge again, or export --format gguf.",
             "请从 assistant.toml 的系统提示里去掉它并重新合并，或用 --format gguf 导出。"),
    )  # fmt: skip
