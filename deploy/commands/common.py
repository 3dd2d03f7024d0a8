"""What the commands share: options, the run's folder, the question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.cli import Context
from assistant.errors import FailedError, UsageError
from assistant.words import Text

if TYPE_CHECKING:
    from assistant.config import Config
    from assistant.run import Run

    from ..settings import ShareTable
    from ..sharing.plan import SharePlan
    from ..sharing.record import Shared


def help_text(en: str, zh: str) -> str:
    return str(Text(en, zh))


token_file_option = click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE",
    help=help_text("Read the token from a file instead of the environment.", "从文件而不是环境变量读取令牌。"),
)  # fmt: skip
run_argument = click.argument("run_name", metavar="[RUN]", required=False)


def confirmation_options(command: Any) -> Any:
    """`--dry-run` and `--yes`."""
    command = click.option(
        "--yes", is_flag=True, help=help_text("Do it without asking.", "不再询问，直接进行。")
    )(command)
    return click.option(
        "--dry-run", is_flag=True, help=help_text("Show the plan only.", "只显示计划。")
    )(command)


def read(context: Context, run_name: str | None) -> tuple[Config, Run, ShareTable]:
    """The configuration with its `[share]` table, and the run."""
    from ..settings import ShareTable

    config = context.read_config(tables={"share": ShareTable})
    run = config.run_named(run_name)
    if run_name and not run.exists:
        raise UsageError(
            Text(f"There is no run {run}.", f"没有运行目录 {run}。"),
            Text(f"Known: {_runs(config)}.", f"现有：{_runs(config)}。"),
        )
    return config, run, config.tables["share"]


def _runs(config: Config) -> str:
    return ", ".join(run.name for run in config.runs) or "-"


def show_plans(context: Context, plans: Sequence[SharePlan]) -> None:
    """The plans as the result of `--dry-run`; exits with the code of what stands against them."""
    from ..sharing.plan import plan_text

    texts = [plan_text(plan) for plan in plans]
    context.result(
        {"plans": [plan.as_json() for plan in plans]},
        Text("\n\n".join(text.en for text in texts), "\n\n".join(text.zh for text in texts)),
    )
    for plan in plans:
        if plan.blockers:
            raise SystemExit(plan.blockers[0].exit_code)


def agree(context: Context, plans: Sequence[SharePlan], yes: bool) -> None:
    """Show the plans and go on only with a yes; without changes there is nothing to ask.

    Raises what stands against a plan, UsageError where nobody can be asked, FailedError for a no.
    """
    from ..sharing.plan import plan_text

    for plan in plans:
        if yes:
            context.say(plan_text(plan))
        elif not context.as_json:
            click.echo(str(plan_text(plan)), err=True)  # a question needs its plan, even under -q
    for plan in plans:
        plan.refuse_blocked()
    if yes or not any(plan.to_send or not plan.exists for plan in plans):
        return
    if context.as_json or not sys.stdin.isatty():
        raise UsageError(
            Text("Nobody is here to say yes to this plan.", "这里没有人可以确认这个计划。"),
            Text("Read it with --dry-run, then add --yes.", "先用 --dry-run 查看，再加上 --yes。"),
        )
    names = ", ".join(plan.target for plan in plans)
    question = Text(f"Share to {names} as shown?", f"按以上计划分享到 {names}？")
    if not click.confirm(str(question), err=True):
        raise FailedError(Text("Nothing was sent.", "没有发送任何内容。"))


def verified(shared: Shared) -> Text:
    """What is said of a thing that lies on its hub as it was sent."""
    at = f"{shared.target}@{shared.commit[:12]}"
    return Text(
        f"Verified, {len(shared.files)} files: {at} ({shared.visibility})",
        f"已核对 {len(shared.files)} 个文件：{at}（{shared.visibility}）",
    )
