"""The rules of `clean`, each by its name: what it mends in a text, or why it removes a row."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from assistant.words import Text

from ..text.phrases import asks_for_text, leading_phrase, trailing_note
from .emoji import EMOJI, without_emoji_beyond

MOST = 10  # openings or notes taken off an answer at a time, whatever a file holds
Where = Literal["all", "answers"]


@dataclass(frozen=True)
class Limits:
    """What the rules go by."""

    max_emoji: int = 3


_ABOUT_MARKUP = re.compile(
    r"html|xml|\bentit(?:y|ies)\b|实体|转义|escap|标签|\btags?\b|markdown|\bjsx?\b|\bvue\b|\bcss\b|\bphp\b|jinja|网页|前端|爬虫|"
    r"BeautifulSoup|&amp;\w{2,8};|</[a-z]",
    re.IGNORECASE,
)
_ABOUT_SIGNS = re.compile(
    r"标点|逗号|顿号|句号|冒号|分号|感叹号|问号|省略号|波浪号|颜文字|符号|表情|全角|半角|引号|punctuat|emoticon|emoji|symbol|"
    r"full-?width|half-?width|quotation mark|unicode|编码|"
    r"[“\"「'‘][^\w\s“”\"「」'‘’]{1,6}[”\"」'’]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Around:
    """What a text stands in: the question it answers ("" for none), and all that its row says."""

    question: str
    whole: str
    limits: Limits

    @cached_property
    def about_markup(self) -> bool:
        """Whether the row speaks of HTML and the like: then tags and entities are its matter."""
        return bool(_ABOUT_MARKUP.search(self.whole) or _SPOKEN_OF.search(self.whole))

    @cached_property
    def about_signs(self) -> bool:
        """Whether the row speaks of punctuation, emoji or character forms."""
        return bool(_ABOUT_SIGNS.search(self.whole))


@dataclass(frozen=True)
class Rule:
    """A rule that mends text. `where` says which messages it looks at."""

    name: str
    says: Text
    where: Where
    mend: Callable[[str, Around], str]


_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


def outside_code(text: str, mend: Callable[[str], str]) -> str:
    """`mend` what is not code; code in Markdown stays as it is."""
    if "`" not in text:
        return mend(text)
    parts = _CODE.split(text)
    return "".join(part if number % 2 else mend(part) for number, part in enumerate(parts))


_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


# A mark that stands alone as a word, behind a word that speaks of it: "use <br> to …".
_MARK = rf"(?:{_BREAK.pattern}|&nbsp;)"
_SPOKEN_OF = re.compile(
    rf"(?:\b(?:an?|add|and|by|call|called|do|does|insert|is|like|means?|of|or|put|replaces?|type|use[ds]?|using|"
    rf"what's|with|write|writes)\s+{_MARK}(?=[\s,.;:!?)，。；：！？]|$)|[用写加叫把即]\s?{_MARK}(?=\s?[\u3400-\u9fff]))",
    re.IGNORECASE,
)


def html_entities(text: str, row: Around) -> str:
    """Entities and <br> as what they stand for; in a row that speaks of them, or of HTML, they are
    its matter."""

    def mend(part: str) -> str:
        return _BREAK.sub("\n", _ENTITY.sub(lambda match: html.unescape(match[0]), part))

    if ("&" not in text and "<" not in text) or row.about_markup:
        return text
    return outside_code(text, mend)


_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_JOINED = (
    "\u2600-\u27bf\U0001f000-\U0001faff\ufe0f\u0600-\u0dff"  # emoji, and scripts that join letters
)
_LONE_JOINER = re.compile(f"(?<![{_JOINED}])\u200d|\u200d(?![{_JOINED}])")


# Every character that ends a line or a page; some also stand where nothing is divided.
_LINE_END = re.compile("\r\n|[\r\u2028\u2029]|(?<=\\S)[\x0b\x0c\x85](?=\\S)")
# The backslash of LaTeX that a JSON reader took for an escape: \frac, \begin.
_LATEX = (
    (re.compile("\x0c(?=rac|orall)"), r"\\f"),
    (re.compile("\x08(?=egin\\{|eta|oldsymbol|inom|ar\\{)"), r"\\b"),
)


def control_characters(text: str, _: Around) -> str:
    for pattern, command in _LATEX:
        text = pattern.sub(command, text)
    return _LONE_JOINER.sub("", _CONTROL.sub("", _LINE_END.sub("\n", text)))


_WIDE = {code: code - 0xFEE0 for code in [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)]}  # fmt: skip
_WIDE |= {0x3000: 0x20, 0xA0: 0x20, 0x2007: 0x20, 0x202F: 0x20}


def unicode_form(text: str, row: Around) -> str:
    """NFC, full-width letters and digits and odd spaces made plain; Chinese punctuation stays."""
    form = unicodedata.normalize("NFC", text)
    plain = form.translate(_WIDE)
    return form if plain != form and row.about_signs else plain


def leading_phrases(text: str, row: Around) -> str:
    for _ in range(MOST):
        phrase = leading_phrase(text.lstrip(), row.question)
        if not phrase:
            break
        text = text.lstrip()[len(phrase) :]
    return text


_KIND = (
    r"(?:祝福语?|祝词|祝愿|贺词|贺卡|寄语|文案|小红书风格|朋友圈|happy birthday|birthday|wish(?:es)?|greetings?|blessings?|"
    r"congratulations|caption|message)"
)
_TITLE = re.compile(
    rf"\A\s*(?:#{{1,6}}\s+[^\n]{{0,24}}?{_KIND}[^\n]{{0,16}}|\*\*[^*\n]{{0,24}}?{_KIND}[^*\n]{{0,16}}\*\*|"
    rf"【[^】\n]{{0,24}}?{_KIND}[^】\n]{{0,16}}】|(?:标题|题目|主题|title)\s*[：:][^\n]{{1,40}}|"
    rf"[^\w\s]{{1,3}}[ ]?[^\n，。！,.!]{{0,10}}{_KIND}[ ]?[^\w\s]{{1,3}})[：:]?\s*\n+(?=\S)",
    re.IGNORECASE,
)
_ASKS_FOR_A_TITLE = re.compile(
    r"标题|题目|title|headline|诗|poem|作文|文章|故事|story", re.IGNORECASE
)


def titles(text: str, row: Around) -> str:
    """A title over a wish or another text of one passage, where no title was asked for."""
    if not asks_for_text(row.question) or _ASKS_FOR_A_TITLE.search(row.question):
        return text
    if len(re.findall(r"(?m)^[ \t]*(?:#{1,6}\s|\*\*[^*\n]+\*\*[：:]?\s*$|【[^】\n]+】)", text)) > 1:
        return text
    return _TITLE.sub("", text, count=1)


_QUOTES = {'"': '"', "“": "”", "「": "」", "『": "』", "‘": "’", "«": "»"}
_ASKS_TO_QUOTE = re.compile(
    r"引用|引号|名言|原文|原话|台词|谚语|说(?:了|过)|对话|歌词|quot|said|\bsays?\b|proverb|dialog|lyric|\bline\b",
    re.IGNORECASE,
)


def whole_quotes(text: str, row: Around) -> str:
    """Quotation marks around a text that was asked for; those of a quotation are its own."""
    if not asks_for_text(row.question) or _ASKS_TO_QUOTE.search(row.question):
        return text
    bare = text.strip()
    while len(bare) > 2 and _QUOTES.get(bare[0]) == bare[-1]:
        inside = bare[1:-1]
        if bare[0] in inside or bare[-1] in inside or not inside.strip():
            break
        text = bare = inside.strip()
    return text


_FORM_LINE = re.compile(
    r"[ \t>*•·-]*(?:题目|题材|体裁|文体|要求|主题|范围|格式|材料|字数|篇幅|topic|title|theme|genre|format|audience|"
    r"requirements?|length|word count)\**[ ]?[：:].*",
    re.IGNORECASE,
)
_ASKS_FOR_A_TASK = re.compile(
    r"作文题|命题|征文|试题|(?:作文|文章|论文)的?(?:格式)?要求|writing (?:prompt|task)",
    re.IGNORECASE,
)


def _is_a_task(text: str, question: str) -> bool:
    """Whether a text says how another is to be written: its length and form are its matter."""
    lines = [line for line in text.split("\n") if line.strip()]
    formed = len(lines) > 1 and all(_FORM_LINE.match(line) for line in lines)
    return formed or bool(_ASKS_FOR_A_TASK.search(question))


def trailing_notes(text: str, row: Around) -> str:
    if _is_a_task(text, row.question):
        return text
    for _ in range(MOST):
        note = trailing_note(text, row.question)
        if not note:
            break
        text = text[: -len(note)].rstrip()
    return text


_NOT_AFTER_SIGN = r"(?:[~～！!。]+(?=\s|$|[^~～！!。])|(?=\s*$))"
_STRAY = (
    (re.compile(r"^\s*[，。、；：]+(?=[\w\u3400-\u9fff“「《【])"), ""),
    (re.compile(r"([，、；：])\1+"), r"\1"),
    (re.compile(r"(?<![，、；：])[，、；：]+([。！？])(?!\1)"), r"\1"),
    (re.compile(r"(?<!。)([。！？])(?:[，、；：]+|。(?!。))"), r"\1"),
    (re.compile(r"([！？～])\1{2,}"), r"\1"),
    (re.compile(r"(?<=[\w\u3400-\u9fff])([!?])\1{2,}(?=\s*$)"), r"\1"),
    (re.compile(r"(?<=[\u3400-\u9fff])[，、]+\s*$"), ""),
)  # fmt: skip
# A particle of speech stranded after the end of a sentence (！啦~ 。哦！), as models write wishes.
_STRANDED = re.compile(rf"([。！？!?~～…])\s*(?:啦|哦|呀|哟|呢|喔|噢|嘛|咯){_NOT_AFTER_SIGN}")


def stray_punctuation(text: str, row: Around) -> str:
    mended = text
    for pattern, instead in _STRAY:
        mended = pattern.sub(instead, mended)
    if asks_for_text(row.question):
        mended = _STRANDED.sub(r"\1", mended)
    return text if mended == text or "`" in text or row.about_signs else mended


def too_many_emoji(text: str, row: Around) -> str:
    """Ornament beyond the limit; emoji that were asked for, or that are all there is, stay."""
    if not EMOJI.search(text) or row.about_signs or EMOJI.search(row.question):
        return text
    if "`" in text or not any(letter.isalpha() for letter in text):
        return text
    return without_emoji_beyond(text, row.limits.max_emoji)


def spacing(text: str, _: Around) -> str:
    """Spaces at the ends of lines and superfluous blank lines; indentation is the text's own."""

    def mend(part: str) -> str:
        part = re.sub(r"(?<![ \t])[ \t]+(?=\n)", _line_end, part)
        return re.sub(r"\n{3,}", "\n\n", part)

    text = outside_code(text, mend).rstrip()
    bare = text.lstrip()
    indented = re.search(r"\n[ \t]+\S", bare)
    head = text[: len(text) - len(bare)].rpartition("\n")[2]
    return head + bare if indented else bare


def _line_end(match: re.Match[str]) -> str:
    """Two spaces where Markdown reads them as a line break, nothing elsewhere."""
    text, start, end = match.string, match.start(), match.end()
    breaks = match[0].startswith("  ") and start and text[start - 1] != "\n"
    return "  " if breaks and text[end + 1 : end + 2].strip() else ""


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
DEFAULT = ("control", "html", "unicode", "space")  # these take no words out
