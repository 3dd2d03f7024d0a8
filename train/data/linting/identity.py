"""Who an answer says it is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from assistant.persona import Persona

from ..identity_set.bases import families

_IDENTITY_QUESTION = re.compile(
    r"你(?:是|到底是|究竟是)(?:谁|什么|哪)|你叫(?:什么|啥)|(?:介绍|说说)(?:一下)?(?:你|自)自?己|你的(?:名字|身份|作者|开发者|创造者|主人)"
    r"|谁(?:开发|创造|训练|制作|做|设计|发明)(?:了|的)?你|你是(?:由|被)?谁|who (?:are|r) (?:you|u)\b|what(?:'s| is) your name"
    r"|who (?:made|created|built|trained|developed|designed) you|introduce yourself|tell me about yourself|your (?:creator|author|developer)",
    re.IGNORECASE,
)
_SELF = re.compile(r"我(?:就|其实|只)?(?:是|叫|名叫|的名字|由|来自)|\b(?:I am|I'm|I’m|my name|call me|I was|made me|created me)\b", re.IGNORECASE)  # fmt: skip
_SENTENCE = re.compile(r"[^。！？!?\n]+")
_NOT = re.compile(
    r"不是|并非|并不|不叫|没有|而不|\bnot\b|n't\b|n’t\b|\bnever\b|\bunlike\b", re.IGNORECASE
)
_OWN_NAME = re.compile(
    r"(?:我(?:就|其实)?(?:是|叫|名叫)|我的名字(?:是|叫))\s*(?![一个由你您这那谁来专为])([\w\u3400-\u9fff]{1,16})"
    r"|(?:\b[Ii](?: am|'m|’m)|\b[Mm]y name is)\s+(?!An?\b|The\b)([A-Z\u3400-\u9fff][\w\u3400-\u9fff]{0,15})"
)


def is_identity_question(text: str) -> bool:
    """Whether it asks the assistant about itself."""
    return bool(_IDENTITY_QUESTION.search(text))


def own_name(answer: str) -> str:
    """The name that an answer gives itself, "" where it gives none, as in "我是贝贝的助手"."""
    match = _OWN_NAME.search(answer)
    name = (match[1] or match[2]).casefold() if match else ""
    return "" if "的" in name else name


class OtherIdentities:
    """Finds answers in which the model takes itself for another one."""

    def __init__(self, persona: Persona | None):
        own = "" if persona is None else "\n".join(
            [persona.name, persona.author, *persona.own_systems(), *(fact.answer for fact in persona.facts)]
        )  # fmt: skip
        names = _others((word for family in families() for word in family.names), own)
        makers = _others((word for family in families() for word in family.makers), own)
        name, maker = _any_of(names), _any_of(makers)
        self._said = re.compile(
            rf"(?:我(?:就|其实|只)?(?:是|叫|名叫)|我的名字(?:是|叫))[^，,；;]{{0,16}}?(?:{name})"
            rf"|(?:I am|I'm|I’m|my name is|call me)\s(?:[\w'-]+[\s,]+){{0,6}}?(?:{name})"
            rf"|我[^；;]{{0,24}}?由[^，,；;]{{0,12}}?(?:{maker})[^，,；;]{{0,12}}?(?:开发|研发|训练|创造|创建|推出|打造|制造|设计|提供)"
            rf"|I (?:was|am|have been)\s(?:[\w'-]+[\s,]+){{0,8}}?(?:developed|trained|created|made|built|designed)\s(?:by|at)\s(?:[\w'-]+\s){{0,7}}?(?:{maker})"
            rf"|(?:I am|I'm|I’m)\s(?:[\w'-]+[\s,]+){{0,10}}?(?:developed|trained|created|made|built|designed)\s(?:by|at)\s(?:[\w'-]+\s){{0,7}}?(?:{maker})"
            rf"|(?:{maker})\s?(?:开发|研发|训练|创造|推出)(?:了我|的我)",
            re.IGNORECASE,
        )

    def found(self, answer: str) -> str:
        """The words with which an answer takes itself for another model, "" if it does not."""
        if not _SELF.search(answer):
            return ""
        for sentence in _SENTENCE.finditer(answer):
            match = self._said.search(sentence[0])
            if match and not _NOT.search(match[0]):
                return match[0].strip()
        return ""


def _others(words: Iterable[str], own: str) -> list[str]:
    """The words that do not belong to the persona itself, the longest first."""
    kept = {word for word in words if word.casefold() not in own.casefold()}
    return sorted(kept, key=lambda word: (-len(word), word))


def _any_of(words: Iterable[str]) -> str:
    """A pattern of any of the words; Latin ones as whole words."""
    parts = [
        rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])" if word[0].isascii() else re.escape(word)
        for word in words
    ]
    return "|".join(parts) or r"(?!)"
