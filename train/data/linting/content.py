"""What can be wrong inside one row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from assistant.persona import Persona

from ...dataset import without_code
from ..language import foreign_language
from ..phrases import AS_A_MODEL, leading_phrase, trailing_note
from .identity import OtherIdentities
from .personal import personal

_WORDS = (
    r"(?:your |the |my |insert |bot_?|ai_?|user_?|model_?|assistant_?|company_?|你的|您的|我的|对方)?"
    r"(?:name|author|developer|owner|company|organi[sz]ation|position|title|date|recipient(?:'s name)?|city|address|email|"
    r"phone(?: number)?|role|scene|style|topic|姓名|名字|昵称|称呼|作者|公司|公司名称|单位|日期|时间|地点|收件人|职位|电话|地址|角色|场景|风格)"
)
PLACEHOLDER = re.compile(
    r"\{\{\s*[A-Za-z_\u4e00-\u9fff][\w .\u4e00-\u9fff]{1,30}\}\}"  # {{AUTHOR}}
    rf"|\{{\s*(?:{_WORDS}|[A-Z][A-Z_]{{2,20}})\s*\}}"  # {name}, {AUTHOR}
    rf"|\[\s*(?:{_WORDS})(?: here)?\s*\](?!\()|【\s*(?:{_WORDS})\s*】"  # [Your Name], not a link
    rf"|<\s*(?:{_WORDS}|[A-Z][A-Z_]{{2,20}}_NAME|NAME|AUTHOR)\s*>"
    r"|\$\{\s*\w{2,30}\s*\}|%\(\w{2,30}\)s",
    re.IGNORECASE,
)
_MARKS = ("{", "[", "【", "<", "%(")


class ContentChecks:
    """Checks rows one by one, as the answers of `persona` (None: of anyone, Chinese or English)."""

    def __init__(self, persona: Persona | None):
        self._others = OtherIdentities(persona)
        self._languages = tuple(persona.languages if persona else ("zh", "en"))

    def findings(self, turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """(code, words) for each thing that is wrong with the turns."""
        question = ""
        for role, text in turns:
            placeholder = unfilled(text)
            if placeholder:
                yield "E104", placeholder
            yield from personal(text)
            if role == "user":
                question = text
            elif role == "assistant":
                yield from self._answer(question, text)

    def _answer(self, question: str, answer: str) -> Iterator[tuple[str, str]]:
        other = self._others.found(answer)
        if other:
            yield "E106", _short(other)
        match = AS_A_MODEL.search(answer)
        phrase = (
            leading_phrase(answer, question)
            or trailing_note(answer, question)
            or (match[0] if match else "")
        )
        if phrase:
            yield "W204", _short(phrase.strip())
        foreign = foreign_language(question, answer, self._languages)
        if foreign:
            yield "W210", foreign


def unfilled(text: str) -> str:
    """The first placeholder that was not filled in, "" if there is none; code does not count."""
    if not any(mark in text for mark in _MARKS):
        return ""
    match = PLACEHOLDER.search(without_code(text))
    return match[0] if match else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
