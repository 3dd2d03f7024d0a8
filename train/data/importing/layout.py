"""What the keys of a row say it is, worked out once for all rows with the same keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from . import headers
from .choices import choice_keys
from .headers import plain_name
from .marks import Mark, blank, kind_of

# Keys that hold the turns of a conversation, the surest first; the last ones only where their
# value shows it, for they also name whole data sets.
TURNS = (
    "messages",
    "conversations",
    "conversation",
    "dialogue",
    "dialog",
    "turns",
    "chat",
    "chatmessages",
    "对话",
)
LOOSE_TURNS = ("items", "data", "dialogues", "chats", "utterances", "消息", "text")
CHOSEN = (
    "chosen", "chosenresponse", "preferredoutput", "chosenmessages", "responsechosen", "chosenanswer",
    "answerchosen", "chosenoutput", "outputchosen", "responseaccepted", "acceptedresponse", "preferred",
    "preferredresponse",
)  # fmt: skip
REJECTED = (
    "rejected", "rejectedresponse", "nonpreferredoutput", "rejectedmessages", "rejectedoutput",
    "responserejected", "rejectedanswer", "answerrejected", "outputrejected", "dispreferred",
    "dispreferredresponse", "nonpreferred", "nonpreferredresponse",
)  # fmt: skip
# Names that say so only beside each other: the better answer, the worse one.
_PAIRED = (
    ("responsej", "responsek"),
    ("win", "lose"),
    ("better", "worse"),
    ("good", "bad"),
    ("goodanswer", "badanswer"),
    ("goodresponse", "badresponse"),
    ("positive", "negative"),
)
_TALKS = ("conversations", "dialogues", "dialogs", "chats")
# What parts of a file are called that hold what not to say.
_BAD_PARTS = {
    *REJECTED, "negative", "negatives", "negativeexamples", "bad", "badexamples", "badanswers", "wrong",
    "incorrect", "反例", "负例", "负样本", "差评", "不合格",
}  # fmt: skip
REASONING = {
    "reasoning", "reasoningcontent", "thinking", "think", "thought", "thoughts", "cot", "complexcot",
    "chainofthought", "innerthoughts", "思考", "思考过程", "思维链", "推理", "推理过程",
}  # fmt: skip
_MEDIA = {
    "image", "images", "img", "imgs", "imagepath", "imagepaths", "imageurl", "imageurls", "imagefile", "picture",
    "pictures", "photo", "photos", "pixelvalues", "video", "videos", "videopath", "videourl", "audio", "audios",
    "audiopath", "audiourl", "wav", "speech", "图片", "图像", "图", "照片", "音频", "语音", "视频",
}  # fmt: skip
_TOOLS = {"tools", "functions", "toolcalls", "functioncall", "functioncalls", "plugins", "apis"}
_PICTURED = {"objects", "bbox", "bboxes"}  # say what stands where in a picture
ROLE_KEYS = ("role", "from", "speaker", "sender")
CONTENT_KEYS = ("content", "value", "text")
_SAID_KEYS = (*CONTENT_KEYS, "tool_calls")
# Shapes that are known and hold no conversation: reason -> the keys that tell it.
_REFUSED: tuple[tuple[str, frozenset[str]], ...] = (
    ("critique", frozenset({"instruction", "critiques"})),
    ("stepwise", frozenset({"prompt", "completions", "labels"})),
    ("tokens", frozenset({"inputids"})),
    ("ranked", frozenset({"prompt", "answers"})),
    ("ranked", frozenset({"question", "humananswers"})),
    ("ranked", frozenset({"question", "chatgptanswers"})),
    ("ranked", frozenset({"prompt", "responses"})),
    ("ranked", frozenset({"response0", "response1"})),
    ("ranked", frozenset({"responsea", "responseb"})),
    ("ranked", frozenset({"conversationa", "conversationb"})),
    ("ranked", frozenset({"answer0", "answer1"})),
    ("summary", frozenset({"article", "summary"})),
    ("summary", frozenset({"document", "summary"})),
    ("tree", frozenset({"messagetreeid", "prompt"})),
    *(
        ("tree", frozenset({"mapping", beside}))
        for beside in ("currentnode", "title", "createtime", "conversationid")
    ),
    ("summary", frozenset({"article", "highlights"})),
    ("summary", frozenset({"dialogue", "summary"})),
    ("summary", frozenset({"text", "summary"})),
    ("pair", frozenset({"premise", "hypothesis"})),
    ("pair", frozenset({"sentence1", "sentence2"})),
    ("pair", frozenset({"question1", "question2"})),
    ("triplet", frozenset({"anchor", "positive"})),
    ("triplet", frozenset({"query", "positive", "negative"})),
    ("triplet", frozenset({"query", "pos", "neg"})),
    ("translation", frozenset({"source", "target"})),
    ("translation", frozenset({"src", "tgt"})),
    ("intent", frozenset({"text", "intent"})),
    ("intent", frozenset({"intent", "examples"})),
    ("patterns", frozenset({"patterns", "responses"})),
    ("choices", frozenset({"question", "answerkey"})),
    ("choices", frozenset({"ctx", "endings"})),
    ("choices", frozenset({"goal", "sol1"})),
    ("yes_no", frozenset({"question", "passage", "label"})),
    ("chat_log", frozenset({"issender", "msg"})),
    ("chat_log", frozenset({"issender", "strcontent"})),
    ("chat_log", frozenset({"sender", "message"})),
    ("chat_log", frozenset({"talker", "msg"})),
)
# Whatever else the keys say: their labels judge no answer.
SURE = {"pair", "triplet", "choices", "yes_no"}
# What two keys are called that hold one text in two languages.
_LANGUAGES = {
    "ar", "bn", "cs", "da", "de", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja",
    "ko", "ms", "nl", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "ur", "vi", "zh",
}  # fmt: skip
_MESSAGE = ({"role", "content"}, {"from", "value"}, {"role", "text"})


class Layout(NamedTuple):
    """The parts that the keys of a row name. `refused` is a reason, empty for a shape of use."""

    fields: Mapping[str, str]
    marks: tuple[Mark, ...]
    cannot: tuple[tuple[str, str], ...]  # key, reason
    turns: tuple[str, ...]
    loose_turns: tuple[str, ...]
    chosen: str
    rejected: tuple[str, ...]
    reasoning: tuple[str, ...]
    segments: str
    refused: str
    corrected: str
    options: tuple[str, ...]  # hold the choices that stand beside the question
    name: str  # of a row of columns, as the field calls it


@lru_cache(maxsize=2048)
def layout(keys: tuple[str, ...]) -> Layout:
    """The layout of rows with these keys."""
    plain = {key: plain_name(key) for key in keys}
    names = set(plain.values())

    def those(wanted: Sequence[str]) -> tuple[str, ...]:
        return tuple(key for name in wanted for key in keys if plain[key] == name)

    fields = headers.recognise(keys)
    refused = next((reason for reason, told in _REFUSED if told <= names), "")
    if not refused and any(told <= names for told in _MESSAGE):
        refused = "single_message"
    if len(names) <= 3 and len(names & _LANGUAGES) >= 2:
        refused = "translation"
    if refused != "critique" and headers.usable(fields):
        refused = ""
    asked = {fields.get("question"), fields.get("answer")}
    corrected = those(("corrected",)) if "reflection" in names else ()
    paired = next((pair for pair in _PAIRED if names >= {*pair}), ("", ""))
    return Layout(
        fields=fields,
        marks=tuple(Mark(key, kind) for key in keys if (kind := kind_of(key))),
        cannot=tuple((key, reason) for key in keys if (reason := _cannot(plain[key]))),
        turns=those(TURNS),
        loose_turns=those(LOOSE_TURNS),
        chosen=next(iter(those((*CHOSEN, paired[0]))), ""),
        rejected=those((*REJECTED, paired[1])),
        reasoning=tuple(key for key in keys if plain[key] in REASONING),
        segments=next(iter(those(("segments",))), ""),
        refused=refused,
        corrected=next(iter(corrected), ""),
        options=choice_keys([key for key in keys if key not in asked]),
        name=_name(names),
    )


def _name(names: set[str]) -> str:
    if {"instruction", "output"} <= names:
        return "alpaca"
    return "prompt/completion" if "prompt" in names else "question/answer"


def _cannot(name: str) -> str:
    if name in _MEDIA:
        return "media"
    return "tools" if name in _TOOLS else "objects" if name in _PICTURED else ""


def carries_more(value: Mapping[str, Any], cannot: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The reason and key of something in a row that this kit cannot carry; "", "" for none."""
    for key, reason in cannot:
        found = value[key]
        if blank(found) or found is False or found == 0:
            continue
        if reason == "tools" and not _is_structure(found):
            continue  # a word, such as the tools of a recipe
        if reason == "objects" and not _has_boxes(key, found):
            continue
        return "tools" if reason == "tools" else "media", key
    return "", ""


