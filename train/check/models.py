"""A model in transformers: greedy answers, readings of texts, perplexity."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.models.weights import quantised_by
from assistant.progress import Progress, Report, unreported
from assistant.transformers_import import import_transformers
from assistant.words import Text

from ..base.machine import this_machine
from ..base.size import measure
from ..base.tokenizer import load_tokenizer
from ..data.render import IGNORED, prompt_ids, render_conversation
from ..library_logging import quiet_libraries
from .probing import Answer, ProbePrompt
from .quantised import dequantised
from .reading import Passage, Reading, batches

if TYPE_CHECKING:
    from assistant.conversation import Conversation

BATCH_TOKENS = 1024  # of one pass on the processor
GPU_BATCH_TOKENS = 8192
BATCH_ANSWERS = 32
ROOM = 0.4  # of the memory there is: what the weights may take
INCOMPLETE = "\ufffd"  # a character cut in the middle, as tokenizers write it


@dataclass(frozen=True)
class Device:
    """Where a model runs, and in which numbers."""

    device: str
    dtype: str


def place_for(folder: Path) -> Device:
    """The GPU if the weights fit there, else the processor; fp32 if that fits, else 16 bits."""
    import torch

    parameters = measure(folder).parameters
    if torch.cuda.is_available():
        free = torch.cuda.mem_get_info()[0]
        if 4 * parameters <= ROOM * free:
            return Device("cuda", "float32")
        if 2 * parameters <= 2 * ROOM * free:
            return Device("cuda", "bfloat16" if torch.cuda.is_bf16_supported() else "float16")
    fits = 4 * parameters <= ROOM * this_machine().memory
    return Device("cpu", "float32" if fits else "bfloat16")


class LoadedModel:
    """A causal language model with its tokenizer, for reading and answering."""

    def __init__(self, model: Any, tokenizer: Any, device: str):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = device
        self.stops = _stop_ids(model, tokenizer)
        self.pad = tokenizer.pad_token_id
        if self.pad is None:
            self.pad = tokenizer.eos_token_id

    def prompt(self, asked: ProbePrompt) -> list[int]:
        """The prompt's token ids, by the tokenizer's own chat template."""
        return prompt_ids(self.tokenizer, asked.messages)

    def token_ids(self, text: str) -> list[int]:
        """The ids of plain text."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """The text of `ids` as an engine gives it out: no special tokens, no cut character."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).rstrip(INCOMPLETE)

    def read(
        self,
        passages: Sequence[Passage],
        *,
        keep: frozenset[tuple[int, int]] = frozenset(),
        what: Text | None = None,
        report: Report = unreported,
    ) -> list[Reading]:
        """Readings in the order of `passages`; `keep` names (passage, place number) pairs whose
        logits over the whole vocabulary are kept."""
        budget = BATCH_TOKENS if self.device == "cpu" else GPU_BATCH_TOKENS
        found: dict[int, Reading] = {}
        for batch in batches(passages, budget):
            found.update(self._read_batch({n: passages[n] for n in batch}, keep))
            if what is not None:
                report(Progress(what, len(found), len(passages)))
        return [found[number] for number in range(len(passages))]

    def _read_batch(
        self, batch: dict[int, Passage], keep: frozenset[tuple[int, int]]
    ) -> Iterator[tuple[int, Reading]]:
        import torch

        width = max(len(one.ids) for one in batch.values())
        rows = [[*one.ids, *[self.pad] * (width - len(one.ids))] for one in batch.values()]
        mask = [[1] * len(one.ids) + [0] * (width - len(one.ids)) for one in batch.values()]
        before = sorted({place - 1 for one in batch.values() for place in one.places})
        column = {place: number for number, place in enumerate(before)}
        with torch.inference_mode():
            logits = self.model(
                input_ids=torch.tensor(rows, device=self.device),
                attention_mask=torch.tensor(mask, device=self.device),
                logits_to_keep=torch.tensor(before, device=self.device),
                use_cache=False,
            ).logits
            for row, (number, passage) in enumerate(batch.items()):
                columns = [column[place - 1] for place in passage.places]
                yield number, self._reading(logits[row, columns].float(), passage, number, keep)

    def _reading(
        self, logits: Any, passage: Passage, number: int, keep: frozenset[tuple[int, int]]
    ) -> Reading:
        import torch

        tokens = torch.tensor([passage.ids[place] for place in passage.places], device=self.device)
        two = logits.topk(2)
        there = logits.gather(1, tokens[:, None])[:, 0]
        return Reading(
            best=tuple(two.indices[:, 0].tolist()),
            top=tuple(two.values[:, 0].tolist()),
            second=tuple(two.values[:, 1].tolist()),
            there=tuple(there.tolist()),
            logprob=tuple((there - logits.logsumexp(1)).tolist()),
            logits={
                place: logits[place].cpu().clone()
                for place in range(len(passage.places))
                if (number, place) in keep
            },
        )

    def perplexity(self, rows: Sequence[Conversation], what: Text, report: Report) -> float:
        """exp of the mean loss on the assistant's tokens, rendered and masked as in training."""
        passages = [passage for row in rows for passage in self._passages(row)]
        readings = self.read(passages, what=what, report=report)
        losses = [-logprob for reading in readings for logprob in reading.logprob]
        return math.exp(sum(losses) / len(losses))

    def _passages(self, row: Conversation) -> Iterator[Passage]:
        """A row's answers, with the tokens that training learns from."""
        for sample in render_conversation(self.tokenizer, row):
            places = [place for place, label in enumerate(sample.labels) if label != IGNORED]
            if places:
                yield Passage(sample.input_ids, tuple(places))

    def generate(
        self, asked: Sequence[ProbePrompt], what: Text, report: Report
    ) -> list[tuple[int, ...]]:
        """Greedy answers as token ids, the stop token included where the model came to it."""
        prompts = [self.prompt(each) for each in asked]
        order = sorted(range(len(asked)), key=lambda n: (asked[n].max_tokens, len(prompts[n])))
        found: dict[int, tuple[int, ...]] = {}
        while order:
            limit = asked[order[0]].max_tokens
            batch = [n for n in order[:BATCH_ANSWERS] if asked[n].max_tokens == limit]
            order = order[len(batch) :]
            said = self._generate_batch([prompts[n] for n in batch], limit)
            found.update(zip(batch, said, strict=True))
            report(Progress(what, len(found), len(asked)))
        return [found[number] for number in range(len(asked))]

    def _generate_batch(self, prompts: list[list[int]], limit: int) -> list[tuple[int, ...]]:
        import torch

        width = max(map(len, prompts))
        rows = [[self.pad] * (width - len(one)) + one for one in prompts]
        mask = [[0] * (width - len(one)) + [1] * len(one) for one in prompts]
        with torch.inference_mode(), quiet_libraries():
            out = self.model.generate(
                input_ids=torch.tensor(rows, device=self.device),
                attention_mask=torch.tensor(mask, device=self.device),
                max_new_tokens=limit, do_sample=False, num_beams=1, use_cache=True,
                temperature=None, top_p=None, top_k=None, repetition_penalty=1.0,
                eos_token_id=sorted(self.stops), pad_token_id=self.pad,
            )  # fmt: skip
        return [self._until_stop(row) for row in out[:, width:].tolist()]

    def _until_stop(self, ids: list[int]) -> tuple[int, ...]:
        for place, token in enumerate(ids):
            if token in self.stops:
                return tuple(ids[: place + 1])
        return tuple(ids)

    def answer(self, asked: ProbePrompt, ids: Sequence[int]) -> Answer:
        """Generated ids as an answer."""
        prompt = tuple(self.prompt(asked))
        ended = bool(ids) and ids[-1] in self.stops
        return Answer(self.text(ids), ended, len(ids), len(prompt), prompt)


