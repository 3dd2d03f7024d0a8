"""The folder that any web host serves: page, engine, model, and who the assistant is."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from assistant.artifacts import sha256_of, whole_folder
from assistant.config import SamplingTable
from assistant.errors import UsageError
from assistant.models.gguf import read_fields, read_header
from assistant.persona import Persona, Style
from assistant.progress import Report
from assistant.serving.reply import styled_question
from assistant.ui.words import EXAMPLES
from assistant.words import LANGUAGE_NAMES, LANGUAGES, Text

from ..stage import link_or_copy
from .wllama import wllama_files
from .words import WORDS

PAGE = Path(__file__).with_name("page")
ABOUT = "assistant.json"
LONGEST_CONTEXT = (
    4096  # tokens: a tab has less memory than a server, and the cache takes it at once
)
LARGEST = 2_000_000_000  # bytes: a browser holds no larger piece of a file at once
TEMPLATE = "tokenizer.chat_template"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Site:
    """What a static page is made of.

    `persona` speaks the languages that the model knows; `model` is a GGUF with a chat template;
    `name` is what its file is called on the page's host.
    """

    persona: Persona
    sampling: SamplingTable
    model: Path
    name: str


def write_site(site: Site, out: Path, report: Report, more: Sequence[tuple[str, str]] = ()) -> None:
    """Fill the new folder `out` with the whole page; `more` are further files, name and text.

    Raises UsageError for a model that no browser holds or that has no chat template, or where
    `out` is there already; BlockedError where wllama cannot be fetched or the disk refuses.
    """
    refuse_unfit(site.model)
    engine = wllama_files(report)
    with whole_folder(out) as partial:
        shutil.copytree(engine, partial / "wllama")
        model = partial / "model" / _file_name(site.name)
        model.parent.mkdir()
        link_or_copy(site.model, model)
        about = json.dumps(about_of(site, model), ensure_ascii=False, indent=1) + "\n"
        (partial / ABOUT).write_text(about, encoding="utf-8")
        for file in sorted(PAGE.iterdir()):
            text = file.read_text(encoding="utf-8")
            if file.name == "sw.js":  # another version of anything is another worker
                text = Template(text).safe_substitute(version=_version(partial, about))
            (partial / file.name).write_text(text, encoding="utf-8")
        for name, text in more:
            (partial / name).write_text(text, encoding="utf-8")


def refuse_unfit(model: Path) -> None:
    """Raise UsageError for a GGUF that the page could not talk with."""
    if not read_fields(model, TEMPLATE).get(TEMPLATE):
        raise UsageError(
            Text(f"{model} has no chat template, so a page could not talk with it.",
                 f"{model} 没有对话模板，网页无法和它对话。"),
            Text("Take the GGUF of a chat model, or export a trained run: python -m deploy export",
                 "请使用对话模型的 GGUF，或导出训练好的结果：python -m deploy export"),
        )  # fmt: skip
    size = model.stat().st_size
    if size > LARGEST:
        raise UsageError(
            Text(f"{model} has {size / 1e9:.1f} GB; a browser holds at most 2.",
                 f"{model} 有 {size / 1e9:.1f} GB；浏览器最多只能放 2 GB。"),
            Text("Take a smaller model or stronger quantisation (q4_0).", "请换更小的模型，或用更强的量化（q4_0）。"),
        )  # fmt: skip


def about_of(site: Site, model: Path) -> dict[str, Any]:
    """Return what the page reads of the assistant: words, prompts, sampling and the model's file."""
    persona = site.persona
    header = read_header(model)
    trained = header.numbers.get(
        f"{header.texts.get('general.architecture', '')}.context_length", 0
    )
    sampling = site.sampling.model_dump() | {"stop": []}
    return {
        "name": persona.name,
        "author": persona.author,
        "languages": list(persona.languages),
        "model": {
            "file": f"model/{model.name}", "bytes": model.stat().st_size, "sha256": sha256_of(model),
        },
        "context": min(trained or LONGEST_CONTEXT, LONGEST_CONTEXT),
        "sampling": sampling,
        "prompts": {language: _prompts(persona, language) for language in persona.languages},
        "styles": [
            {
                "name": style.name, "label": {one: style.label(one) for one in LANGUAGES},
                "temperature": style.temperature, "top_p": style.top_p,
            }
            for style in persona.styles
        ],
        "examples": {language: _examples(persona, language) for language in persona.languages},
        "words": {
            name: {"en": text.en, "zh": text.zh}
            for name, text in (WORDS | {"speaks_only": _speaks_only(persona)}).items()
        },
    }  # fmt: skip


def _prompts(persona: Persona, language: str) -> dict[str, dict[str, str]]:
    """By style ("" for none): the system prompt, what a style asks there, what it adds to a question."""
    styles: list[Style | None] = [
        None,
        *(persona.style(one.name, language) for one in persona.styles),
    ]
    return {
        style.name if style else "": {
            "system": persona.system(language),
            "asks": style.prompt if style and not style.trained else "",
            "trigger": styled_question("", style),
        }
        for style in styles
    }


def _examples(persona: Persona, language: str) -> list[str]:
    own = [fact.ask for fact in persona.facts if fact.language == language]
    common = [text.in_language(language) for text in EXAMPLES]
    return list(dict.fromkeys([common[0], *own, *common[1:]]))[:4]


def _speaks_only(persona: Persona) -> Text:
    names = [LANGUAGE_NAMES[language] for language in persona.languages]
    return Text(
        f"This model only speaks {' and '.join(name.en for name in names)}.",
        f"这个模型只会{'和'.join(name.zh for name in names)}。",
    )


def _file_name(name: str) -> str:
    return (_UNSAFE.sub("-", name).strip("-.") or "model") + ".gguf"


def _version(folder: Path, about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for file in sorted(PAGE.iterdir()):
        digest.update(file.read_bytes())
    for file in sorted((folder / "wllama").iterdir()):
        digest.update(f"{file.name} {file.stat().st_size}".encode())
    return digest.hexdigest()[:16]
