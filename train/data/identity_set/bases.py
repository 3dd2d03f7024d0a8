"""What a base model and its rivals call themselves: words that a trained assistant must not say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from assistant.config import Filled, Table
from assistant.models import LocalModel
from assistant.models.gguf import read_header
from assistant.toml_file import shipped_toml
from assistant.words import Language

from ..probes import says
from .bank import FOLDER

_CHINESE = re.compile(r"[\u3400-\u9fff]")


class BaseFamily(Table):
    """Models or assistants of one house (see banks/bases.toml)."""

    match: tuple[Filled, ...]
    names: tuple[Filled, ...]
    makers: tuple[Filled, ...]
    rival: bool = False
    chinese: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        return self.names + self.makers


@dataclass(frozen=True)
class BaseNames:
    """How the base calls itself and its makers, and whether it answers Chinese well."""

    names: tuple[str, ...]
    makers: tuple[str, ...]
    chinese: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        return self.names + self.makers


@cache
def families() -> tuple[BaseFamily, ...]:
    """All known houses."""
    tables = shipped_toml((FOLDER / "bases.toml").read_text(encoding="utf-8"))
    return tuple(BaseFamily.model_validate(table) for table in tables["family"])


def base_names(model: LocalModel) -> BaseNames:
    """The names of `model`, from its own metadata and its reference."""
    told = [model.name, *_metadata(model)]
    found = [
        family
        for family in families()
        if any(word in text.casefold() for text in told for word in family.match)
    ]
    own = tuple(dict.fromkeys(name for name in map(_short, told) if name))
    names = [name for family in found for name in family.names]
    fresh = [name for name in own[:1] if not found]
    return BaseNames(
        names=tuple(dict.fromkeys(names + fresh)),
        makers=tuple(dict.fromkeys(maker for family in found for maker in family.makers)),
        chinese=all(family.chinese for family in found),
    )


def _metadata(model: LocalModel) -> list[str]:
    """Names that the model's files give."""
    if model.format == "gguf":
        texts = read_header(model.path).texts
        return [texts[key] for key in ("general.basename", "general.name") if key in texts]
    file = model.path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    named = [config.get("_name_or_path", ""), config.get("model_type", "")]
    return [str(name).rstrip("/").rsplit("/", 1)[-1] for name in named if name]


def _short(name: str) -> str:
    """The spoken part of a name such as `MyModel-7B-Instruct`."""
    return re.split(r"[-_ .]", name, maxsplit=1)[0]


def house(word: str) -> BaseFamily | None:
    """The family that has `word` for a name or a maker."""
    return next((family for family in families() if word in family.words), None)


def in_language(words: tuple[str, ...], language: Language) -> list[str]:
    """The words that a speaker of `language` would use, the most natural first."""
    chinese = [word for word in words if _CHINESE.search(word)]
    latin = [word for word in words if not _CHINESE.search(word)]
    return latin[:1] + chinese[:1] + latin[1:] + chinese[1:] if language == "zh" else latin


def identity_words(base: BaseNames, own: str, question: str = "") -> tuple[str, ...]:
    """All words of other identities, less those of houses that `question` names and those that
    the persona's `own` words hold."""
    words = dict.fromkeys(base.words)
    for family in families():
        words.update(dict.fromkeys(family.words))
    named = {
        word
        for house_words in (base.words, *(family.words for family in families()))
        if any(says(question, word) for word in house_words)
        for word in house_words
    }
    return tuple(word for word in words if word not in named and not says(own, word))


def chinese_in(text: str) -> bool:
    """Whether there is Chinese in `text`."""
    return bool(_CHINESE.search(text))
