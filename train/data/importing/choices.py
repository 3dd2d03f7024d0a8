"""Choices that stand beside a question, and answers that only name one of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .headers import plain_name

# Columns that hold all choices, and columns that hold one each: A, option_b, choice1, 选项C.
_LISTS = {
    "choices", "choice", "options", "option", "candidates", "answerchoices", "answeroptions", "endings",
    "选项", "选择项", "候选", "候选项", "候选答案", "备选", "备选项", "备选答案",
}  # fmt: skip
_ONE_EACH = re.compile(
    r"(options?|opt|op|choices?|answer|ans|candidate|ending|sol|选项|选择|候选|备选|)([a-j]|(?<=.)\d)"
)
_TELLERS = ("label", "correct", "right", "gold", "answer", "target", "cop", "正确", "答案", "标签")
_LABEL = r"[(（]?(?:[a-j]|\d{1,2})[)）]?"
_NAMED = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+|right\s+)?(?:answer|ans|option|choice)(?:\s+is|\s+to)?|选项|(?:正确)?答案[是为]?|选)?"
    rf"\s*[:：]?\s*{_LABEL}(?:\s*(?:,|，|、|;|/|&|and|和|\s)\s*{_LABEL})*\s*[.。、:：]?",
    re.IGNORECASE,
)
LONGEST_NAME = 60  # characters: "The correct answer is option B."
_SEVERAL = re.compile(r"[A-J]{2,5}")
_BETWEEN = re.compile(r"[\n|;；,，]|(?<!\w)[(（]?[A-Ja-j\d][.、)）:：]")


def choice_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys that hold choices: all of them in one, or one each in two or more."""
    groups: dict[str, list[str]] = defaultdict(list)
    found = []
    for key in keys:
        plain = plain_name(key)
        if plain in _LISTS:
            found.append(key)
        elif told := _ONE_EACH.fullmatch(plain):
            groups[told[1]].append(key)
    return (*found, *(key for group in groups.values() if len(group) > 1 for key in group))


def names_a_choice(held: Any, value: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether an answer only names one of the choices that `keys` hold, or none of them stands there.

    An answer that is a choice's text is one in words; where it may be both (the choices 2 and 1), it
    cannot be told which was meant, and counts as a name."""
    if isinstance(held, (list, tuple)):
        return bool(held) and all(names_a_choice(one, value, keys) for one in held)
    if isinstance(held, bool) or not isinstance(held, (int, float, str)):
        return False
    if isinstance(held, float):
        if not held.is_integer():
            return False
        held = int(held)
    said = str(held).strip()
    if not _is_label(said) and plain_name(said) not in map(plain_name, keys):
        return False
    texts = [text for key in keys for text in _texts(key, value.get(key))]
    return said not in texts or any(text != said for text in _pointed_at(said, texts))


def is_called(held: Any, beside: Mapping[str, Any]) -> bool:
    """Whether an answer is the name of a key that holds a choice: A beside {"A": "a fish"}. Columns
    without a title go by letters too, and number the rows."""
    if not isinstance(held, str) or len(held) > LONGEST_NAME:
        return False
    said = plain_name(held)
    return any(
        (told := _ONE_EACH.fullmatch(plain_name(key)))
        and said in (told[0], told[2])
        and isinstance(text, str)
        and not text.strip().isdecimal()
        for key, text in beside.items()
    )


def tells_choice_elsewhere(value: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether a key beside the choices, such as `label`, names the right one."""
    return any(
        any(word in plain_name(key) for word in _TELLERS) and names_a_choice(held, value, keys)
        for key, held in value.items()
        if key not in keys
    )


def _is_label(said: str) -> bool:
    """B, (b), 2, Option B, The answer is B, 选B, B and C, ABD."""
    if len(said) > LONGEST_NAME:
        return False
    if _SEVERAL.fullmatch(said):
        return list(said) == sorted(set(said))
    return bool(_NAMED.fullmatch(said))


def _pointed_at(said: str, texts: Sequence[str]) -> list[str]:
    """The choices that a label may mean: counted from A, from 0 or from 1."""
    if said.isdecimal():
        places = [int(said), int(said) - 1]
    elif len(said) == 1:
        places = [ord(said.upper()) - ord("A")]
    else:
        return []
    return [texts[place] for place in places if 0 <= place < len(texts)]


def _texts(key: str, held: Any) -> list[str]:
    """The texts of the choices under a key, in order, in any of the field's ways to write them."""
    if isinstance(held, str) and plain_name(key) in _LISTS:
        parts = (part.strip(" '\"[]") for part in _BETWEEN.split(held))
        return [part for part in parts if part] or [held]
    if isinstance(held, Mapping):
        listed = held.get("text")
        held = listed if isinstance(listed, (list, tuple, str)) else list(held.values())
    if isinstance(held, (list, tuple)):
        return [text for one in held for text in _texts("", one)]
    return [] if held is None else [str(held).strip()]
