"""`train data lint` and what `train all` needs of it: from the configuration to a written report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.artifacts import refuse_unwritable, whole_file, whole_folder, write_json
from assistant.cli import Context, TerminalProgress
from assistant.conversation import Conversation
from assistant.errors import FailedError, UsageError
from assistant.outside import in_line, legible
from assistant.persona import persona_from_config
from assistant.progress import Report, unreported
from assistant.run import Run
from assistant.shell import both_in_same_project
from assistant.words import Text

from ..lines import refuse_streams
from ..outputs import MAKE_DATA, make_data, refuse_losing, side_file
from . import LintReport, lint
from .lengths import counter_for
from .lengths import max_length as recipe_length
from .page import page
from .report import RowRef

if TYPE_CHECKING:
    from assistant.config import Config

REPORT_FOLDER, JSON_FILE, PAGE_FILE = "lint", "lint.json", "lint.html"


def lint_run(
    config: Config, run: Run, max_length: int | None = None, report: Report = unreported
) -> LintReport:
    """Lint the dataset of a run before it is trained on, and write its `lint`.

    Rows longer than `max_length` tokens are cut in training (None: what the configuration says).
    Raises FailedError where the data has errors, UsageError where there is no data.
    """
    found = _lint(_run_files(run), config, run.lint, (), max_length, report)
    if not found.passed:
        raise _unfit(found, run.lint / PAGE_FILE)
    return found


def run_lint(
    context: Context,
    config: Config | None,
    files: Sequence[Path],
    run_name: str | None,
    out: Path | None,
    ignore: Sequence[str],
    max_length: int | None,
    sound: Path | None = None,
) -> tuple[LintReport, Path]:
    """Lint the files, or those of the run; returns the report and the folder it was written to.

    The rows without errors of their own are written to `sound`, a file that is not there yet.
    """
    if files and run_name:
        raise UsageError(
            Text("Name files or --run, not both.", "文件和 --run 只能指定一种。"),
        )
    run = None if files or not config else config.run_named(run_name)
    named = list(files) or _run_files(run)
    refuse_streams(named)
    folder = out or (run.lint if run else side_file(named[0], REPORT_FOLDER))
    names = ", ".join(map(in_line, named))
    written = f"{in_line(folder)}, {in_line(sound)}" if sound else in_line(folder)
    context.say(Text(f"Reads {names}, writes {written}.", f"读取 {names}，写入 {written}。"))
    with TerminalProgress(context.quiet) as progress, contextlib.ExitStack() as closing:
        keep = None
        if sound:
            _refuse_there(sound)
            lines = closing.enter_context(whole_file(sound))
            keep = lambda row: print(row.line(), file=lines)  # noqa: E731
        how = (ignore, max_length, progress, context.say, keep)
        return _lint(named, config, folder, *how), folder


def _refuse_there(file: Path) -> None:
    """Raise UsageError where `file` would be replaced."""
    if file.exists():
        raise UsageError(
            Text(f"{in_line(file)} is there already.", f"{in_line(file)} 已经存在。"),
            Text("Name another file with --sound.", "请用 --sound 指定别的文件。"),
        )


def _lint(
    files: Sequence[Path], config: Config | None, folder: Path, ignore: Sequence[str],
    max_length: int | None, report: Report, say: Callable[[Text], None] = lambda _: None,
    sound: Callable[[Conversation], None] | None = None,
) -> LintReport:  # fmt: skip
    """The report, written to `folder`; an earlier one is replaced, and nothing else."""
    refuse_losing(folder, (JSON_FILE, PAGE_FILE), files)
    refuse_unwritable(folder)
    persona = counter = None
    if config:
        persona = persona_from_config(config)
        max_length = max_length or recipe_length(config)
        counter, why = counter_for(config)
        if why is not None:
            say(Text(f"Lengths are estimated: {why.en}", f"长度为估算：{why.zh}"))
    found = lint(files, persona, counter, max_length, ignore, report, sound)
    if config:
        mine = config
        found = found.pasted(lambda text: both_in_same_project(text, mine.file, mine.sets))
    with whole_folder(folder, force=True) as partial:
        write_json(found.as_json(), partial / JSON_FILE)
        with whole_file(partial / PAGE_FILE) as out:
            out.write(legible(page(found)))
    return found


def _run_files(run: Run | None) -> list[Path]:
    """The run's dataset. Raises UsageError where there is none."""
    found = [] if run is None else [run.train_file, run.valid_file]
    there = [file for file in found if file.exists()]
    if not there:
        made = make_data(run.data) if run else MAKE_DATA
        raise UsageError(
            Text("There is no data to check.", "没有可检查的数据。"),
            Text(f"Name files. {made.en}", f"请指定文件。{made.zh}"),
        )
    return there


def _unfit(report: LintReport, page_file: Path) -> FailedError:
    lines = [
        Text(
            f"\n  {finding.code} {finding.title.en}: {_where(finding.rows)}{finding.count} rows"
            f"\n    → {finding.cure.en}",
            f"\n  {finding.code} {finding.title.zh}：{_where(finding.rows)}{finding.count} 行"
            f"\n    → {finding.cure.zh}",
        )
        for finding in report.errors
    ]
    return FailedError(
        Text(
            "The data is not fit to train on." + "".join(line.en for line in lines),
            "数据还不能用于训练。" + "".join(line.zh for line in lines),
        ),
        Text(f"All findings: {in_line(page_file)}", f"全部问题见：{in_line(page_file)}"),
    )


def _where(rows: Sequence[RowRef]) -> str:
    return f"{rows[0].file}:{rows[0].row} {rows[0].detail}, ".replace(" ,", ",") if rows else ""
