"""Placeholders that were never filled in, told from formulas, sets and code.

`{name}` in a sentence is a placeholder, the same in a program is what it should be. So first all
that Markdown marks as code or formula is left out, then each line is weighed: prose or code. What
stands in prose is certain; prose that speaks of code, or stands beside it, leaves it in doubt.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

UNFILLED = re.compile(r"\{\{?\s*(name|author)\s*\}\}?", re.IGNORECASE)  # what this kit itself fills


MOST = 1000  # looked at in one message
LINE = 2000  # characters of a line by which it is told to be code
AROUND = 200  # characters of prose by which a match is weighed


class Placeholder(NamedTuple):
    """What stands there, and whether it is a placeholder for certain."""

    text: str
    certain: bool


_MARKED = re.compile(
    r"(?P<fence>`{3,}|~{3,}).*?(?:(?P=fence)|\Z)"  # code of Markdown
    r"|(?P<tick>`{1,2})[^`\n]+(?P=tick)"
    r"|(?<=[=(,fFrR])\s{0,9}(?P<triple>\"{3}|'{3}).{0,5000}?(?P=triple)"
    r"|\$\$.{1,2000}?\$\$|\\\(.{1,500}?\\\)|\\\[.{1,1000}?\\\]"  # formulas
    r"|(?<![\\\w$])\$(?![\s$])[^$\n]{0,200}?(?<![\s\\])\$(?![\d\w{])"
    r"|\\begin\{(?P<room>[\w*]+)\}.*?(?:\\end\{(?P=room)\}|\Z)"
    r"|<(?P<tag>script|style|pre|code|svg|template|head)\b[^>]*>.*?(?:</(?P=tag)>|\Z)"
    r"|\{%.{0,500}?%\}|\{#.{0,500}?#\}|<%.{0,500}?%>|<!--.{0,2000}?-->"  # of template languages
    r"|\b(?:https?|ftp|file)://[^\s\u3000-\u9fff\uff00-\uffef]+",
    re.DOTALL | re.IGNORECASE,
)
_NOUN = (
    r"(?:(?!no |see |original |unknown |same |optional )[a-z]{2,14}(?:['’]s)?[ _]){0,2}"
    r"(?:(?:sur|user|nick|first|last|full|bot|file)?names?|authors?|developers?|owner|company|organi[sz]ation|"
    r"position|title|date|recipient|city|state|country|address|e-?mail|phone|number|role|scene|style|topic|"
    r"customer|signature|department|university|website)"
)
_ZH_NOUN = (
    r"(?:对方|客户|公司|学校|产品|项目|联系|部门|老师|学生|用户|助手|收件人|寄件人|具体|活动|您?的?)*"
    r"(?:姓名|名字|名称|昵称|称呼|作者|公司|单位|日期|时间|地点|收件人|职位|职务|电话|地址|邮箱|角色|场景|风格)"
)
_OWN = r"(?:your|the|my|insert|enter|add|his|her|their)[ _](?:\w+[ _])?"
_ZH_OWN = r"(?:你的|您的|我的|请?填写|请?输入|插入|某个?|此处)"
_WORD = rf"(?:(?:{_OWN})?{_NOUN}|{_ZH_OWN}?{_ZH_NOUN})"
_CAPITALS = r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*"
_BRACES = re.compile(
    r"(?P<double>(?<!\{)\{\{\s*[A-Za-z_\u4e00-\u9fff][\w .\u4e00-\u9fff]{0,30}\}\}(?!\}))"  # {{AUTHOR}}
    rf"|(?P<shell>\$\{{\s*[A-Za-z_]\w{{1,30}}\s*\}}|%\([A-Za-z_]\w{{1,30}}\)s)"
    rf"|(?P<known>[{{｛]\s*(?i:{_WORD})\s*[}}｝])"  # {name}
    rf"|(?P<capitals>\{{\s*(?=\w{{3}}){_CAPITALS}\s*\}})"
    r"|(?P<any>\{[a-z]{3,15}(?:_[a-z]{2,15})*\})"
)
_BRACKETS = re.compile(
    rf"\[\s*(?P<square>(?i:{_WORD})(?: here)?|(?i:insert|enter|add|your|请填写|此处填写|填写|插入)[ \w'，、/-]{{1,30}}"
    rf"|(?=[A-Z_]*_){_CAPITALS})\s*\]"
    rf"|【\s*(?P<lenses>{_WORD}|{_ZH_OWN}[^】\n]{{0,12}})\s*】",
)
_ANGLES = re.compile(
    rf"<(?P<word>(?i:{_WORD})|(?=[A-Z_]*_){_CAPITALS}|NAME|AUTHOR|(?i:insert|your)[ _][\w ]{{1,24}})>"
)
_CROSSES = re.compile(
    r"(?<![A-Za-z0-9])(?:[Xx]{2,5}|[×＊]{2,5}|[○〇]{2,4})"
    r"(?=先生|女士|小姐|同学|老师|经理|主任|教授|同志|领导|公司|有限公司|集团|学校|大学|医院|部门|单位)"
    r"|(?:(?<=我叫)|(?<=我是)|(?<=名叫)|(?<=[Mm]y name is )|(?<=I am called ))"  # a name that is none
    r"(?:[Xx]{2,5}|[×＊]{2,5}|[○〇]{2,4}|_{2,9})(?=[\s，。,.!！;；]|$)"
)
_MARKS = ("{", "｛", "[", "【", "<", "%(", "XX", "xx", "××", "＊＊", "○○", "〇〇", "__")

_CODE_LINE = re.compile(
    r"[;{]\s*(?://.*|/\*.*|\#.*)?$|^\s*[}\])]+[;,)]*\s*$"  # ends like a statement
    r"|^\s*(?://|/\*|\*/|#!|#include|#define|>>>|\.\.\. |\$ |PS [A-Z]:|@\w+(?:\(|\s*$)|--\s)"
    r"|^\s*(?:def|class|func|fn|function|async|public|private|protected|static|const|let|var|val|typedef|"
    r"struct|enum|union|interface|impl|package|namespace|using|module|import|export|extends|elif|else|try|"
    r"except|finally|return|raise|throw|yield|await|print|println|printf|echo|local|set|unset|lambda)\b"
    r"(?=.*[(){}=:;\"'<>])(?![^(){}=;\"'<>]*[，。！？])"
    r"|^\s*(?:if|for|while|switch|match|with|foreach|unless)\b.*[:{]\s*$|^\s*(?:if|for|while|switch)\s*\("
    r"|^\s*(?:sudo|git|docker|kubectl|pip|npm|npx|yarn|curl|wget|cd|mkdir|cp|mv|rm|ls|cat|chmod|export|source|"
    r"ssh|scp|tar|grep|sed|awk|find|conda|python3?|node|make|cargo|go|java|javac|gcc|apt|apt-get|brew)\s+[-\w./$\"'{}<>\[\]~=:]+(?:\s|$)(?!.*[，。！？]|.*[a-z]{2}[.!?]\s*$)"
    r"|^\s*(?:FROM|RUN|ENV|COPY|WORKDIR|CMD|SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|WHERE|JOIN|GET|POST|PUT)\s+\S*[\[{/'\"`=*(]"
    r"|\bSELECT\b.+\bFROM\b|\bINSERT INTO\b|\bVALUES\s*\(|\bDELETE FROM\b|;\s*(?:then|do|done|fi)\b"
    r"|^\s*(?:if|while|until|elif)\s+!?\s*\[|^\s*(?i:usage|synopsis|用法)\s*[:：]"
    r"|^\s*[\"'][\w .-]+[\"']\s*:\s*\S|^\s*[-\w.]+\s*:\s*[^;\n]+;\s*$"  # JSON, CSS
    r"|^\s*(?:-\s+)?[a-z][-\w]*:\s*[\"']?\$?\{\{"  # YAML
    r"|[\w.#)\]-]\s*\{\s*[\w-]+\s*:|\{\s*[\"'][\w .-]+[\"']\s*:|[→↦⇒]\s*\{|\}\s*[→⇒]|[A-Za-z_]\w*\.\w+\("
    r"|^\s*</?[A-Za-z][\w.-]*[^<>]*>\s*$"
    r"|(?:^|[\s(,=+])(?:[fF][rR]?|[rR][fF]|[$@]{1,2})[\"'][^\"'\n]*\{"  # f-strings
    r"|\.\s*(?:format|format_map|replace|substitute|join|render|map|log|println?|printf|append|split|get|send|filter)\s*\("
    r"|\b(?:printf|sprintf|println!|print|format!|console\.\w+|String\.format|echo|str|len|int|range|require|fetch|useState|render|puts|cout|alert)\s*(?:\(|<<)"
    r"|=>|->\s*[\w{(]|::\w|:=|[=!]==?\s|\+\+|&&|\|\||<<|>>\s"
    r"|(?<![\w.。，])[A-Za-z_][\w.\[\]]*\s*[-+*/|&%]?=\s*[\"'{\[(\w$<`-]"  # an assignment
    r"|\w\(\s*\{?\s*\w*\s*\}?\s*\)|[A-Za-z0-9\])]\{|@\w+\{"
    r"|</\s*[A-Za-z][\w.-]*\s*>|<[A-Za-z][\w.-]*(?:\s[^<>]*)?/?>(?<!/>).*</|<[A-Za-z][\w.-]*\s[^<>]*=[^<>]*>|/>"
    r"|\b(?:import|export)\s*\{|\b(?:struct|enum|union|interface|class|trait|record|namespace)\s+\w+\s*\{"
    r"|\\[A-Za-z]+\s*[{\[]|[_^]\{|[∈∉⊂⊆∪∩∑∏∀∃≡↦]|[=∈]\s*\{|\{\s*\}"
)
_INLINE_MARKUP = re.compile(r"</?(?:b|i|u|em|strong|br|span|font|small|a)\b[^<>]*>", re.IGNORECASE)  # fmt: skip
_PROSE_CUE = re.compile(
    r"(?:我是|我叫|名叫|叫做|叫|由|被|尊敬的|亲爱的|敬爱的|你好[，,]?|您好[，,]?|此致|\bdear|\bhi,?|\bhello,?|\bi am|\bi['’]m|\bmy name is|\bcalled|"
    r"\bmade by|\bcreated by|\btrained by|\bdeveloped by|\bbuilt by|\bregards,?|\bsincerely,?|\byours,?)\s*[“\"*]*\s*$",
    re.IGNORECASE,
)
_ABOUT_CODE = re.compile(
    r"代码|编程|程序|脚本|函数|变量|占位符|模板(?:引擎|语法|字符串|变量|文件)|提示词模板|字符串|正则|语法|命令行|环境变量|接口|路由|配置文件|组件|渲染"
    r"|\b(?:code|coding|program(?:ming)?|script|function|variables?|placeholders?|templat(?:e (?:engine|string|literal|syntax|tag|variable|file)s?|ing)|"
    r"prompt template|strings?|f-strings?|regex|regular expression|syntax|command[- ]line|cli|environment variable|api|endpoint|"
    r"route|url|config(?:uration)? file|component|render(?:s|ed|ing)?|python|java|javascript|typescript|react|vue|angular|svelte|jinja2?|django|flask|"
    r"fastapi|handlebars|mustache|liquid|html|xml|css|json|yaml|toml|sql|bash|shell|powershell|docker|kubernetes|ansible|github actions|latex|"
    r"rust|golang|c\+\+|c#|php|ruby|kotlin|swift|bibtex|dict(?:ionary)? key|format\(\)|i18n|translation (?:string|file))\b",
    re.IGNORECASE,
)
_ABOUT_SETS = re.compile(
    r"\bsets?\b|\bsubset|\belements?\b|集合|元素|子集|\\[A-Za-z]+", re.IGNORECASE
)
_ENVIRONMENT = frozenset(["HOME", "PATH", "USER", "PWD", "SHELL", "LANG", "TERM", "HOSTNAME", "TMPDIR", "EDITOR", "LOGNAME", "OLDPWD", "UID"])  # fmt: skip
_LABELS = re.compile(r"title|scene|style|topic|role|场景|风格|角色|时间|日期|地点", re.IGNORECASE)


def placeholders(text: str, question: str = "") -> Iterator[Placeholder]:
    """The placeholders of a message; `question` is what it answers, which tells its matter too."""
    if not any(mark in text for mark in _MARKS):
        return
    plain = without_code(text)
    lines = plain.split("\n")
    code: list[bool] | None = None
    most = MOST
    for place, line in enumerate(lines):
        matches = [*itertools.islice(_matches(line), most)]
        most -= len(matches)
        if not matches:
            continue
        if code is None:
            code = [bool(_CODE_LINE.search(line[:LINE])) for line in lines]
        if _within_code(code, lines, place):
            continue
        doubt = any(code) or "\0" in plain or bool(_ABOUT_CODE.search(f"{question}\n{plain}"))
        for kind, match in matches:
            verdict = _verdict(kind, match, doubt or code[place], text)
            if verdict is not None:
                yield Placeholder(match[0], verdict)


def of_turns(turns: Sequence[tuple[str, str]]) -> Iterator[Placeholder]:
    """The placeholders of a conversation's turns, (role, content)."""
    question = ""
    for role, text in turns:
        yield from placeholders(text, question if role == "assistant" else "")
        if role == "user":
            question = text


