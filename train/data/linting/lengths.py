"""Lengths in tokens: with the base's own tokenizer where it is here, else estimated, and said so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from assistant.config import Config
from assistant.conversation import Message, Role
from assistant.errors import AssistantError
from assistant.libraries import not_installed
from assistant.models import LocalModel, fetch
from assistant.words import Text

from ...base.folder import converted_folder
from ...base.light_tokenizer import LightTokenizer, from_folder, from_gguf
from ...base.machine import this_machine
from ...base.size import Size, measure
from ...recipes import all_recipes, automatic
from ...settings import TrainTable
from ..render import TemplateError, template_ids
from .report import Histogram

BATCH = 2000  # rows
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+")
_AROUND = 6  # tokens that a chat template usually puts around a message


@dataclass
class TokenCounter:
    """Counts tokens of messages. `around` is what the template adds to a message, `once` to a row,
    and `unprompted` to a row without a system message: some templates put their own there."""

    name: str
    tokenizer: Any = None  # tokenizers.Tokenizer; None: estimate
    around: int = _AROUND
    once: int = 0
    unprompted: int = 0

    def template(self, has_system: bool) -> int:
        """What the template adds to a row beside what stands around its messages."""
        return self.once if has_system else self.unprompted

    @property
    def exact(self) -> bool:
        return self.tokenizer is not None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text alone."""
        if self.tokenizer is None:
            return [estimate(text) for text in texts]
        encode = getattr(self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch)
        return [len(found.ids) for found in encode(list(texts), add_special_tokens=False)]


def estimate(text: str) -> int:
    """About how many tokens today's tokenizers make: 0.7 of a Chinese character, 0.25 of others."""
    wide = sum(map(len, _WIDE.findall(text)))
    return round(wide * 0.7 + (len(text) - wide) * 0.25) + (1 if text else 0)


def counter_for(config: Config) -> tuple[TokenCounter, Text | None]:
    """A counter for the configured base, and why it only estimates, None if it counts.

    Nothing is downloaded for this.
    """
    try:
        tokenizer = light_tokenizer(config) or base_tokenizer(config)
        backend = tokenizer.backend_tokenizer  # missing where a tokenizer has no fast version
        return TokenCounter(config.model.base, backend, *_template_tokens(tokenizer)), None
    except (AssistantError, AttributeError, ImportError, OSError, ValueError) as error:
        why = error.message if isinstance(error, AssistantError) else Text(str(error), str(error))
        return TokenCounter(str(Text("estimate", "估算"))), why


def light_tokenizer(config: Config) -> LightTokenizer | None:
    """The tokenizer of `[model] base` read without transformers; None where that takes it.

    Raises AssistantError if the base is not here, or of a kind that training does not read.
    """
    if find_spec("tokenizers") is None:
        return None
    model = fetch(config.model.base, base_folder=config.folder, offline=True)
    return from_gguf(model.path) if model.format == "gguf" else from_folder(model.path)


def base_tokenizer(config: Config, offline: bool = True) -> Any:
    """The tokenizer of `[model] base` with its chat template, as training reads it.

    Raises AssistantError if the base is not here (or, not `offline`, cannot be had), BlockedError
    without transformers.
    """
    from ...base.gguf_tokenizer import read_tokenizer
    from ...base.tokenizer import load_tokenizer

    if find_spec("transformers") is None:
        raise not_installed("transformers")
    model = fetch(config.model.base, base_folder=config.folder, offline=offline)
    folder = _folder(model)
    if folder is None:
        from gguf import GGUFReader

        return read_tokenizer(GGUFReader(model.path), model.name)
    return load_tokenizer(str(folder))


def _folder(model: LocalModel) -> Path | None:
    """The model as a Hugging Face folder; None for a GGUF that was not converted yet."""
    if model.format != "gguf":
        return model.path
    folder = converted_folder(model)  # reading the GGUF again takes seconds
    return folder if folder.is_dir() else None


def max_length(config: Config) -> int:
    """Tokens of a row that training reads: `[train] max_length`, else its recipe's. Where `auto`
    would look at the size of a base that is not here, the shorter of its answers."""
    table: TrainTable = config.tables["train"]
    if table.max_length:
        return table.max_length
    name = table.recipe
    if name == "auto":
        machine = this_machine()
        # Only GPUs ask for the size, and the way to it goes over a hash of all of a GGUF's bytes.
        name = automatic(machine, _size(config) if machine.gpus else None)[0]
    return all_recipes()[name].max_length


def _size(config: Config) -> Size | None:
    """The base's size; None where it is not here, or not as a folder yet."""
    try:
        folder = _folder(fetch(config.model.base, base_folder=config.folder, offline=True))
        return measure(folder) if folder else None
    except (AssistantError, OSError, ValueError, KeyError):
        return None


def _template_tokens(tokenizer: Any) -> tuple[int, int, int]:
    """What the chat template adds around a message, to a row, and to one without system message.

    Raises TemplateError where a template refuses such a conversation.
    """

    def length(*roles: Role) -> int:
        return len(template_ids(tokenizer, [Message(role=role, content="a") for role in roles]))

    pair: tuple[Role, Role] = ("user", "assistant")
    one, two = length(*pair), length(*pair, *pair)
    try:
        prompted = length("system", *pair)
    except TemplateError:  # such rows are refused before they are trained on
        prompted = one
    each = (two - one) // 2  # of which one token is the "a"
    return max(0, each - 1), max(0, prompted - 3 * each), max(0, one - 2 * each)


def histogram(values: Sequence[int], bins: int = 24) -> Histogram:
    """Counts over even bins up to the 99th percentile; the last bin holds everything beyond."""
    if not values:
        return Histogram(edges=(0, 1), counts=(0,))
    ordered = sorted(values)
    top = max(1, ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))])
    step = max(1, -(-top // bins))
    counts = [0] * -(-(top + 1) // step)
    for value in ordered:
        counts[min(value // step, len(counts) - 1)] += 1
    edges = [number * step for number in range(len(counts))] + [
        max(ordered[-1], len(counts) * step)
    ]
    return Histogram(
        edges=tuple(edges), counts=tuple(counts), median=ordered[len(ordered) // 2],
        p95=ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], longest=ordered[-1],
    )  # fmt: skip
