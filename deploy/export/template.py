"""The chat template that goes into the file, and its turns as plain text for Ollama."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assistant.errors import UsageError
from assistant.models.chat_template import compiled
from assistant.words import Text

Messages = Sequence[Mapping[str, str]]
SYSTEM, USER, ANSWER, AGAIN = "Sys7", "Use7", "Ans7", "Aga7"  # what no template says by itself


@dataclass(frozen=True)
class Turns:
    """What a template writes before and after each role's words, and before an answer."""

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str

    def render(self, messages: Messages) -> str:
        """`messages` and the beginning of an answer."""
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        said = [message["content"].join(around[message["role"]]) for message in messages]
        return "".join(said) + self.answer


def with_own_system(template: str, system: str, special: Mapping[str, str]) -> str:
    """`template`, which puts `system` in where a conversation brings none: many put their maker's
    there. Programs that know no system prompt of their own would say who the base was.

    The template as it is where that would change anything else.
    """
    ours = (
        "{%- if not messages or messages[0]['role'] != 'system' -%}"
        f"{{%- set messages = [{{'role': 'system', 'content': {json.dumps(system, ensure_ascii=False)}}}]"
        " + messages -%}{%- endif -%}"
    ) + template
    own = {"role": "system", "content": system}
    try:
        kept = all(
            _rendered(ours, messages, special)
            == _rendered(template, _begun(messages, own), special)
            for messages in _conversations()
        )
    except Exception:  # a template may refuse a system message, in words of its own
        return template
    return ours if kept else template


def turns(template: str, special: Mapping[str, str]) -> Turns:
    """What `template` writes around each message. Raises UsageError where that is not all it does."""
    try:
        found = _turns(template, special)
        for messages in _conversations():
            begun = _begun(messages, {"role": "system", "content": SYSTEM})
            if found.render(begun) != _rendered(template, begun, special):
                raise ValueError
    except Exception:  # jinja2 and the template raise what they will
        raise UsageError(
            Text("This model's chat template does more than write each message between two marks, so it "
                 "cannot be said in Ollama's language.",
                 "这个模型的对话模板不只是在每条消息前后加标记，无法改写成 Ollama 的模板。"),
            Text("Export --format gguf: Ollama, LM Studio and llama.cpp read the template inside the file.",
                 "请用 --format gguf：Ollama、LM Studio 和 llama.cpp 会读取文件里的模板。"),
        ) from None  # fmt: skip
    return found


def _turns(template: str, special: Mapping[str, str]) -> Turns:
    system, user = {"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}
    answer, again = {"role": "assistant", "content": ANSWER}, {"role": "user", "content": AGAIN}
    asked = _rendered(template, [system, user], special, begin_answer=False)
    begun = _rendered(template, [system, user], special)
    answered = _rendered(template, [system, user, answer], special, begin_answer=False)
    more = _rendered(template, [system, user, answer, again], special)
    before_system, rest = more.split(SYSTEM)
    between, rest = rest.split(USER)
    to_answer, rest = rest.split(ANSWER)
    to_user = rest.split(AGAIN)[0]
    after_user = asked.split(USER)[1]
    after_answer = answered.split(ANSWER)[1]
    before_user = _without(to_user, after_answer)
    if not between.endswith(before_user):
        raise ValueError
    return Turns(
        (before_system, between[: len(between) - len(before_user)]),
        (before_user, after_user),
        (_without(to_answer, after_user), after_answer),
        _without(begun, asked),
    )


def _without(text: str, beginning: str) -> str:
    if not text.startswith(beginning):
        raise ValueError
    return text[len(beginning) :]


def _begun(messages: Messages, system: Mapping[str, str]) -> Messages:
    return messages if messages[0]["role"] == "system" else [system, *messages]


def _conversations() -> tuple[Messages, ...]:
    user, answer = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}
    more = {"role": "user", "content": "Who are\n\nyou?"}
    system = {"role": "system", "content": "Be brief."}
    return [user], [system, user], [user, answer, more], [system, user, answer, more, answer, more]


def _rendered(
    template: str, messages: Messages, special: Mapping[str, str], *, begin_answer: bool = True
) -> str:
    return compiled(template).render(
        messages=list(messages), tools=None, documents=None, add_generation_prompt=begin_answer, **special
    )  # fmt: skip