def _is_structure(value: Any) -> bool:
    return not isinstance(value, (str, int, float)) or (
        isinstance(value, str) and value.lstrip()[:1] in ("[", "{")
    )


def _has_boxes(key: str, value: Any) -> bool:
    return plain_name(key) != "objects" or (isinstance(value, Mapping) and "bbox" in value)


def is_message(value: Any) -> bool:
    """Whether a value is one turn with its speaker: a role and a text."""
    if not isinstance(value, dict):  # as all readers give objects: a Mapping is asked for slowly
        return False
    keys = value.keys()  # compared as sets: this is asked several times of each turn
    return not (keys.isdisjoint(ROLE_KEYS) or keys.isdisjoint(_SAID_KEYS))


def is_row(value: Any, alone: bool = False) -> bool:
    """Whether an object is a row, and not a container of rows. `alone`: it is all of the file, where
    a list of questions and answers is a list of rows."""
    if not isinstance(value, dict):
        return False
    seen = layout(tuple(value))
    if span_answer(value) is not None:
        return True
    if _holds_rows_beside_turns(value, seen) or (alone and talks_in(value)):
        return False
    if seen.chosen or seen.segments or (seen.refused and seen.refused != "tree"):
        return True
    for key in seen.turns:
        turns = value.get(key)
        if isinstance(turns, (list, tuple)) and holds_conversations(turns, key, alone):
            return False
        if isinstance(turns, Mapping) and not _is_moss(turns):
            return False
    for key in seen.loose_turns:
        if (
            (turns := value.get(key))
            and isinstance(turns, (list, tuple))
            and looks_like_turns(turns, key)
        ):
            return True
    return bool(seen.turns) or headers.usable(seen.fields) or bool(seen.refused)


