"""What the models give: base and result, asked the same things, one model in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from assistant.config import Config, EngineName
from assistant.engines import open_engine
from assistant.engines.base import EngineInfo
from assistant.models import LocalModel
from assistant.models.weights import quantised_by
from assistant.progress import Report
from assistant.records.check_report import EngineCheck, General, Merge
from assistant.words import Text

from .engine_check import compare_with_engine, engine_figures
from .inputs import Inputs
from .merge_check import Greedy, compare_merge, places_to_keep
from .models import Device, LoadedModel, loaded, place_for
from .probing import Answer, ProbePrompt, ask_base, engine_answers, evenly, of_all_kinds
from .reading import Passage
from .weights_check import check_weights

BASE_ANSWERS = Text("The base answers", "基座作答")
ANSWERS = Text("The trained model answers", "训练后的模型作答")
ADAPTER_READS = Text("The adapter reads the answers", "adapter 复核回答")
PERPLEXITY = Text("Reading ordinary conversation", "阅读日常对话")
BASE_PERPLEXITY = Text("The base reads ordinary conversation", "基座阅读日常对话")


@dataclass
class Clock:
    """Seconds of each part of the check."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[part] = round(self.seconds.get(part, 0) + time.monotonic() - start, 1)


@dataclass(frozen=True)
class Measurements:
    """What the models gave."""

    answered_by: str
    base: list[Answer | None]  # None: not asked
    after: list[Answer]
    general: General
    merge: Merge
    engine: EngineCheck


def measure_models(
    config: Config, inputs: Inputs, asked: Sequence[ProbePrompt], clock: Clock, report: Report
) -> Measurements:
    """One model in memory at a time: the engine twice, then merged, then base and adapter."""
    place = place_for(inputs.base.folder)  # as many numbers as the result has, and never packed
    on_gpu = place.device == "cuda"
    proved = evenly(len(asked), inputs.table.proof_probes)
    few = [asked[number] for number in proved]
    with clock.time("answers"):
        info, served = _served(
            config, inputs.merged_model, few if on_gpu else asked, ANSWERS, report
        )
    served_few = served if on_gpu else [served[number] for number in proved]
    base_asked = of_all_kinds(asked, inputs.table.base_probes)
    of_base = [ask_base(asked[number], inputs.persona, inputs.table) for number in base_asked]
    said_before: list[Answer] = []
    if not on_gpu:
        with clock.time("base answers"):
            said_before = _served(config, inputs.base_model, of_base, BASE_ANSWERS, report)[1]
    with loaded(inputs.run.merged, place) as model:
        with clock.time("engine check"):
            compared = compare_with_engine(model, few, served_few, inputs.dtype, report)
            engine = engine_figures(info, model, few, served_few, compared.mismatches, place.dtype)
        answered_by, after, greedy = f"engine {info.name}", served, compared.greedy
        if on_gpu:
            with clock.time("answers"):
                answered_by = "transformers"
                after, greedy = _own_answers(model, asked, report)
        with clock.time("perplexity"):
            perplexity = model.perplexity(inputs.rows, PERPLEXITY, report)
    with loaded(inputs.base.folder, place) as model:
        with clock.time("perplexity"):
            before = model.perplexity(inputs.rows, BASE_PERPLEXITY, report)
        if on_gpu:
            with clock.time("base answers"):
                said = model.generate(of_base, BASE_ANSWERS, report)
                said_before = [model.answer(*each) for each in zip(of_base, said, strict=True)]
    with clock.time("merge check"):
        merge = _merge(inputs, greedy, place, report)
    general = General(
        conversations=len(inputs.rows),
        perplexity=perplexity,
        base_perplexity=before,
        change_percent=100 * (perplexity / before - 1),
    )
    before_by_number = dict(zip(base_asked, said_before, strict=True))
    base = [before_by_number.get(number) for number in range(len(asked))]
    return Measurements(answered_by, base, after, general, merge, engine)


def _served(
    config: Config, model: LocalModel, asked: Sequence[ProbePrompt], what: Text, report: Report
) -> tuple[EngineInfo, list[Answer]]:
    """The answers of the engine that serves here."""
    name: EngineName = config.serve.engine
    if name in ("remote", "echo"):  # they do not serve these weights
        name = "auto"
    engine = open_engine(name, model, config.serve, report).engine
    try:
        concurrent = config.serve.limits.concurrent
        return engine.describe(), engine_answers(engine, asked, concurrent, what, report)
    finally:
        engine.close()


def _own_answers(
    model: LoadedModel, asked: Sequence[ProbePrompt], report: Report
) -> tuple[list[Answer], Greedy]:
    """The merged model's own answers, generated in transformers, and its reading of them."""
    said = model.generate(asked, ANSWERS, report)
    passages = tuple(
        Passage.of_answer(model.prompt(each), ids) for each, ids in zip(asked, said, strict=True)
    )
    readings = model.read(passages, keep=places_to_keep(passages))
    answers = [model.answer(*each) for each in zip(asked, said, strict=True)]
    return answers, Greedy(tuple(asked), passages, tuple(readings))


def _merge(inputs: Inputs, greedy: Greedy, place: Device, report: Report) -> Merge:
    """The adapter beside the base reads what the merged model said; a full fine-tune's adapter
    folder is a model of its own. Quantised weights are no sum any more, and not compared as one."""
    weights = None
    if not quantised_by(inputs.run.merged):
        weights = check_weights(inputs.base.folder, inputs.run.adapter, inputs.run.merged)
    folder = inputs.run.adapter if inputs.full else inputs.base.folder
    adapter = None if inputs.full else inputs.run.adapter
    keep = frozenset(
        (number, kept) for number, reading in enumerate(greedy.readings) for kept in reading.logits
    )
    with loaded(folder, place, adapter) as model:
        readings = model.read(greedy.passages, keep=keep, what=ADAPTER_READS, report=report)
        return compare_merge(greedy, readings, weights, model, place.dtype)