def without_code(text: str) -> str:
    """`text` with what is marked as code or formula left out, a NUL in place of code."""
    return _MARKED.sub(_left_out, text)


def _left_out(match: re.Match[str]) -> str:
    """Nothing for a formula or an address; NUL for code, which a sentence may speak of."""
    return " " if match[0][0] in "$\\hfH" else "\0" + "\n" * match[0].count("\n")


def _matches(line: str) -> Iterator[tuple[str, re.Match[str]]]:
    for pattern in (_BRACES, _BRACKETS, _ANGLES, _CROSSES):
        for match in pattern.finditer(line):
            yield match.lastgroup or "crosses", match


def _within_code(code: Sequence[bool], lines: Sequence[str], place: int) -> bool:
    """Whether a line is code, or stands between lines of code as a text in a program does."""
    if code[place]:
        return not _only_markup(lines[place])
    before = next((code[at] for at in range(place - 1, -1, -1) if lines[at].strip()), False)
    after = next((code[at] for at in range(place + 1, len(code)) if lines[at].strip()), False)
    return before and after


def _only_markup(line: str) -> bool:
    """Whether a line of prose looks like code only for the tags that a mail may have."""
    bare = _INLINE_MARKUP.sub("", line)
    words = re.findall(r"[A-Za-z]{2,}|[\u3400-\u9fff]", re.sub(r"[{\[<].*?[}\]>]", "", bare))
    return bare != line and len(words) > 1 and not _CODE_LINE.search(bare)


