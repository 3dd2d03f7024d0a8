"""The rules of `clean`, each by its name: what it mends in a text, or why it removes a row."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from assistant.words import Text

from ..phrases import leading_phrase, trailing_note
from .emoji import EMOJI, without_emoji_beyond

Where = Literal["all", "answers"]


@dataclass(frozen=True)
class Limits:
    """What the rules go by."""

    max_emoji: int = 3


@dataclass(frozen=True)
class Rule:
    """A rule that mends text. `where` says which messages it looks at."""

    name: str
    says: Text
    where: Where
    mend: Callable[[str, Limits], str]


_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


def outside_code(text: str, mend: Callable[[str], str]) -> str:
    """`mend` what is not code; code in Markdown stays as it is."""
    if "`" not in text:
        return mend(text)
    parts = _CODE.split(text)
    return "".join(part if number % 2 else mend(part) for number, part in enumerate(parts))


_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def html_entities(text: str, _: Limits) -> str:
    def mend(part: str) -> str:
        return _BREAK.sub("\n", _ENTITY.sub(lambda match: html.unescape(match[0]), part))

    return outside_code(text, mend) if "&" in text or "<" in text else text


_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_JOINED = (
    "\u2600-\u27bf\U0001f000-\U0001faff\ufe0f\u0600-\u0dff"  # emoji, and scripts that join letters
)
_LONE_JOINER = re.compile(f"(?<![{_JOINED}])\u200d|\u200d(?![{_JOINED}])")


def control_characters(text: str, _: Limits) -> str:
    text = (
        text.replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\u2028", "\n")
        .replace("\u2029", "\n")
    )
    return _LONE_JOINER.sub("", _CONTROL.sub("", text))


_WIDE = {code: code - 0xFEE0 for code in [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)]}  # fmt: skip
_WIDE |= {0x3000: 0x20, 0xA0: 0x20, 0x2007: 0x20, 0x202F: 0x20}


def unicode_form(text: str, _: Limits) -> str:
    """NFC, full-width letters and digits and odd spaces made plain; Chinese punctuation stays."""
    return unicodedata.normalize("NFC", text).translate(_WIDE)


def leading_phrases(text: str, _: Limits) -> str:
    while phrase := leading_phrase(text.lstrip()):
        text = text.lstrip()[len(phrase) :]
    return text


_TITLE = re.compile(
    r"\A\s*(?:#{1,6}\s+[^\n]{1,40}|\*\*[^*\n]{1,30}\*\*|【[^】\n]{1,30}】|《[^》\n]{1,30}》|(?:标题|题目|主题|title)\s*[：:][^\n]{1,40})[：:]?\s*\n+(?=\S)",
    re.IGNORECASE,
)


def titles(text: str, _: Limits) -> str:
    """A title line over a single passage; the headings of a structured answer stay."""
    if len(re.findall(r"(?m)^\s*(?:#{1,6}\s|\*\*[^*\n]+\*\*[：:]?\s*$)", text)) > 1:
        return text
    return _TITLE.sub("", text, count=1)


_QUOTES = {'"': '"', "“": "”", "「": "」", "『": "』", "'": "'", "‘": "’", "«": "»"}


def whole_quotes(text: str, _: Limits) -> str:
    """Quotation marks around the whole; those of two quotations side by side stay."""
    bare = text.strip()
    while len(bare) > 2 and _QUOTES.get(bare[0]) == bare[-1]:
        inside = bare[1:-1]
        if bare[0] in inside or bare[-1] in inside:
            break
        text = bare = inside.strip()
    return text


def trailing_notes(text: str, _: Limits) -> str:
    while note := trailing_note(text.rstrip()):
        text = text.rstrip()[: -len(note.rstrip())].rstrip() if note.strip() else text.rstrip()
    return text


_STRAY = (
    # a particle of speech stranded after the end of a sentence: ！啦~ 。哦！
    (re.compile(r"([。！？!?~～…])\s*(?:啦|哦|呀|哟|呢|喔|噢|嘛|哈|咯|耶|嘻|啊)(?:[~～！!。]+(?=\s|$|[^~～！!。])|(?=\s*$))"), r"\1"),
    (re.compile(r"^[\s，。、；：,.;:！!？?~～]+(?=[\w\u3400-\u9fff“\"「《【*#])(?<!\.\.\.)"), ""),
    (re.compile(r"([，、；：])[，、；：]+"), r"\1"),
    (re.compile(r"[，、；：]+([。！？])"), r"\1"),
    (re.compile(r"([。！？])[，、；：。]+"), r"\1"),
    (re.compile(r"([！!？?~～])\1{2,}"), r"\1"),
    (re.compile(r"[，、,]+\s*$"), ""),
)  # fmt: skip


def stray_punctuation(text: str, _: Limits) -> str:
    def mend(part: str) -> str:
        for pattern, instead in _STRAY:
            part = pattern.sub(instead, part)
        return part

    if "`" not in text:
        return mend(text)
    return text


def too_many_emoji(text: str, limits: Limits) -> str:
    return without_emoji_beyond(text, limits.max_emoji) if EMOJI.search(text) else text


def spacing(text: str, _: Limits) -> str:
    def mend(part: str) -> str:
        return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+(?=\n)", "", part))

    return outside_code(text, mend).strip()


RULES: tuple[Rule, ...] = (
    Rule("control", Text("control and invisible characters", "控制字符和不可见字符"), "all", control_characters),
    Rule("html", Text("HTML entities and line breaks", "HTML 实体和换行标签"), "all", html_entities),
    Rule("unicode", Text("Unicode normal form, full-width letters", "Unicode 规范化、全角字母数字"), "all", unicode_form),
    Rule("lead", Text("leading phrases of the generator", "生成模型的开场白"), "answers", leading_phrases),
    Rule("title", Text("a title over the answer", "回答上方的标题"), "answers", titles),
    Rule("quotes", Text("quotes around the whole", "整段引号"), "answers", whole_quotes),
    Rule("notes", Text("notes after the answer", "回答后面的附注"), "answers", trailing_notes),
    Rule("punctuation", Text("stray punctuation", "多余的标点"), "answers", stray_punctuation),
    Rule("emoji", Text("more emoji than wanted", "过多的表情符号"), "answers", too_many_emoji),
    Rule("space", Text("blank lines and spaces at the ends", "多余的空行和首尾空格"), "all", spacing),
)  # fmt: skip
REMOVING: dict[str, Text] = {
    "empty": Text("nothing is left of a message", "消息清洗后为空"),
    "length": Text("wrong length for its style", "长度不符合风格"),
    "language": Text("answered in the wrong language", "回答的语言不对"),
}
NAMES: tuple[str, ...] = (*(rule.name for rule in RULES), *REMOVING)
