"""`train check`: reads a run, asks base and result the same things, writes runs/R/check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from assistant.artifacts import (
    Manifest,
    library_versions,
    now,
    sha256_of,
    whole_file,
    whole_folder,
    write_manifest,
)
from assistant.config import Config
from assistant.outside import legible
from assistant.progress import Report, unreported
from assistant.records.check_report import (
    REPORT_FILE,
    TRANSCRIPTS_FILE,
    CheckReport,
    Split,
    Transcript,
    Words,
)
from assistant.records.training_status import Status, read_status
from assistant.run import Run
from assistant.shell import both_in_same_project
from assistant.words import Text

from . import scores
from .curve import loss_curve
from .gates import gates
from .inputs import Inputs, read_inputs
from .markdown import as_markdown
from .measure import Clock, Measurements, measure_models
from .page import as_html


def check(
    config: Config, run: Run, *, force: bool = False, report: Report = unreported
) -> CheckReport:
    """Check the run and write runs/R/check; a report that did not pass is written as well.

    Raises UsageError where something is missing or stale, EngineError where the engine cannot
    run, BlockedError where the disk refuses.
    """
    started = now()
    inputs = read_inputs(config, run, report)
    clock = Clock()
    with whole_folder(run.check, force=force) as out:
        asked = inputs.asked
        found = measure_models(config, inputs, asked, clock, report)
        answered = scores.pairs(asked, found.base, found.after)
        result = _report(inputs, answered, found, clock)
        lines = [scores.transcript(pair, inputs.persona) for pair in answered]
        name = None if run == config.run else run.name

        def paste(text: Text) -> Text:
            return both_in_same_project(text, config.file, config.sets, name)

        write_report(result, lines, read_status(inputs.run.work), out, paste)
        write_manifest(out, _manifest(inputs, started))
    return result


def _report(
    inputs: Inputs, answered: Sequence[scores.Pair], found: Measurements, clock: Clock
) -> CheckReport:
    persona, table = inputs.persona, inputs.table
    identity = scores.identity(answered)
    false_trigger = scores.false_trigger(answered, persona)
    ended, repetition = scores.ended(answered, table), scores.repetition(answered)
    corrections = scores.corrections(answered)
    leaks, styles = scores.placeholder_leaks(answered), scores.styles(answered, persona)
    passes = gates(
        table, identity, false_trigger, found.general, corrections, ended, repetition, leaks, styles,
        found.merge, found.engine,
    )  # fmt: skip
    return CheckReport(
        model=inputs.name,
        base=inputs.base.public_reference,
        persona={"name": persona.name, "author": persona.author},
        answered_by=found.answered_by,
        identity=identity,
        false_trigger=false_trigger,
        style=styles,
        general=found.general,
        corrections=corrections,
        ended=ended,
        repetition=repetition,
        placeholder_leaks=leaks,
        merge=found.merge,
        engine=found.engine,
        split=Split(
            reported=len(answered),
            base=sum(pair.base is not None for pair in answered),
            choosing=inputs.choosing,
            chosen_step=inputs.chosen_step,
            last_step=inputs.last_step,
        ),
        seconds=clock.seconds,
        passed=all(gate.passed for gate in passes),
        gates=passes,
    )


def _manifest(inputs: Inputs, started: str) -> Manifest:
    files = [
        inputs.run.probes_file,
        inputs.run.valid_file,
        *sorted(inputs.run.merged.glob("*.safetensors")),
    ]
    return Manifest(
        stage="check",
        inputs={f"{file.parent.name}/{file.name}": sha256_of(file) for file in files},
        settings=inputs.table.model_dump(mode="json"),
        libraries=library_versions("torch", "transformers", "peft", "openvino-genai", "openvino"),
        started=started,
        finished=now(),
        notes={"base": inputs.base.public_reference},
    )


MARKDOWN_FILE = "report.md"
PAGE_FILE = "report.html"


def write_report(
    report: CheckReport,
    transcripts: Sequence[Transcript],
    trained: Status | None,
    folder: Path,
    paste: Callable[[Text], Text] = lambda text: text,
) -> None:
    """Write the four files into `folder`.

    `paste` makes a cure's commands those of this project. report.json keeps them as they are: it
    is compared between machines, and names none of their folders.
    """
    points = [(point.step, point.loss) for point in trained.curve] if trained else []
    curve = loss_curve(points, report.split.chosen_step)
    _write(report.model_dump_json(indent=2) + "\n", folder / REPORT_FILE)
    _write("".join(one.model_dump_json() + "\n" for one in transcripts), folder / TRANSCRIPTS_FILE)
    shown = _with_cures(report, paste)
    _write(as_markdown(shown, transcripts), folder / MARKDOWN_FILE)
    _write(as_html(shown, transcripts, curve), folder / PAGE_FILE)


def _with_cures(report: CheckReport, paste: Callable[[Text], Text]) -> CheckReport:
    """The report, the commands of its cures as they run when pasted."""
    gates = [
        gate.model_copy(update={"cure": Words.of(paste(Text(gate.cure.en, gate.cure.zh)))})
        if gate.cure
        else gate
        for gate in report.gates
    ]
    return report.model_copy(update={"gates": gates})


def _write(text: str, file: Path) -> None:
    with whole_file(file) as out:
        out.write(legible(text))