def _verdict(kind: str, match: re.Match[str], doubt: bool, text: str) -> bool | None:
    """Whether a match in a line of prose is a placeholder for certain; None: it is none."""
    line, start, end = match.string, match.start(), match.end()
    before, after = line[max(0, start - AROUND) : start], line[end : end + AROUND]
    cued = bool(_PROSE_CUE.search(_INLINE_MARKUP.sub("", before)))
    if kind == "crosses":
        return cued and match[0][0] != "_"  # a blank may be one to fill in
    if kind in ("square", "lenses"):
        return _bracketed(match, kind, doubt)
    if before[-1:] in tuple("=/\\_^@#~|") or re.match(r"/|\.\w|=|\(|\[|_|\^", after):
        return None
    if kind == "word":
        return _angled(match, doubt, cued, text)
    if before[-1:] in tuple("{[(") and not cued and doubt:
        return None
    if before.endswith("$") and kind != "shell":
        return None
    if kind == "double" and ("{%" in text or ("." in match[0] and doubt)):
        return None
    if kind == "shell":
        name = re.sub(r"\W", "", match[0][:-1] if match[0][0] == "%" else match[0])
        if name in _ENVIRONMENT or name.isupper():
            return None if doubt or name in _ENVIRONMENT else False
        return not doubt or cued
    if kind == "any":
        return True if cued and not doubt else (False if "_" in match[0] and not doubt else None)
    if kind != "double" and _ABOUT_SETS.search(before + after) and not cued:
        return None
    if before[-1:].isascii() and before[-1:].isalnum():
        return None if doubt else False
    return not doubt or (cued and not _quoted(before, after))


