"""Which language a text is in: by its script, and by a library where several share one script."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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


_MARKUP = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`"  # code
    r"|\$\$.*?\$\$|\$[^$\n]+\$|\\\(.*?\\\)|\\\[.*?\\\]|\\[A-Za-z]+(?:\{[^{}\n]*\})*"  # formulas
    r"|https?://\S+|www\.\S+|\S+@\S+\.\w+"  # addresses
    r"|</?[A-Za-z][^<>\n]{0,200}>|&[a-zA-Z#\d]{2,8};",  # markup
    re.DOTALL,
)
_QUOTED = re.compile(
    r"“[^”\n]*”|\"[^\"\n]*\"|「[^」\n]*」|『[^』\n]*』|‘[^’\n]*’|«[^»\n]*»|《[^》\n]*》|„[^“”\n]*[“”]"
    r"|\*[^*\n]+\*|(?<!\w)_[^_\n]+_(?!\w)|(?<!\w)'[^'\n]+'(?!\w)"
)
_ITEM = re.compile(r"[ \t]*(?:[-*•·+|]|\d{1,2}[.、)）]|[a-zA-Z][.)])[ \t]*(.*)")
_BETWEEN = re.compile(r"[,，、;；|/]|\s[-–—=:]\s|\bor\b|\band\b|和|或")
_NAME = re.compile(
    r"(?<=[^\s.!?。！？\n] )[A-ZÀ-ÞА-ЯЁ][\w'’.-]*(?:[ -](?:(?:de|da|von|van|of|la|le) )?[A-ZÀ-ÞА-ЯЁ][\w'’.-]*)*"
)
_CODE_LINE = re.compile(
    r"^[ \t]*(?:[#$>%]|//|/\*|import |from \w+ import|def |class |return\b|print\(|SELECT |pip |npm |git |sudo |[\w.]+\(.*\)\s*;?$|.*[;{}]\s*$|\w+\s*=[^=]).*$",
    re.MULTILINE | re.IGNORECASE,
)
LEAST_TOLD = 12  # letters of prose: less tells nothing
LONGEST_NAME = 5  # words of a title in a list of them
LONGEST_TOLD = 2000  # characters: more tell no more
LEAST_SHARE = 0.1  # of an answer that is in a configured language: then it is not only foreign
SURE = 25  # how much likelier than English the library must find a language (in nats)
_SENTENCE = re.compile(r"[\n。！？!?]+|(?<=[^\W\d]{3})\.\s+")
_WEIGHTS = {"zh": 3, "ja": 3, "ko": 2}  # a letter of these says as much as so many Latin ones
_CHINESE = re.compile(r"[了这那吗呢么们没你您谢说吧很还哪啊]")  # not written in Japanese
_ASKS_FOR_WORDS = re.compile(
    r"怎么(?:说|讲|读|念|写|拼)|谚语|俗语|座右铭|歌词|俳句|拼音|罗马音|造[一两三几]?个?句|例句|单词|词汇|语法|口语|外语|方言|"
    r"[\u4e00-\u9fff](?:国|西班牙|葡萄牙|意大利|阿拉伯|越南|泰|希腊|拉丁|荷兰|瑞典|波兰|土耳其|印尼|马来|印地|乌克兰|希伯来|蒙古|藏|粤|葡|西|意|阿)(?:语|文)|"
    r"(?:西班牙|葡萄牙|意大利|阿拉伯|越南|泰|希腊|拉丁|荷兰|瑞典|波兰|土耳其|印尼|马来|印地|乌克兰|希伯来|蒙古|藏|粤|葡)(?:语|文)|"
    r"日本語|한국어|deutsch|français|español|italiano|português|русск|how (?:do|would|can) (?:you|i|we) say|in (?:italian|portuguese|arabic|latin|greek|dutch|swedish|polish|turkish|"
    r"hindi|thai|vietnamese|indonesian|hebrew|ukrainian|cantonese|danish|finnish|czech|hungarian|romanian|persian|urdu|bengali)|"
    r"\b(?:italian|portuguese|arabic|latin|greek|dutch|swedish|polish|turkish|hindi|thai|vietnamese|indonesian|hebrew|ukrainian)\b|"
    r"proverb|lyrics|haiku|motto|pinyin|pronounc|vocabular|grammar|synonym|foreign language|native (?:word|speaker)",
    re.IGNORECASE,
)


def prose_of(text: str) -> str:
    """`text` without what is in no language of its own: code, formulas, addresses, markup, names
    inside a sentence, and words that are quoted or listed."""
    for pattern in (_MARKUP, _CODE_LINE, _QUOTED):
        text = pattern.sub(" ", text)
    if _titles(text):
        return ""
    text = _NAME.sub(" ", text)
    return "\n".join(line for line in text.split("\n") if not _listed(line))


def _titles(text: str) -> bool:
    """Tell whether a text is nothing but names of works or places: three and more, between commas or
    one a line, each a few words that begin with a capital."""
    lines = [line.strip().rstrip(".") for line in text.split("\n") if line.strip()]
    names = [name for line in lines for name in _BETWEEN.split(line)]
    words = [name.split() for name in names if name.strip()]
    return len(words) > 2 and all(
        len(name) <= LONGEST_NAME and name[0][0].isupper() and name[-1][-1] not in "!?:;"
        for name in words
    )


def _listed(line: str) -> bool:
    """Tell whether a line lists words: an item of a list, or three and more between commas."""
    item = _ITEM.match(line)
    said = (item[1] if item else line).strip().rstrip(".。!！")
    parts = [part.split() for part in _BETWEEN.split(said.rpartition("：")[2].rpartition(": ")[2])]
    if item and all(len(part) <= 3 for part in parts):
        return said.isascii() or len(said) < 2 * LEAST_TOLD
    return len(parts) > 2 and all(len(part) < 3 for part in parts) and " " in said


def foreign_language(question: str, answer: str, languages: Sequence[str]) -> str:
    """The language of an answer that is in none of `languages`, though its question asked for
    none other; "" where it is right, or too short to tell."""
    if asks_for_language(question) or _ASKS_FOR_WORDS.search(question):
        return ""
    shares = _shares(prose_of(answer[:LONGEST_TOLD]))
    asked = prose_of(question[:LONGEST_TOLD])
    expected = {*languages, language_of(asked), _likely_latin(asked)}
    total = sum(shares.values())
    known = sum(weight for language, weight in shares.items() if language in expected)
    if known > total * LEAST_SHARE:
        return ""
    told = {name: weight for name, weight in shares.items() if name and name not in expected}
    found = max(told, key=lambda name: told[name], default="")
    if not found or told[found] < max(LEAST_TOLD * _WEIGHTS.get(found, 1), total / 2):
        return ""
    if _names(question, found):
        return ""
    return found


def _names(question: str, language: str) -> bool:
    """Tell whether a question holds words in the script of `language`: it may be about them."""
    scripts = {"ja": _KANA, "ko": _HANGUL, "ru": _CYRILLIC, "zh": _HAN}
    script = scripts.get(language)
    if script:
        return bool(script.search(question))
    latin = sum(len(word) for word in _LATIN.findall(_MARKUP.sub(" ", question)) if len(word) > 2)
    return latin > 0 and language_of(question) in {"zh", "ja", "ko", ""}


def _shares(prose: str) -> dict[str, float]:
    """How much of a text is in which language, in letters; "" where one cannot tell."""
    shares: dict[str, float] = {}
    short = []
    for sentence in _SENTENCE.split(prose):
        counted = _by_script(sentence)
        latin = counted.pop("latin", 0)
        for name, weight in counted.items():
            shares[name] = shares.get(name, 0) + weight
        if latin >= LATIN_LEAST:
            name = _surely_latin(sentence)
            shares[name] = shares.get(name, 0) + latin
        elif latin:
            short.append(sentence)
    together = ". ".join(short)
    latin = _letters(_LATIN, together)
    if latin:
        name = _surely_latin(together) if latin >= LATIN_LEAST else ""
        shares[name] = shares.get(name, 0) + latin
    return shares


def _by_script(sentence: str) -> dict[str, float]:
    """The letters of a sentence by language, as far as the script tells; the Latin ones apart."""
    latin = _letters(_LATIN, sentence)
    if sentence.isascii():
        return {"latin": latin} if latin else {}
    han, kana, hangul, cyrillic, other = (
        _letters(script, sentence) for script in (_HAN, _KANA, _HANGUL, _CYRILLIC, _OTHER)
    )
    chinese = not kana or bool(_CHINESE.search(sentence))
    counted = {
        "zh": _WEIGHTS["zh"] * han if chinese else 0,
        "ja": _WEIGHTS["ja"] * (kana if chinese else kana + han),
        "ko": _WEIGHTS["ko"] * hangul,
        "ru": cyrillic,
        "latin": latin,
    }
    if other > LEAST_TOLD:
        counted[_guessed("".join(_OTHER.findall(sentence)))] = other
    return {name: weight for name, weight in counted.items() if weight}


def _likely_latin(question: str) -> str:
    """The likeliest language of a question in Latin letters, "" where it holds too few."""
    return _guessed(question) if _letters(_LATIN, question) >= LEAST_TOLD else ""


def _surely_latin(sentence: str) -> str:
    """The language of a sentence in Latin letters, "" where English is about as likely."""
    words = re.findall(r"[^\W\d_]+", sentence.casefold())
    if sum(word in _ENGLISH for word in words) * 5 >= len(words):
        return "en"
    _classifier()  # sets the languages
    from py3langid.langid import rank

    ranked = rank(sentence[:GUESSED_FROM])
    language, score = ranked[0]
    english = next(value for name, value in ranked if name == "en")
    if language == "en":
        return "en"
    return str(language) if score - english > SURE else ""
