"""Who the assistant is: the one identity that travels from the data to the model card."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from .config import ByLanguage, Config
from .errors import UsageError
from .models.gguf import read_header
from .placeholders import fill_placeholders
from .words import LANGUAGES, Language, Text, written_language

PERSONA_FILE = "persona.json"
PERSONA_FIELD = "assistant.persona"  # in a GGUF, among fields that other programs pass over


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EachLanguage(_Frozen):
    """What is said to the model in each language, where the texts differ."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """Return the text in `language` ("zh" or "en")."""
        return self.zh if language == "zh" else self.en


class Fact(_Frozen):
    """A question about the assistant and its true answer, placeholders filled."""

    ask: str
    answer: str

    @property
    def language(self) -> Language:
        """The language that the question is written in."""
        return written_language(self.ask)


class Style(_Frozen):
    """A way of answering. `trained` tells whether the weights learned its trigger; `prompts` are None
    where `prompt` serves for all languages."""

    name: str
    label_zh: str
    label_en: str
    prompt: str
    prompts: EachLanguage | None = None
    trigger: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_chars: int | None = None
    trained: bool = False

    def label(self, language: str) -> str:
        return Text(self.label_en, self.label_zh).in_language(language)

    def asked_in(self, language: str) -> Style:
        """Return it with its prompt in `language`."""
        if self.prompts is None:
            return self
        return self.model_copy(update={"prompt": self.prompts.in_language(language)})


class Persona(_Frozen):
    """Name, author, facts and styles, with every placeholder filled.

    `system_prompt` is that of the first of `languages`; `system_prompts` are None where one serves
    for all.
    """

    name: str
    author: str
    languages: tuple[Language, ...]
    system_prompt: str
    system_prompts: EachLanguage | None = None
    facts: tuple[Fact, ...] = ()
    styles: tuple[Style, ...] = ()

    def system(self, language: str | None) -> str:
        """Return the system prompt for a talk in `language`; one it does not speak, or None, gets
        that of its first language."""
        if self.system_prompts is None:
            return self.system_prompt
        return self.system_prompts.in_language(self._spoken(language))

    def _spoken(self, language: str | None) -> str:
        return language if language in self.languages else self.languages[0]

    def own_systems(self) -> tuple[str, ...]:
        """Return every system prompt of its own, the first language's first, each once."""
        return tuple(dict.fromkeys(self.system(language) for language in self.languages))

    def speaking(self, known: Collection[Language]) -> Persona:
        """Return it with only the languages that are `known`, if any of its own is; facts that are
        asked in another are left out."""
        spoken = tuple(language for language in self.languages if language in known)
        first, *_ = spoken = spoken or self.languages
        return self.model_copy(
            update={
                "languages": spoken,
                "system_prompt": self.system(first),
                "facts": tuple(fact for fact in self.facts if fact.language in spoken),
                "styles": tuple(style.asked_in(first) for style in self.styles),
            }
        )

    def style(self, name: str | None, language: str | None = None) -> Style | None:
        """The style of that name, its prompt for a talk in `language`; None for no style. Raises
        UsageError for an unknown one."""
        if not name:
            return None
        for style in self.styles:
            if style.name == name:
                return style.asked_in(self._spoken(language))
        names = ", ".join(style.name for style in self.styles) or "-"
        raise UsageError(
            Text(f"There is no style {name!r}.", f"没有叫 {name!r} 的风格。"),
            Text(f"Known styles: {names}.", f"可用的风格：{names}。"),
        )


def persona_from_config(config: Config) -> Persona:
    """The persona that `assistant.toml` describes; under `languages = "auto"` in every language that
    the kit has (see `assistant.languages` for what a base knows of them)."""
    who = config.assistant
    languages = who.languages or LANGUAGES

    def fill(text: str) -> str:
        return fill_placeholders(text, name=who.name, author=who.author)

    def each(text: ByLanguage) -> EachLanguage | None:
        zh, en = (fill(text.in_language(language)) for language in LANGUAGES)
        return EachLanguage(zh=zh, en=en) if zh != en else None

    def first(text: ByLanguage) -> str:
        return fill(text.in_language(languages[0]))

    return Persona(
        name=who.name,
        author=who.author,
        languages=languages,
        system_prompt=first(who.system_prompt),
        system_prompts=each(who.system_prompt),
        facts=tuple(Fact(ask=fill(fact.ask), answer=fill(fact.answer)) for fact in who.facts),
        styles=tuple(
            Style(
                name=name,
                label_zh=style.label.zh,
                label_en=style.label.en,
                prompt=first(style.prompt),
                prompts=each(style.prompt),
                trigger=fill(style.trigger),
                temperature=style.temperature,
                top_p=style.top_p,
                max_chars=style.max_chars,
            )
            for name, style in config.styles.items()
        ),
    )


def read_persona(place: Path) -> Persona | None:
    """The persona that travels with a model, in its folder or in the GGUF file itself; None where
    there is none.

    Raises UsageError if it is there and cannot be read.
    """
    if place.is_file():
        told = read_header(place).texts.get(PERSONA_FIELD)
        return None if told is None else _persona(told, place)
    file = place / PERSONA_FILE
    return _persona(file.read_bytes(), file) if file.is_file() else None


def _persona(told: str | bytes, file: Path) -> Persona:
    try:
        return Persona.model_validate_json(told)
    except ValidationError as error:
        again = "export" if file.suffix == ".gguf" else "merge"
        raise UsageError(
            Text(
                f"{file} is not a persona of this kit: {error.errors()[0]['msg']}.",
                f"{file} 不是本工具的 persona 文件：{error.errors()[0]['msg']}。",
            ),
            _AGAIN[again],
        ) from None


_AGAIN = {
    "merge": Text(
        "Merge again: python -m train merge --force",
        "请重新合并：python -m train merge --force",
    ),
    "export": Text(
        "Export again: python -m deploy export --force",
        "请重新导出：python -m deploy export --force",
    ),
}


def write_persona(persona: Persona, folder: Path) -> Path:
    """Write `persona.json` into `folder` and return its path."""
    file = folder / PERSONA_FILE
    file.write_text(persona.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return file
