"""Exported GGUF files beside the merged model: the check's probes asked through llama.cpp, and
held-out conversation read by transformers from the file itself.

A file must answer as the merged model does: an unquantised one word for word, or within rounding;
a quantised one may lose what `allowed_rise` and LOSS say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.config import Config
from assistant.conversation import Conversation, Message
from assistant.engines import open_engine
from assistant.errors import UsageError
from assistant.models.gguf import read_header
from assistant.models.local import LocalModel, open_local
from assistant.persona import Persona, persona_from_config, read_persona
from assistant.progress import Report
from assistant.records.check_report import Mismatch, Prompts, Words
from assistant.records.export_report import Beside, ExportReport, FileFigures
from assistant.run import Run
from assistant.words import Text

from . import scores
from .engine_check import mismatch
from .inputs import check_table, read_held_out
from .measure import ANSWERS, PERPLEXITY
from .models import Device, LoadedModel, loaded, place_for
from .probing import (
    Answer,
    ProbePrompt,
    ask,
    engine_answers,
    evenly,
    of_all_kinds,
    split_probes,
    split_rows,
)

LOSS = 0.02  # of the probes; of few, what two of them make
FEW = 2
UNQUANTISED = frozenset((0, 1, 32))  # gguf.LlamaFileType: F32, F16, BF16
# Percent that perplexity may rise by: F32, F16, BF16, Q8_0, Q6_K, Q4_K_M. The rest is Q4_0, which
# takes a few percent from a model of billions and 29 % from one of 135M.
_RISE = {0: 0.5, 1: 0.5, 32: 0.5, 7: 1.0, 18: 2.0, 15: 10.0}
FOUR_BITS_RISE = 40.0


def allowed_rise(file_type: int) -> float:
    """How many percent the perplexity of a file may lie above the merged model's."""
    return _RISE.get(file_type, FOUR_BITS_RISE)


@dataclass(frozen=True)
class MergedSays:
    """The merged model's own answers, and its perplexity."""

    answers: list[Answer]
    perplexity: float


def compare(config: Config, run: Run, files: Sequence[Path], report: Report) -> ExportReport:
    """Ask `files` what the check asked the merged model of `run`.

    Raises UsageError where the run lacks something, EngineError where llama.cpp cannot run.
    """
    models = {file: _gguf(file) for file in files}
    table = check_table(config)
    probes, rows = read_held_out(run)
    merged = run.merged
    if not (merged / "config.json").is_file():
        raise UsageError(
            Text(f"Nothing to compare with: {merged} is missing.", f"没有可对比的模型：缺少 {merged}。"),
            Text("Merge first: python -m train merge", "请先合并：python -m train merge"),
        )  # fmt: skip
    persona = read_persona(merged) or persona_from_config(config)
    all_asked = [ask(probe, persona, table) for probe in split_probes(probes)[1]]
    asked = [all_asked[number] for number in of_all_kinds(all_asked, table.proof_probes)]
    held = split_rows(rows)[1] or list(rows)
    few = [held[number] for number in evenly(len(held), table.proof_probes)]
    place = place_for(merged)
    begun = [_with_system(each, persona) for each in asked]
    found: list[FileFigures] = []
    said: dict[Path, tuple[str, list[Answer], float]] = {
        file: _served(config, model, asked, report) for file, model in models.items()
    }
    with loaded(merged, place) as model:
        own = model.generate(begun, ANSWERS, report)
        ours = [model.answer(*each) for each in zip(begun, own, strict=True)]
        before = MergedSays(ours, model.perplexity(few, PERPLEXITY, report))
        parted = {
            file: _mismatches(model, begun, own, said[file][1], _stored(merged))
            for file in files
            if _file_type(file) in UNQUANTISED
        }
    for file in files:
        _, answers, seconds = said[file]
        perplexity = _perplexity(file, merged, place, few, report)
        found.append(
            _figures(file, asked, answers, before, perplexity, parted.get(file), persona, seconds)
        )
    engine = said[files[0]][0] if files else "llamacpp"
    return ExportReport(
        model=f"{run.name}/merged", engine=engine, files=found,
        passed=all(one.passed for one in found),
    )  # fmt: skip


def _gguf(file: Path) -> LocalModel:
    if not file.is_file():
        raise UsageError(
            Text(f"There is no file {file}.", f"没有文件 {file}。"),
            Text("Make it: python -m deploy export", "先生成：python -m deploy export"),
        )
    return open_local(str(file), file)


def _with_system(asked: ProbePrompt, persona: Persona) -> ProbePrompt:
    """The probe as the file's own template asks it: with the persona's prompt where it brings none."""
    if asked.messages[0].role == "system":
        return asked
    system = Message(role="system", content=persona.system(None))
    return replace(asked, messages=(system, *asked.messages))


