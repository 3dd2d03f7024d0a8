"""Tokens become text piece by piece, for many answers at once, never inside a character."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino_genai

DecodeMany = Callable[[Sequence[list[int]]], list[str]]
_CUT = "\ufffd"  # what an incomplete character decodes to


@dataclass
class TextSoFar:
    """The tokens of one answer, and how far they have been given out as text.

    Only the tokens since the last but one piece are decoded again (as vLLM and TGI do), so the
    work per token does not grow with the answer.
    """

    tokens: list[int] = field(default_factory=list)
    begin: int = 0
    given: int = 0

    def take(self, text: str, before: str) -> str:
        """What `text` (from `begin`) adds to `before` (from `begin` to `given`)."""
        if len(text) <= len(before):
            return ""
        self.begin, self.given = self.given, len(self.tokens)
        return text[len(before) :]


def next_pieces(answers: Sequence[tuple[TextSoFar, bool]], decode: DecodeMany) -> list[str]:
    """The new whole text of each answer; the flag says that it has ended.

    While a character is incomplete there is no new text; one still incomplete at the end of the
    answer is left out.
    """
    windows = [answer.tokens[answer.begin :] for answer, _ in answers]
    known = [answer.tokens[answer.begin : answer.given] for answer, _ in answers]
    texts = decode([*windows, *known])
    pieces = []
    for number, (answer, ended) in enumerate(answers):
        text, before = texts[number], texts[len(answers) + number]
        if text.endswith(_CUT):
            text = text.rstrip(_CUT) if ended else before
        pieces.append(answer.take(text, before))
    return pieces


def openvino_decoder(tokenizer: openvino_genai.Tokenizer) -> DecodeMany:
    """Decode many token lists in one call for each length: lists of unlike length would be padded,
    and not every tokenizer has a padding token that leaves no trace."""

    def decode(many: Sequence[list[int]]) -> list[str]:
        by_length: dict[int, list[int]] = collections.defaultdict(list)
        for number, tokens in enumerate(many):
            by_length[len(tokens)].append(number)
        texts = [""] * len(many)
        for length, numbers in by_length.items():
            if length:
                group = tokenizer.decode([many[number] for number in numbers], True)
                for number, text in zip(numbers, group, strict=True):
                    texts[number] = text
        return texts

    return decode


def transformers_decoder(tokenizer: object) -> DecodeMany:
    """Token lists to texts, without special tokens."""

    def decode(many: Sequence[list[int]]) -> list[str]:
        return [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in many]  # type: ignore[attr-defined]

    return decode