def _bracketed(match: re.Match[str], kind: str, doubt: bool) -> bool | None:
    """[Your Name], 【姓名】: not a link, an index, or the title of what follows."""
    line, before, after = match.string, match.string[: match.start()], match.string[match.end() :]
    if re.match(r"\(|\[|:\s+$|:\s*\S*[/.#]|\]", after) or (before[-1:] and before[-1] in "[!^\\"):
        return None
    if before[-1:].isascii() and (before[-1:].isalnum() or before.endswith((")", "_", "]"))):
        return None
    inside = match[kind]
    if kind == "lenses" and before.rstrip().endswith("》") and after[:1].isalpha():
        return None  # 《红楼梦》【作者】曹雪芹: what is said of a book, named
    if not before.strip(" \t*#>-·•") or (
        kind == "lenses" and line.lstrip().startswith("【")
    ):  # at the head of a line: a title, or a line of a letter
        rest = after.strip(" \t*")
        if kind == "lenses" or not re.search(r"(?i)your|my|insert|enter|你的|您的|填写", inside):
            if rest and (kind == "lenses" or rest[0] in ":：" or not re.match(r"[a-z,，]", rest)):
                return None if rest.strip(":：") and kind == "lenses" else False
            if not rest and _LABELS.search(inside):
                return False
    return not (doubt and line.strip() == match[0] and kind == "lenses")


def _angled(match: re.Match[str], doubt: bool, cued: bool, text: str) -> bool | None:
    """<AUTHOR>, <your name>: not an element, a type, or what a command takes."""
    before, inside = match.string[: match.start()], match["word"]
    if (before[-1:].isascii() and before[-1:].isalnum()) or f"</{inside}" in text:
        return None
    if inside in (
        "title",
        "address",
        "style",
        "scene",
        "role",
        "date",
        "number",
        "email",
        "city",
        "state",
    ):
        return None if doubt and not cued else cued
    return not doubt or cued


def _quoted(before: str, after: str) -> bool:
    """Whether a match stands in straight quotes, as a text in a program does."""
    return any(before.count(mark) % 2 and mark in after for mark in ('"', "'"))
