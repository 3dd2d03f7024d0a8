"""Which language a text is in: by its script, and by a library where several share one script."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache

GUESSED = (
    "en", "fr", "de", "es", "it", "pt", "nl", "sv", "da", "pl", "cs", "ro", "hu", "fi", "tr", "vi", "id", "ms",
    "el", "ar", "fa", "he", "hi", "bn", "th", "ta", "ur",
)  # fmt: skip
GUESSED_FROM = 200  # characters
LEAST = 4  # letters: a shorter text is in no language in particular
LATIN_LEAST = 24  # letters: a shorter Latin text is taken for English
_KANA = re.compile(r"[\u3040-\u30ff]+")
_HANGUL = re.compile(r"[\uac00-\ud7af]+")
_HAN = re.compile(r"[\u3400-\u9fff]+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]+")
_OTHER = re.compile(r"[\u0370-\u03ff\u0590-\u06ff\u0900-\u0e7f]+")
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`|https?://\S+", re.DOTALL)
_ASKS_FOR_LANGUAGE = re.compile(
    r"翻译|译成|英文|英语|中文|汉语|日语|日文|法语|德语|韩语|西班牙语|俄语|用.{1,4}语|translat|chinese|english|"
    r"japanese|french|german|korean|spanish|russian|mandarin|代码|程序|code|python|sql|shell|regex",
    re.IGNORECASE,
)
_ENGLISH_WORDS = (
    "the a an of to in is and that it for you i we are be with on this was as not can have or if do "
    "what how why your my me at from by will would there their they he she has more some"
)
_ENGLISH = frozenset(_ENGLISH_WORDS.split())


@lru_cache(maxsize=16)  # one text is asked about several times in a row
def language_of(text: str) -> str:
    """ "zh", "en", "ja", "ko" or another ISO 639-1 code; "" where the text does not tell.

    Code and addresses do not count. A Chinese character weighs as much as three Latin letters.
    """
    if "`" in text or "://" in text:
        text = _CODE.sub(" ", text)
    if text.isascii():
        latin = _letters(_LATIN, text)
        return _latin(text, latin) if latin >= LEAST else ""
    han, latin, kana, hangul, cyrillic, other = (
        _letters(script, text) for script in (_HAN, _LATIN, _KANA, _HANGUL, _CYRILLIC, _OTHER)
    )
    total = han + latin + kana + hangul + cyrillic + other
    if total < LEAST and not han:
        return ""
    if kana * 10 > han + kana and kana * 2 > latin / 2:
        return "ja"
    if hangul * 2 > latin / 2 and hangul > han:
        return "ko"
    if han * 3 >= latin and han:
        return "zh"
    if cyrillic > latin:
        return "ru"
    if other > latin:
        return _guessed(text)
    return _latin(text, latin)


def _letters(script: re.Pattern[str], text: str) -> int:
    return sum(map(len, script.findall(text)))


def asks_for_language(question: str) -> bool:
    """Whether a question asks for an answer in some language, or in code."""
    return bool(_ASKS_FOR_LANGUAGE.search(question))


def _latin(text: str, letters: int) -> str:
    words = re.findall(r"[a-z']+", text.casefold())
    known = sum(word in _ENGLISH for word in words)
    if letters < LATIN_LEAST or known * 8 >= len(words):
        return "en"
    return _guessed(text)


def _guessed(text: str) -> str:
    """The library's guess among the languages of many speakers."""
    language, _ = _classifier()(text[:GUESSED_FROM])
    return str(language)


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import classify, set_languages

    set_languages(list(GUESSED))
    return classify  # type: ignore[no-any-return]
