"""What a row or a turn says about itself: not to be learned. Only what is clear is obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any, Literal, NamedTuple

from .headers import plain_name
from .records import NOTHING, Options, Record, UnusableError

Kind = Literal[
    "verdict", "flag", "strict", "negative", "weight", "rating", "chosen", "rejected", "list"
]
Verdict = Literal["learn", "not", "unclear", "silent"]

# Key, compared as headers are -> how its values are read.
_NAMES: dict[Kind, tuple[str, ...]] = {
    # the answer was judged: false, 0, "bad"
    "verdict": (
        "label", "ktotag", "ktolabel", "judgement", "judgment", "verdict", "feedback", "quality", "review",
        "reviewresult", "reviewstatus", "auditstatus", "auditresult", "approvalstatus", "qastatus", "checkstatus",
        "annotationstatus", "labelstatus", "approval", "evaluation", "status", "thumb", "thumbs", "liked",
        "标签", "标注", "评价", "反馈", "质量", "审核", "审核结果", "审核状态", "审批", "审批结果", "审批状态", "标注状态",
        "标注结果", "质检", "质检结果", "质检状态", "状态", "结论",
    ),
    # whether to train on it: false, 0, "no"
    "flag": (
        "train", "training", "trainable", "istrain", "learn", "learnable", "totrain", "trainon", "loss",
        "outputwithloss", "withloss", "computeloss", "calculateloss", "accepted", "isaccepted", "approved",
        "isapproved", "iscorrect", "isgood", "isvalid", "usable", "isusable", "include", "included", "keep",
        "desirable", "isdesirable", "good", "use", "trainonturn", "trainthis", "adopted", "isadopted", "使用", "是否使用", "训练", "是否训练", "参与训练", "是否参与训练", "采用", "是否采用", "采纳", "是否采纳", "是否收录", "是否入库", "可用", "是否可用",
        "合格", "是否合格", "是否正确", "是否有效", "保留", "是否保留", "通过", "是否通过",
    ),
    # the same, but other words there are an answer or a note
    "strict": ("correct", "valid", "used", "正确", "有效"),
    # whether it is bad: true, 1, "yes"
    "negative": (
        "bad", "isbad", "isrejected", "reject", "skip", "skipped", "exclude", "excluded", "ignore", "ignored",
        "deleted", "isdeleted", "discard", "discarded", "masked", "wrong", "iswrong", "incorrect", "undesirable",
        "flagged", "maskedout", "hallucination", "ishallucination", "hallucinated", "donottrain", "donotlearn", "notrain", "nolearn", "dontlearn", "排除", "跳过", "忽略",
        "作废", "删除", "已删除", "不采用", "不训练", "不要学", "是否删除",
    ),
    "weight": (
        "weight", "weights", "lossweight", "lossscale", "sampleweight", "trainweight", "trainingweight", "权重",
    ),
    "rating": (
        "rating", "ratings", "score", "stars", "star", "grade", "feedbackscore", "userrating", "vote", "votes", "评分", "得分",
        "分数", "星级", "打分", "星",
    ),
    "chosen": ("chosen",),  # these two are the answers themselves, but where all of a file are flags
    "rejected": ("rejected",),
    "list": ("lossmask", "trainmask", "trainingmask", "turnmask", "mask", "traindetail", "trainingdetail"),
}  # fmt: skip
_KIND = {name: kind for kind, names in _NAMES.items() for name in names}

_NO = {"false", "no", "n", "f", "off", "否", "不", "不是", "假", "×", "✗", "✘", "❌"}
_YES = {"true", "yes", "y", "t", "on", "是", "真", "√", "✓", "✔", "✅"}
_BAD = {
    "bad", "poor", "terrible", "reject", "rejected", "wrong", "incorrect", "undesirable", "undesired",
    "dislike", "disliked", "thumbsdown", "thumbdown", "downvote", "downvoted", "unusable", "deleted",
    "discarded", "discard", "negative", "down", "unacceptable", "notapproved", "disapproved", "dontlearn", "👎",
    "坏", "差", "很差", "差评", "不好", "错误", "错", "不合格", "不采用", "不可用", "拒绝", "已拒绝", "踩",
    "作废", "未通过", "不通过", "审核未通过", "审核不通过", "驳回", "已驳回", "无效", "已删除", "不正确", "不要学",
}  # fmt: skip
_GOOD = {
    "good", "excellent", "great", "accept", "accepted", "correct", "right", "desirable", "desired", "like",
    "liked", "positive", "up", "thumbsup", "thumbup", "upvote", "upvoted", "usable", "approved", "ok", "keep", "chosen", "👍",
    "好", "很好", "好评", "正确", "对", "合格", "采用", "可用", "接受", "已采用", "赞", "通过", "已通过", "审核通过", "有效",
}  # fmt: skip
_REVERSED = ("negative", "rejected")  # true is bad
_LABELS = {"label", "标签", "标注"}  # also those of a classifier, where these words are classes
_SENTIMENTS = {"negative", "positive"}
_OF = re.compile(r"(-?\d+(?:\.\d+)?)\s*(?:/|of|out of)\s*(\d+(?:\.\d+)?)")
_STARS = re.compile(r"([★⭐]*)([☆✩]*)")
_USERS = {"user", "human", "prompter", "用户"}
_BLANK_WORDS = {"", "null", "none", "nan", "n/a", "[]", "{}"}
LOOKED_AT = 500  # rows of a file in which the values of its ratings are looked at


class Evidence(NamedTuple):
    """What the first rows of a file show of its marks: the numbers under a key, and the keys among
    `chosen` and `rejected` that hold nothing but yes and no."""

    scales: Mapping[str, frozenset[float]] = NOTHING
    flags: frozenset[str] = frozenset()


NO_EVIDENCE = Evidence()


class Mark(NamedTuple):
    """A key of a row that may say whether to learn it."""

    key: str
    kind: Kind


def kind_of(key: str) -> Kind | None:
    """How the values of a key are read, None where it says nothing of learning."""
    return _KIND.get(plain_name(key))


def blank(value: Any) -> bool:
    """Whether a value holds nothing."""
    if isinstance(value, str):
        return value.strip().casefold() in _BLANK_WORDS
    if isinstance(value, float):
        return isnan(value)
    return value is None or (isinstance(value, (Sequence, Mapping)) and not value)


def verdict(kind: Kind, value: Any, scale: frozenset[float] | None = None) -> Verdict:
    """What a value says. `scale` holds the numbers that the file has under the key, where known:
    in a file of 0 and 1 a 0 is bad, among 0 to 4 it is a class."""
    if blank(value):
        return "silent"
    if kind == "list":
        return _of_list(value)
    if isinstance(value, bool):
        return "learn" if value != (kind in _REVERSED) else "not"
    if isinstance(value, (int, float)):
        # one beyond what a float holds says nothing either
        return _of_number(kind, float(value), scale) if abs(value) < 1e9 else "unclear"
    if isinstance(value, str):
        return _of_text(kind, value, scale)
    return "unclear"


def _of_number(kind: Kind, value: float, scale: frozenset[float] | None) -> Verdict:
    if kind == "strict":
        return "unclear"
    if kind == "weight":
        return "not" if value <= 0 else "learn" if value == 1 else "unclear"
    if kind == "rating":
        if scale is None or not scale <= {-1, 0, 1}:
            return "unclear"
        if value == -1:
            return "not"
        if len(scale) < 2:
            return "unclear"
        return "not" if value == min(scale) else "learn" if value == 1 else "unclear"
    if value not in (-1, 0, 1) or (scale is not None and not scale <= {-1, 0, 1}):
        return "unclear"
    good = value == 1
    if kind == "verdict" and value == 0 and scale is not None and -1 in scale:
        return "unclear"  # between thumbs down and thumbs up
    return "learn" if good != (kind in _REVERSED) else "not"


def _of_text(kind: Kind, value: str, scale: frozenset[float] | None) -> Verdict:
    text = value.strip().casefold()
    number = _number(text)
    if number is not None:
        return _of_number(kind, number, scale)
    word = "".join(letter for letter in text if letter not in " _-'’。.！!")
    if kind == "rating" and (share := _share(text)) is not None:
        return "not" if share < 0.5 else "learn"
    if kind in ("flag", *_REVERSED, "chosen") and word in _NO | _YES:
        return "learn" if (word in _YES) != (kind in _REVERSED) else "not"
    if kind in (*_REVERSED, "chosen", "weight"):
        return "unclear"
    if word in ("true", "false"):
        return "learn" if word == "true" else "not"
    if kind == "strict":
        return "unclear"
    return "not" if word in _BAD else "learn" if word in _GOOD else "unclear"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if isnan(number) else number


def _share(text: str) -> float | None:
    """What part of the best a rating such as 1/5 or ★★☆☆☆ is."""
    if match := _OF.fullmatch(text):
        return float(match[1]) / float(match[2]) if float(match[2]) else None
    match = _STARS.fullmatch(text)
    if match and match[2]:
        return len(match[1]) / (len(match[1]) + len(match[2]))
    return None


def _of_list(value: Any) -> Verdict:
    """Of a mask that covers parts of an answer: it is learned whole or not at all."""
    if isinstance(value, str):
        return "learn" if value.strip().casefold() in _USERS else "unclear"
    if not isinstance(value, Sequence):
        return "unclear"
    parts = [part.get("train", True) if isinstance(part, Mapping) else part for part in value]
    return "learn" if all(part in (1, True) for part in parts) else "not"


def check_row(
    value: Mapping[str, Any], marks: Iterable[Mark], evidence: Evidence, turns: int = 0
) -> set[str]:
    """The keys that say something clear. Raises UnusableError where one says not to learn the row.

    A list of as many values as there are turns speaks of the turns, and is left to them.
    """
    obeyed = set()
    for key, kind in marks:
        found = value[key]
        if kind == "list" and turns and isinstance(found, Sequence) and len(found) == turns:
            obeyed.add(key)
            continue
        if kind in ("chosen", "rejected") and key not in evidence.flags:
            continue
        if plain_name(key) in _LABELS and str(found).strip().casefold() in _SENTIMENTS:
            continue
        said = verdict(kind, found, evidence.scales.get(key))
        if said == "not":
            judged = kind not in ("flag", "weight", "list")
            raise UnusableError(
                "judged_bad" if judged else "not_to_learn", f"{key}: {_shown(found)}"
            )
        if said == "learn":
            obeyed.add(key)
    return obeyed


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:40] if isinstance(value, (str, int, float)) else "…"


def check_least(value: Mapping[str, Any], options: Options) -> set[str]:
    """The columns named by `--least`. Raises UnusableError for a row with less in one of them."""
    named = set()
    for column, least in options.least:
        for key in value:
            if plain_name(key) == plain_name(column):
                named.add(key)
                number = _number(str(value[key]).strip())
                if number is None or number < least:
                    raise UnusableError("below_least", f"{key}: {_shown(value[key])}")
    return named


def evidence_of(records: Iterable[Record], pairs: bool = False) -> Evidence:
    """What these rows of a file show of its marks. `pairs`: an answer is read from `chosen`, so that
    neither it nor `rejected` is a flag."""
    numbers: dict[str, set[float]] = {}
    flags: dict[str, bool] = {}
    for record in records:
        for key, value in (*record.value.items(), *record.others.items()):
            kind = kind_of(key)
            if kind in ("chosen", "rejected"):
                flags[key] = flags.get(key, True) and (blank(value) or _is_flag(value))
            elif kind in ("verdict", "rating", "flag", "negative"):
                held = numbers.setdefault(key, set())
                number = None if isinstance(value, bool) else _number(str(value)[:20].strip())
                if number is not None and len(held) < 20:
                    held.add(number)
    plain = (
        frozenset()
        if pairs or len(flags) > 1
        else frozenset(k for k, is_flag in flags.items() if is_flag)
    )
    return Evidence({key: frozenset(held) for key, held in numbers.items() if held}, plain)


def _is_flag(value: Any) -> bool:
    if isinstance(value, (bool, int)):
        return value in (0, 1)
    return isinstance(value, str) and value.strip().casefold() in _YES | _NO | {"0", "1"}
