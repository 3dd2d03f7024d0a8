"""`python -m train fit | merge | check | all`: the stages of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli import Context, TerminalProgress, common_options, report_error
from assistant.errors import FailedError
from assistant.words import Text

from .common import finished, force_option, read_run, refuse_without_training, run_option

if TYPE_CHECKING:
    from ..pipeline import StageResults


@click.command("fit", help=str(Text("Train an adapter on the run's data.", "用数据训练 adapter。")))
@run_option
@click.option("--resume", is_flag=True, help=str(Text("Go on where it stopped.", "从停下处继续。")))
@force_option
@click.option("--dry-run", is_flag=True, help=str(Text("Say the plan only.", "只显示计划。")))
@click.option(
    "--adapter-only", is_flag=True,
    help=str(Text("Make the adapter ready to talk to, without a merged model.",
                  "让 adapter 可直接对话，不生成合并后的模型。")),
)  # fmt: skip
@common_options
def fit_command(
    context: Context, run_name: str | None, resume: bool, force: bool, dry_run: bool,
    adapter_only: bool,
) -> None:  # fmt: skip
    from ..merge import export_adapter
    from ..trainer.fit import fit
    from ..trainer.prepare import prepare

    config, run = read_run(context, run_name)
    progress = TerminalProgress(context.quiet)
    prepared = prepare(config, run, progress)
    progress.close()
    plan = prepared.plan
    name = prepared.recipe.name
    context.say(
        Text(
            f"Recipe {name} ({prepared.reason.en}). {plan.text().en}.",
            f"配方 {name}（{prepared.reason.zh}）。{plan.text().zh}。",
        )
    )
    for warning in plan.warnings:
        context.say(Text(f"Warning: {warning.en}", f"注意：{warning.zh}"))
    if dry_run:
        context.result({"recipe": name, "plan": plan.as_json()}, "")
        return
    context.say(
        Text(
            f"Reads {prepared.data}, writes {prepared.adapter}.",
            f"读取 {prepared.data}，写入 {prepared.adapter}。",
        )
    )
    try:
        adapter = fit(prepared, resume=resume, force=force, report=progress, say=context.say)
        if adapter_only:
            export_adapter(adapter, prepared.base, progress)
    finally:
        progress.close()
    if adapter_only:
        following = context.page_command(run_name)
        context.result({"folder": str(adapter), "next": following}, str(adapter))
        context.say(Text(f"Next: {following}", f"下一步：{following}"))
        return
    finished(context, adapter, "python -m train merge", run_name)


@click.command(
    "merge", help=str(Text("Put the adapter into the weights.", "把 adapter 合并进权重。"))
)
@run_option
@force_option
@click.option(
    "--export/--no-export", default=True,
    help=str(Text("Also write what the CPU engine reads.", "同时导出 CPU 引擎所读的格式。")),
)  # fmt: skip
@common_options
def merge_command(context: Context, run_name: str | None, force: bool, export: bool) -> None:
    from ..merge import merge, openvino_export

    config, run = read_run(context, run_name)
    progress = TerminalProgress(context.quiet)
    context.say(
        Text(
            f"Reads {run}/adapter, writes {run}/merged.", f"读取 {run}/adapter，写入 {run}/merged。"
        )
    )
    exporter = openvino_export if export else None
    try:
        merged = merge(config, run, force=force, export=exporter, report=progress)
    finally:
        progress.close()
    finished(context, merged, "python -m train check", run_name)


@click.command(
    "check", help=str(Text("Prove the result: before and after.", "检验结果：训练前后对比。"))
)
@run_option
@force_option
@common_options
def check_command(context: Context, run_name: str | None, force: bool) -> None:
    from ..check.markdown import failure, summary
    from ..check.run import check

    config, run = read_run(context, run_name)
    context.say(
        Text(
            f"Reads {run}/data, adapter and merged; writes {run.check}.",
            f"读取 {run}/data、adapter 和 merged，写入 {run.check}。",
        )
    )
    with TerminalProgress(context.quiet) as progress:
        report = check(config, run, force=force, report=progress)
    page = run.check / "report.html"
    context.say(summary(report))
    context.result(report.model_dump(mode="json"), str(page))
    if not report.passed:
        failed = failure(report, page)
        if failed.cure:
            failed.cure = context.paste(failed.cure, run_name)
        report_error(failed, as_json=False)  # the one object on stdout is the report
        sys.exit(failed.exit_code)
    following = context.page_command(run_name)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))


@click.command(
    "compare",
    help=str(Text("Ask exported GGUF files the check's probes, beside the merged model.",
                  "用检验的题目询问导出的 GGUF 文件，与合并后的模型对比。")),
)  # fmt: skip
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(path_type=Path, dir_okay=False))  # fmt: skip
@run_option
@common_options
def compare_command(context: Context, files: tuple[Path, ...], run_name: str | None) -> None:
    from assistant.records.export_report import as_text

    from ..check.compare import compare

    config, run = read_run(context, run_name)
    with TerminalProgress(context.quiet) as progress:
        report = compare(config, run, files, progress)
    context.result(report.model_dump(mode="json"), as_text(report))
    if not report.passed:
        raise SystemExit(FailedError.exit_code)


@click.command(
    "all",
    help=str(Text("Data, fit, merge and check, in one go.", "一次完成数据、训练、合并与检验。")),
)
@run_option
@force_option
@common_options
def all_command(context: Context, run_name: str | None, force: bool) -> None:
    from ..pipeline import train_all

    config, run = read_run(context, run_name)
    refuse_without_training()
    progress = TerminalProgress(context.quiet)

    def say(text: Text) -> None:
        progress.close()
        context.say(text)

    try:
        done = train_all(config, run, force=force, report=progress, say=say)
    finally:
        progress.close()
    finish_all(context, done, run_name)


def finish_all(context: Context, done: StageResults, run_name: str | None = None) -> None:
    """The report's figures, the next command, and exit 1 where the check did not pass."""
    from ..check.markdown import failure, what_it_can_do, with_price

    report = done.report
    assert report is not None
    seconds = {name: round(taken, 1) for name, taken in done.seconds.items()}
    context.result(
        {"run": str(done.run), "seconds": seconds, "report": report.model_dump(mode="json")},
        f"{done.run.check / 'report.html'}",
    )
    if not report.passed:
        failed = failure(report, done.run.check / "report.html")
        if failed.cure:
            failed.cure = context.paste(with_price(failed.cure, done.seconds), run_name)
        report_error(failed, as_json=False)  # the one object on stdout is the result
        sys.exit(failed.exit_code)
    context.say(what_it_can_do(report))
    following = context.page_command(run_name)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))
