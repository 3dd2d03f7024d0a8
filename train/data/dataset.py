"""The dataset in XTuner's config: a JSONL file of conversations, rendered and masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.conversation import Conversation, read_conversations
from assistant.errors import UsageError
from assistant.outside import in_line
from assistant.words import Text

from ..base.tokenizer import load_tokenizer
from .render import Rendered, render_conversation
from .text.placeholders import UNFILLED, of_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Counts:
    """What a dataset amounts to for training, in samples and tokens."""

    conversations: int
    samples: int
    tokens: int
    learned: int
    longest: int
    cut: int  # samples that were longer than max_length


class ConversationDataset:
    """Rendered samples as `{"input_ids", "labels"}`; `length` groups them for the sampler."""

    def __init__(self, file: str, tokenizer: str, max_length: int):
        samples = render_file(Path(file), load_tokenizer(tokenizer), max_length)[0]
        self.samples = samples
        self.length = [len(sample.input_ids) for sample in samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        sample = self.samples[number]
        return {"input_ids": list(sample.input_ids), "labels": list(sample.labels)}


def render_file(
    file: Path, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[list[Rendered], Counts]:
    """Render all conversations of `file`, cut to `max_length` tokens.

    Samples of which nothing would be learned are left out. Raises UsageError for a missing or
    empty file, a row that is no conversation, or a placeholder that was never filled.
    """
    conversations = list(read_conversations(file))
    refuse_unfilled(conversations, file)
    whole = [sample for row in conversations for sample in render_conversation(tokenizer, row)]
    samples = [sample.cut(max_length) for sample in whole]
    samples = [sample for sample in samples if sample.learned]
    if not samples:
        raise UsageError(
            Text(
                f"{in_line(file)} holds nothing to learn from.",
                f"{in_line(file)} 里没有可学的内容。",
            ),
            Text(
                "Make the data again: python -m train data identity --force",
                "请重新生成数据：python -m train data identity --force",
            ),
        )
    lengths = [len(sample.input_ids) for sample in samples]
    return samples, Counts(
        conversations=len(conversations),
        samples=len(samples),
        tokens=sum(lengths),
        learned=sum(sample.learned for sample in samples),
        longest=max(lengths),
        cut=sum(len(sample.input_ids) > max_length for sample in whole),
    )


def refuse_unfilled(conversations: Sequence[Conversation], file: Path) -> None:
    """Raise UsageError if a conversation still says `{name}` where a name should stand; in code,
    `{name}` is what it should be."""
    for number, conversation in enumerate(conversations, 1):
        turns = [(message.role, message.content) for message in conversation.messages]
        for found, certain in of_turns(turns):
            if certain and UNFILLED.search(found):
                raise UsageError(
                    Text(
                        f"{in_line(file)}: conversation {number} still has the placeholder {found}; the "
                        "model would learn to say just that.",
                        f"{in_line(file)}：第 {number} 段对话里还有占位符 {found}；模型会照着说出来。",
                    ),
                    Text(
                        "Fill it in, or make the data again: python -m train data identity --force",
                        "请填好它，或重新生成数据：python -m train data identity --force",
                    ),
                )
