"""A conversation as training sees it: the tokenizer's own chat template, and where loss falls.

Loss is on what the assistant says and on the token that closes its turn, on nothing else. Where
that is, is found by rendering the conversation's beginnings: what a template adds between the
prompt for an answer and the end of that answer is the assistant's. This works for any template
whose rendering of a beginning is the beginning of the whole rendering, and that is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.conversation import Conversation, Message
from assistant.errors import UsageError
from assistant.words import Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of tokens without loss, in PyTorch's and XTuner's convention
SAID_AT_MOST = 300  # characters of a library's words that an error repeats


class TemplateError(UsageError):
    """The chat template cannot be used for training."""


@dataclass(frozen=True)
class Rendered:
    """One training sample. `labels` has the length of `input_ids`, IGNORED where no loss falls."""

    text: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def learned(self) -> int:
        """How many tokens the loss falls on."""
        return sum(label != IGNORED for label in self.labels)

    def cut(self, max_length: int) -> Rendered:
        """The first `max_length` tokens; a cut answer loses its closing token, so none is taught."""
        return Rendered(self.text, self.input_ids[:max_length], self.labels[:max_length])

    def unclosed(self) -> Rendered:
        """The same without loss on the last closing token: no stop is taught there."""
        last = max(place for place, label in enumerate(self.labels) if label != IGNORED)
        labels = (*self.labels[:last], IGNORED, *self.labels[last + 1 :])
        return Rendered(self.text, self.input_ids, labels)


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """`messages` and the opening of the assistant's answer, as the template writes them."""
    return _template(tokenizer, messages, prompt=True)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The token ids of `prompt_text`: what an engine must be given."""
    return _ids(tokenizer, prompt_text(tokenizer, messages))


def template_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The token ids of `messages` as the template writes them, answers included.

    Raises TemplateError where the template refuses them.
    """
    return _ids(tokenizer, _template(tokenizer, messages))


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[Rendered]:
    """The training samples of one conversation; one, if the template allows it.

    A template that writes earlier answers otherwise than the last one (Qwen3 drops their
    thoughts) gives one sample for each answer, so that each is learned as it will be asked for.
    Raises TemplateError where answers cannot be found or are never closed.
    """
    try:
        return [_rendered(tokenizer, messages, _answers(messages))]
    except _UnstableError:
        pass
    try:
        return [
            _rendered(tokenizer, messages[: place + 1], [place]) for place in _answers(messages)
        ]
    except _UnstableError:
        raise TemplateError(
            Text(
                "The chat template writes a question otherwise once it is answered, so the answers "
                "cannot be told from the rest.",
                "对话模板在有回答之后会改写问题，因此无法确定哪些 token 属于回答。",
            ),
            Text(
                "Use the base model's official chat template, or another base.",
                "请使用基座模型官方的对话模板，或换一个基座。",
            ),
        ) from None


class _UnstableError(Exception):
    """The rendering of a beginning is not the beginning of the rendering."""


def render_conversation(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation
) -> list[Rendered]:
    """`render` for a dataset's row. Where `meta.ended` is false the last answer was cut short by
    its maker, so that the model must not learn to stop there."""
    samples = render(tokenizer, conversation.messages)
    if conversation.meta.get("ended") is False:
        samples[-1] = samples[-1].unclosed()
    return samples


def _answers(messages: Sequence[Message]) -> list[int]:
    return [number for number, message in enumerate(messages) if message.role == "assistant"]


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answers: Sequence[int]
) -> Rendered:
    text = _template(tokenizer, messages)
    ids = _ids(tokenizer, text)
    labels = [IGNORED] * len(ids)
    closing = _special_ids(tokenizer)
    for place in answers:
        before = _template(tokenizer, messages[:place], prompt=True)
        after = _template(tokenizer, messages[: place + 1])
        if not (after.startswith(before) and text.startswith(after)):
            raise _UnstableError
        first = _tokens_within(tokenizer, before, ids)
        end = len(ids) if after == text else _tokens_within(tokenizer, after, ids, whole=True)
        closed = [number for number in range(first, end) if ids[number] in closing]
        if not closed:
            raise _never_closed()
        labels[first : closed[-1] + 1] = ids[first : closed[-1] + 1]
    return Rendered(text, tuple(ids), tuple(labels))


def _tokens_within(
    tokenizer: PreTrainedTokenizerBase, beginning: str, ids: Sequence[int], whole: bool = False
) -> int:
    """How many tokens of `ids` the text `beginning` takes.

    A token that reaches over its end counts as within, unless only `whole` tokens count: it
    belongs to the prompt in part, and serving will never ask for it.
    """
    alone = _ids(tokenizer, beginning)
    common = next(
        (place for place, pair in enumerate(zip(alone, ids, strict=False)) if pair[0] != pair[1]),
        min(len(alone), len(ids)),
    )
    reaches_over = common < len(alone)
    return common + (1 if reaches_over and not whole else 0)


def _template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: bool = False
) -> str:
    from jinja2 import TemplateError as JinjaError

    plain = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=prompt)
    except JinjaError as error:
        raise TemplateError(
            Text(
                f"The chat template refuses a conversation: {error}.",
                f"对话模板拒绝了一段对话：{error}。",
            )
        ) from None
    except ValueError as error:
        if getattr(tokenizer, "chat_template", None):
            raise
        raise TemplateError(
            Text("The base model has no chat template.", "基座模型没有对话模板。"),
            Text("Choose its -Instruct or -Chat version.", "请换用它的 -Instruct 或 -Chat 版本。"),
        ) from error
    return str(text)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | {tokenizer.eos_token_id}


def _never_closed() -> TemplateError:
    return TemplateError(
        Text(
            "The chat template does not close the assistant's answer with a special token: a model "
            "trained with it would never stop.",
            "对话模板没有用特殊 token 结束助手的回答：这样训练出的模型不会停下来。",
        ),
        Text(
            "Use the base model's official chat template, or another base.",
            "请使用基座模型官方的对话模板，或换一个基座。",
        ),
    )