def _served(
    config: Config, model: LocalModel, asked: Sequence[ProbePrompt], report: Report
) -> tuple[str, list[Answer], float]:
    """llama.cpp's name, its answers, and the seconds that they took."""
    engine = open_engine("llamacpp", model, config.serve, report).engine
    try:
        name = model.path.name
        what = Text(f"{name} answers", f"{name} 作答")
        start = time.monotonic()
        answers = engine_answers(engine, asked, config.serve.limits.concurrent, what, report)
        return engine.describe().name, answers, round(time.monotonic() - start, 1)
    finally:
        engine.close()


def _mismatches(
    model: LoadedModel,
    asked: Sequence[ProbePrompt],
    own: Sequence[Sequence[int]],
    said: Sequence[Answer],
    stored: str,
) -> list[Mismatch]:
    prompts = [model.prompt(each) for each in asked]
    found = [mismatch(model, *each, stored) for each in zip(asked, prompts, own, said, strict=True)]
    return [each for each in found if each is not None]


def _perplexity(
    file: Path, merged: Path, place: Device, rows: Sequence[Conversation], report: Report
) -> float:
    what = Text(f"Reading ordinary conversation with {file.name}", f"用 {file.name} 阅读日常对话")
    with loaded(merged, place, gguf=file) as model:
        return model.perplexity(rows, what, report)


def _figures(
    file: Path,
    asked: Sequence[ProbePrompt],
    said: Sequence[Answer],
    merged: MergedSays,
    perplexity: float,
    parted: list[Mismatch] | None,
    persona: Persona,
    seconds: float,
) -> FileFigures:
    pairs = scores.pairs(asked, merged.answers, said)
    identity, unasked = scores.identity(pairs), scores.false_trigger(pairs, persona)
    ended = [
        sum(answer.ended for answer in each) / max(1, len(said)) for each in (said, merged.answers)
    ]
    equal = sum(
        one.text == other.text and one.ended == other.ended
        for one, other in zip(said, merged.answers, strict=True)
    )
    figures = FileFigures(
        file=file.name,
        size=file.stat().st_size,
        file_type=_file_type(file),
        identity=Beside(
            probes=identity.probes, rate=identity.hit_rate, merged_rate=identity.base_hit_rate
        ),
        false_trigger=Beside(
            probes=unasked.probes, rate=unasked.rate, merged_rate=unasked.base_rate
        ),
        ended=Beside(probes=len(said), rate=ended[0], merged_rate=ended[1]),
        equal=equal,
        answers=len(said),
        within_rounding=None if parted is None else sum(one.within_rounding for one in parted),
        mismatches=parted or [],
        prompts=Prompts(
            compared=len(said),
            equal=sum(
                one.prompt_tokens == other.prompt_tokens
                for one, other in zip(said, merged.answers, strict=True)
            ),
            by="token count",
        ),
        perplexity=perplexity,
        merged_perplexity=merged.perplexity,
        change_percent=100 * (perplexity / merged.perplexity - 1),
        seconds=seconds,
        faults=[],
    )
    return figures.model_copy(update={"faults": [Words.of(text) for text in _faults(figures)]})


def _faults(one: FileFigures) -> list[Text]:
    """What is more than may be lost."""
    found = []
    if one.prompts.equal < one.prompts.compared:
        other = one.prompts.compared - one.prompts.equal
        found.append(
            Text(
                f"{other} prompts have other tokens than training's",
                f"{other} 个提示的 token 与训练时不同",
            )
        )
    if lower(one.identity):
        found.append(Text("says less often who it is", "更少说出自己是谁"))
    if lower(Beside(probes=one.false_trigger.probes, rate=one.false_trigger.merged_rate,
                    merged_rate=one.false_trigger.rate)):  # fmt: skip
        found.append(Text("names itself unasked more often", "更常无故自报姓名"))
    if lower(one.ended):
        found.append(Text("ends its answers less often", "回答更少自行结束"))
    if one.change_percent > (rise := allowed_rise(one.file_type)):
        found.append(Text(f"perplexity rose by {one.change_percent:.2f} %, more than {rise:g} %",
                          f"困惑度上升 {one.change_percent:.2f} %，超过 {rise:g} %"))  # fmt: skip
    if one.within_rounding is not None and one.equal + one.within_rounding < one.answers:
        other = one.answers - one.equal - one.within_rounding
        found.append(
            Text(
                f"{other} answers differ by more than rounding", f"{other} 条回答的差异超出舍入误差"
            )
        )
    return found


def lower(share: Beside) -> bool:
    """Whether the file's share lies below the merged model's by more than may be lost."""
    return share.rate < share.merged_rate - max(LOSS, FEW / max(1, share.probes)) - 1e-9


def _file_type(file: Path) -> int:
    return read_header(file).numbers.get("general.file_type", -1)


def _stored(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")