@contextmanager
def loaded(
    folder: Path,
    place: Device,
    adapter: Path | None = None,
    fuse: bool = False,
    gguf: Path | None = None,
) -> Iterator[LoadedModel]:
    """The model of `folder`, with `adapter` beside its weights; freed afterwards.

    `fuse` adds the adapter into the loaded weights, which is quicker and not what is checked. `gguf`
    is a file whose weights, back in full precision, take the place of the folder's.
    """
    import gc

    import_transformers()
    import torch
    from transformers import AutoModelForCausalLM

    with quiet_libraries(), _no_bars() if gguf else nullcontext():
        read = dequantised if quantised_by(folder) else AutoModelForCausalLM.from_pretrained
        source, file = (folder, {}) if gguf is None else (gguf.parent, {"gguf_file": gguf.name})
        model: Any = read(
            source,
            **file,
            dtype=getattr(torch, place.dtype),
            attn_implementation="eager" if place.device == "cpu" else "sdpa",
        )
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter))
            model = model.merge_and_unload() if fuse else model
    model.to(place.device)
    one = LoadedModel(model, load_tokenizer(str(folder)), place.device)
    try:
        yield one
    finally:
        del one, model
        gc.collect()
        if place.device == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def _no_bars() -> Iterator[None]:
    """transformers' reader of GGUF draws tqdm's bar, which its own switch does not reach."""
    with redirect_stderr(io.StringIO()):
        yield


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer: the generation config's and the tokenizer's."""
    stated = model.generation_config.eos_token_id
    many = stated if isinstance(stated, list) else [stated]
    return {token for token in [*many, tokenizer.eos_token_id] if token is not None}