def _holds_rows_beside_turns(value: Mapping[str, Any], seen: Layout) -> bool:
    """Whether an object without a question and an answer of its own holds arrays of rows, whatever
    it calls them: {"en": [rows], "zh": [rows]}."""
    asked = [value[seen.fields[field]] for field in ("question", "answer") if field in seen.fields]
    if len(asked) == 2 and not any(isinstance(held, list) for held in asked):
        return False
    turns = {*seen.turns, *seen.loose_turns, seen.segments, seen.fields.get("history", "")}
    return any(_are_rows(held) for key, held in value.items() if key not in turns)


def _are_rows(held: Any) -> bool:
    """Whether a value is an array of rows with a question and an answer, or with turns."""
    first = held[0] if isinstance(held, list) and held else None
    if not isinstance(first, dict) or is_message(first):
        return False
    seen = layout(tuple(first))
    if headers.usable(seen.fields):
        return True
    return any(isinstance(first[key], (list, tuple)) for key in seen.turns)


def span_answer(value: Mapping[str, Any]) -> str | None:
    """The first answer of a row of SQuAD, "" where the text has none; None for another row."""
    held = value.get("answers")
    if "question" not in value or not isinstance(held, (list, Mapping)):
        return None
    if isinstance(held, Mapping):
        texts = held.get("text") if "answer_start" in held else None
    elif all(isinstance(one, Mapping) and "answer_start" in one for one in held):
        texts = [one.get("text") for one in held] if held or "is_impossible" in value else None
    else:
        texts = None
    if not isinstance(texts, (list, tuple)):
        return None
    return next((text for text in texts if isinstance(text, str)), "")


def _is_moss(chat: Mapping[str, Any]) -> bool:
    return any(isinstance(turn, Mapping) and "Human" in turn for turn in chat.values())


def holds_conversations(turns: Sequence[Any], key: str, alone: bool) -> bool:
    """Whether what is called turns is a list of whole conversations."""
    first = next((turn for turn in turns if isinstance(turn, dict)), None)
    if first is None or is_message(first):
        return False
    if layout(tuple(first)).turns:
        return True
    plural = plain_name(key) in ("messages", "conversations")
    return alone and plural and headers.usable(headers.recognise([str(key) for key in first]))


def looks_like_turns(turns: Sequence[Any], key: str) -> bool:
    """Whether a list is one of turns: messages with a speaker, or texts in turn. Texts are more
    often anything else under `items` and `text`."""
    if all(is_message(turn) for turn in turns):
        return True
    told = plain_name(key) not in ("items", "text")
    return told and len(turns) > 1 and all(isinstance(turn, str) for turn in turns)


def talks_in(value: Mapping[str, Any]) -> str:
    """The key of an object that is all of a file under which lists of texts stand, each a talk of
    its own (ChatterBot's corpus); "" for none."""
    for key in layout(tuple(value)).turns:
        held = value[key]
        plural = plain_name(key) in _TALKS
        if plural and isinstance(held, list) and held and all(map(_is_talk, held)):
            return key
    return ""


def _is_talk(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, str) for turn in value)


def is_bad_part(key: str, beside: Iterable[str] = ()) -> bool:
    """Whether what stands under a key of a container are the bad answers. `beside`: the other keys."""
    name = plain_name(key)
    others = {plain_name(other) for other in beside}
    return name in _BAD_PARTS or any(name == bad and good in others for good, bad in _PAIRED)
