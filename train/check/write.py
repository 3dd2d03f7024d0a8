"""Writes the report's files: JSON for programs, Markdown and a page for people, transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assistant.artifacts import whole_file

from ..status import Status
from .curve import loss_curve
from .markdown import as_markdown
from .page import as_html
from .report import REPORT_FILE, TRANSCRIPTS_FILE, CheckReport, Transcript

MARKDOWN_FILE = "report.md"
PAGE_FILE = "report.html"


def write_report(
    report: CheckReport, transcripts: Sequence[Transcript], trained: Status | None, folder: Path
) -> None:
    """Write the four files into `folder`."""
    points = [(point.step, point.loss) for point in trained.curve] if trained else []
    curve = loss_curve(points, report.split.chosen_step)
    _write(report.model_dump_json(indent=2) + "\n", folder / REPORT_FILE)
    _write("".join(one.model_dump_json() + "\n" for one in transcripts), folder / TRANSCRIPTS_FILE)
    _write(as_markdown(report, transcripts), folder / MARKDOWN_FILE)
    _write(as_html(report, transcripts, curve), folder / PAGE_FILE)


def _write(text: str, file: Path) -> None:
    with whole_file(file) as out:
        out.write(text)
