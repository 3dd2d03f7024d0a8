"""`train data lint` and what `train all` needs of it: from the configuration to a written report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.artifacts import whole_file, whole_folder, write_json
from assistant.cli import Context, TerminalProgress
from assistant.errors import UsageError
from assistant.persona import persona_from_config
from assistant.words import Text

from . import LintReport, TokenCounter, lint
from .lengths import counter_for
from .lengths import max_length as recipe_length
from .page import page

if TYPE_CHECKING:
    from assistant.config import Config

JSON_FILE, PAGE_FILE = "lint.json", "lint.html"


def run_lint(
    context: Context,
    config: Config | None,
    files: Sequence[Path],
    run_name: str | None,
    out: Path | None,
    ignore: Sequence[str],
    max_length: int | None,
) -> tuple[LintReport, Path]:
    """Lint the files, or those of the run; returns the report and the folder it was written to."""
    run = _run_folder(config, run_name)
    named = list(files) or _run_files(run)
    folder = out or (run / "lint" if run else Path("lint"))
    names = ", ".join(map(str, named))
    context.say(Text(f"Reads {names}, writes {folder}.", f"读取 {names}，写入 {folder}。"))
    counter = _counter(context, config)
    persona = persona_from_config(config) if config else None
    limit = max_length or (recipe_length(config) if config else None)
    progress = TerminalProgress(context.quiet)
    try:
        report = lint(named, persona, counter, limit, ignore, progress)
    finally:
        progress.close()
    write_report(report, folder)
    return report, folder


def write_report(report: LintReport, folder: Path) -> None:
    """Write `lint.json` and `lint.html`; an earlier report is replaced."""
    with whole_folder(folder, force=True) as partial:
        write_json(report.as_json(), partial / JSON_FILE)
        with whole_file(partial / PAGE_FILE) as out:
            out.write(page(report))


def _run_folder(config: Config | None, run_name: str | None) -> Path | None:
    if config is None:
        return None
    return config.folder / "runs" / run_name if run_name else config.run_folder


def _run_files(run: Path | None) -> list[Path]:
    """The run's dataset. Raises UsageError where there is none."""
    found = [] if run is None else [run / "data" / name for name in ("train.jsonl", "valid.jsonl")]
    there = [file for file in found if file.exists()]
    if not there:
        raise UsageError(
            Text("There is no data to check.", "没有可检查的数据。"),
            Text(
                "Name files, or make the run's data: python -m train data identity",
                "请指定文件，或先生成数据：python -m train data identity",
            ),
        )
    return there


def _counter(context: Context, config: Config | None) -> TokenCounter | None:
    """The base's own tokenizer where it is here; else None, and why."""
    if config is None:
        return None
    counter, why = counter_for(config)
    if why is not None:
        context.say(Text(f"Lengths are estimated: {why.en}", f"长度为估算：{why.zh}"))
    return counter
