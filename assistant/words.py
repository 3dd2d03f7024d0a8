"""Text for people, in Chinese and English side by side, so neither can be forgotten."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")


class Text(NamedTuple):
    """One sentence in both languages. `str()` gives the one of this terminal's locale."""

    en: str
    zh: str

    def in_language(self, language: str) -> str:
        """The sentence in `language` ("zh" or "en"; anything else is read as English)."""
        return self.zh if language == "zh" else self.en

    def __str__(self) -> str:
        return self.in_language(terminal_language())


LANGUAGE_NAMES: dict[Language, Text] = {
    "zh": Text("Chinese", "中文"),
    "en": Text("English", "英文"),
}


def terminal_language() -> Language:
    """The language for terminal output: ASSISTANT_LANG, else the POSIX locale variables."""
    for variable in ("ASSISTANT_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable, "")
        if value:
            return language_of_tag(value)
    return "en"


def language_of_tag(tag: str) -> Language:
    """The supported language nearest to a locale or Accept-Language value such as `zh_CN.UTF-8`."""
    return "zh" if tag.strip().lower().startswith("zh") else "en"


def written_language(text: str) -> Language:
    """The language that a text is written in: Chinese where it has a Chinese letter."""
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"


def joined(*texts: Text | None) -> Text | None:
    """The sentences one after the other, in both languages; None where there is none."""
    said = [text for text in texts if text]
    if not said:
        return None
    return Text(" ".join(text.en for text in said), "".join(text.zh for text in said))


def filled(text: Text, **values: object) -> Text:
    """`text` with its placeholders filled in, in both languages."""
    return Text(*(said.format(**values) for said in text))
