"""A conversation written as one text, with marks between the turns -> turns."""

from __future__ import annotations

import re
from typing import NamedTuple

from .turns import ROLES, Spoken

_SPEAKERS = {
    "human": "user", "user": "user", "instruction": "user", "问题": "user", "用户": "user", "问": "user",
    "assistant": "assistant", "response": "assistant", "gpt": "assistant", "bot": "assistant", "ai": "assistant",
    "output": "assistant", "回答": "assistant", "助手": "assistant", "答": "assistant", "system": "system",
    "input": "input",
}  # fmt: skip


class _Marks(NamedTuple):
    """How the beginnings of turns look; the first group is the speaker."""

    begins: re.Pattern[str]
    ends: re.Pattern[str]


_STYLES = (
    _Marks(re.compile(r"<\|im_start\|>\s*(\w+)\s*\n"), re.compile(r"\s*(<\|im_end\|>|<\|endoftext\|>)\s*$")),
    _Marks(re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*"),
           re.compile(r"\s*(<\|eot_id\|>|<\|end_of_text\|>)\s*$")),
    _Marks(re.compile(r"<start_of_turn>\s*(\w+)\s*\n"), re.compile(r"\s*<end_of_turn>\s*$")),
    _Marks(re.compile(r"<\|(system|user|assistant)\|>\s*:?"), re.compile(r"\s*(</s>|<\|end\|>)\s*$")),
    _Marks(re.compile(r"(?m)^###\s*(Human|User|Assistant|System|Instruction|Input|Response|Output|问题|回答|用户|助手)\s*[:：]?\s*"),
           re.compile(r"\s*(</s>|<\|endoftext\|>)?\s*$")),
    _Marks(re.compile(r"### ?(Human|Assistant)\s*:\s*"), re.compile(r"\s*(</s>)?\s*$")),
    _Marks(re.compile(r"(?m)^\s*(Human|User|Assistant|USER|ASSISTANT|SYSTEM|System|GPT|Bot|AI|用户|助手|问题|回答|问|答)\s*[:：]\s*"),
           re.compile(r"\s*(</s>)?\s*$")),
)  # fmt: skip
_INST = re.compile(
    r"\s*(?:<s>)?\s*\[INST\](?P<asked>.*?)\[/INST\](?P<said>.*?)(?=(?:</s>|<s>|\[INST\])|\Z)(?:\s*</s>)?",
    re.DOTALL,
)
_SYS = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>\s*", re.DOTALL)
_BEGINNING = re.compile(r"\s*(?:<s>|<bos>|<\|begin_of_text\|>)?\s*")


def read_transcript(text: str) -> list[Spoken] | None:
    """The turns of a text that begins with a mark and has an answer; None for any other text."""
    if "[INST]" in text and (turns := _instructed(text)):
        return turns
    for style in _STYLES:
        begins = list(style.begins.finditer(text))
        if len(begins) < 2:
            continue
        before = _BEGINNING.sub("", text[: begins[0].start()], count=1).strip()
        turns = _parted(text, begins, style.ends, before)
        if turns:
            return turns
    return None


def _parted(
    text: str, begins: list[re.Match[str]], ends: re.Pattern[str], before: str
) -> list[Spoken] | None:
    turns: list[Spoken] = [Spoken("system", before)] if before else []
    bounds = [match.start() for match in begins[1:]] + [len(text)]
    for match, end in zip(begins, bounds, strict=True):
        name = match[1].casefold()
        role = _SPEAKERS.get(name) or ROLES.get(name)
        if role is None:
            return None
        said = ends.sub("", text[match.end() : end]).strip()
        if role == "input":
            if not turns or turns[-1].role != "user":
                return None
            turns[-1] = Spoken("user", "\n".join(filter(None, (turns[-1].content, said))))
        elif said or role != "system":
            turns.append(Spoken(role, said))  # type: ignore[arg-type]
    return turns if any(turn.role == "assistant" for turn in turns) else None


def _instructed(text: str) -> list[Spoken] | None:
    """Llama 2 and Mistral: [INST] question [/INST] answer."""
    turns: list[Spoken] = []
    at = 0
    for match in _INST.finditer(text):
        if text[at : match.start()].strip():
            return None
        at = match.end()
        asked = match["asked"]
        if not turns and (system := _SYS.match(asked)):
            turns.append(Spoken("system", system[1].strip()))
            asked = asked[system.end() :]
        turns += [Spoken("user", asked.strip()), Spoken("assistant", match["said"].strip())]
    return turns if turns and not text[at:].strip() else None
