"""Writes the report's files: JSON for programs, Markdown and a page for people, transcripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from assistant.artifacts import whole_file
from assistant.outside import legible
from assistant.words import Text

from ..status import Status
from .curve import loss_curve
from .markdown import as_markdown
from .page import as_html
from .report import REPORT_FILE, TRANSCRIPTS_FILE, CheckReport, Transcript, Words

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
