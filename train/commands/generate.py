"""`python -m train data generate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.engine_names import ENGINE_NAMES
from assistant.errors import FailedError, UsageError
from assistant.outside import in_line
from assistant.words import Text

from .common import FILE, in_words

if TYPE_CHECKING:
    from assistant.config import Config
    from assistant.engines.base import Engine
    from assistant.progress import Report

    from ..data.generating.generate import Generated, Prepared
    from ..data.generating.jobs import Work
    from ..data.generating.settings import GenerateTable

LISTED_TRIGGERS = 6


@click.command("generate", help=in_words(
    "Rows written by a model: from a plan, from documents, or from rows.",
    "让模型写数据：按计划、按文档，或改写已有的数据。"))  # fmt: skip
@click.option("--plan", metavar="PLAN", help=in_words(
    "A plan in TOML, or a ready one: wishes-zh.", "TOML 计划文件，或自带的计划：wishes-zh。"))  # fmt: skip
@click.option("--documents", multiple=True, type=FILE, metavar="PATH", help=in_words(
    "Questions and answers from txt, md, docx, pdf, or folders of them; may be repeated.",
    "从 txt、md、docx、pdf 文件或文件夹生成问答，可重复。"))  # fmt: skip
@click.option("--paraphrase", type=FILE, metavar="ROWS.jsonl", help=in_words(
    "Other ways to ask the questions of these rows.", "把这些数据里的问题换种说法。"))  # fmt: skip
@click.option("--count", type=click.IntRange(1, 20), default=3, show_default=True, help=in_words(
    "Pairs for a passage, or paraphrases for a row.", "每段的问答组数，或每条的改写数。"))  # fmt: skip
@click.option("-o", "--out", type=FILE, metavar="FILE", help=in_words(
    "Default: data/NAME.jsonl beside the configuration.", "默认：配置文件旁的 data/名称.jsonl。"))  # fmt: skip
@click.option("--engine", type=click.Choice(ENGINE_NAMES), help=in_words(
    "Who generates; auto: remote where [serve.remote] has urls, else the base here.",
    "由谁生成；auto：若 [serve.remote] 设了 urls 就用远程，否则用本机基座。"))  # fmt: skip
@click.option("--model", metavar="REF", help=in_words(
    "The generating model (default: the base, or [serve.remote] model).",
    "生成用的模型（默认：基座，或 [serve.remote] model）。"))  # fmt: skip
@click.option("--limit", type=click.IntRange(1), metavar="N", help=in_words(
    "Only N answers, spread over all, to have a look.", "只生成 N 条（均匀取样），先看看效果。"))  # fmt: skip
@click.option(
    "--concurrent",
    type=click.IntRange(1, 256),
    help=in_words("Requests at once.", "同时的请求数。"),
)
@click.option(
    "--per-minute", type=click.IntRange(0), help=in_words("Requests a minute.", "每分钟的请求数。")
)
@click.option("--max-tokens-total", type=click.IntRange(0), metavar="N", help=in_words(
    "Stop before more tokens are taken, earlier runs included.", "总 token 上限（含之前的），到此为止。"))  # fmt: skip
@click.option("--max-cost", type=click.FloatRange(0), metavar="X", help=in_words(
    "Stop before it costs more (needs [train.generate] prices).",
    "费用上限（需要 [train.generate] 里的价格）。"))  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help=in_words("Say the plan and the estimate only.", "只显示计划和估计。"),
)
@click.option("--resume", is_flag=True, help=in_words("Go on where it stopped.", "从停下处继续。"))
@click.option(
    "--force", is_flag=True, help=in_words("Throw an earlier result away.", "丢弃先前的结果。")
)
@common_options
def generate_command(
    context: Context, plan: str | None, documents: tuple[Path, ...], paraphrase: Path | None,
    count: int, out: Path | None, engine: str | None, model: str | None, limit: int | None,
    dry_run: bool, resume: bool, force: bool, **given: float | None,
) -> None:  # fmt: skip
    from assistant.artifacts import refuse_unwritable

    from ..data.generating.generate import generate, prepare
    from ..settings import TrainTable

    config = context.read_config(tables={"train": TrainTable})
    train: TrainTable = config.tables["train"]
    changes = {
        name: value for name, value in {"engine": engine, **given}.items() if value is not None
    }
    table = train.generate.model_copy(update=changes)
    work = _work(config, plan, documents, paraphrase, count, train.seed)
    if limit:
        work = _sample(work, limit)
    out = out or config.folder / "data" / f"{work.name}.jsonl"
    prepared = prepare(work, table, out, resume=resume, force=force)
    _say_plan(context, config, prepared)
    if dry_run:
        context.result(
            {"jobs": len(work.jobs), "left": len(prepared.left), "out": str(out),
             "estimated_at_most": prepared.estimate.as_json(), **work.account},
            str(out),
        )  # fmt: skip
        return
    refuse_unwritable(prepared.journal)
    progress = TerminalProgress(context.quiet)
    generator = None
    try:
        if prepared.left:
            generator = _open(context, config, table, model, progress)
        generated = generate(prepared, generator, resume=resume, report=progress)
    except KeyboardInterrupt:
        progress.close()
        context.say(Text(f"Stopped. {in_line(prepared.journal)} keeps every answer; go on with --resume.",
                         f"已停止。{in_line(prepared.journal)} 保存了所有回答；用 --resume 继续。"))  # fmt: skip
        sys.exit(130)
    finally:
        progress.close()
        if generator is not None:
            generator.close()
    _finish(context, prepared, generated)


def _work(
    config: Config, plan: str | None, documents: tuple[Path, ...], paraphrase: Path | None,
    count: int, seed: int,
) -> Work:  # fmt: skip
    if sum((plan is not None, bool(documents), paraphrase is not None)) != 1:
        raise UsageError(
            Text("Name what to generate from: one of --plan, --documents, --paraphrase.",
                 "请指明由什么生成：--plan、--documents、--paraphrase 三选一。"),
            Text("For example: python -m train data generate --plan wishes-zh --dry-run",
                 "例如：python -m train data generate --plan wishes-zh --dry-run"),
        )  # fmt: skip
    if documents:
        from ..data.generating.documents import documents_work

        return documents_work(documents, count, seed)
    if paraphrase:
        from ..data.generating.paraphrase import paraphrase_work

        return paraphrase_work(paraphrase, count, seed)
    from ..data.generating.plan import plan_work

    assert plan is not None
    return plan_work(plan, config.folder)


def _sample(work: Work, limit: int) -> Work:
    """`limit` jobs, spread evenly."""
    from dataclasses import replace

    count = len(work.jobs)
    places = sorted({number * count // limit for number in range(min(limit, count))})
    return replace(work, jobs=[work.jobs[place] for place in places])


def _say_plan(context: Context, config: Config, prepared: Prepared) -> None:
    work, estimate = prepared.work, prepared.estimate.text()
    done = len(work.jobs) - len(prepared.left)
    context.say(
        Text(f"{in_line(work.name)}: {work.about.en}.", f"{in_line(work.name)}：{work.about.zh}。")
    )
    for note in work.notes:
        context.say(note)
    context.say(
        Text(
            f"{len(prepared.left)} answers to ask for ({done} are there): at most {estimate.en}. "
            f"Writes {in_line(prepared.out)}.",
            f"要生成 {len(prepared.left)} 条（已有 {done} 条）：至多 {estimate.zh}。写入 {in_line(prepared.out)}。",
        )
    )
    known = {style.trigger for style in config.styles.values()}
    strange = [trigger for trigger in work.triggers if trigger not in known]
    if strange:
        listed = " ".join(f"「{trigger}」" for trigger in strange[:LISTED_TRIGGERS])
        context.say(
            Text(
                f"Warning: no [styles.*] of {config.file} has the trigger {listed}; the page would "
                "never send it.",
                f"注意：{config.file} 的 [styles.*] 里没有触发词 {listed}；页面永远不会发出它。",
            )
        )


def _open(
    context: Context, config: Config, table: GenerateTable, model: str | None, report: Report
) -> Engine:
    """The generator. Raises EngineError, BlockedError, UsageError."""
    from assistant.config import EngineName, ServeTable
    from assistant.engines import needs_weights, open_engine
    from assistant.models import fetch

    name: EngineName = table.engine
    assert name in get_args(EngineName)
    if name == "auto" and config.serve.remote.urls:
        name = "remote"
    local = None
    serve = config.serve.model_dump()
    serve["limits"]["concurrent"] = table.concurrent
    if needs_weights(name):
        local = fetch(model or config.model.base, base_folder=config.folder, report=report)
    elif model:
        serve["remote"]["model"] = model
    opened = open_engine(name, local, ServeTable.model_validate(serve), report)
    info = opened.engine.describe()
    context.say(
        Text(f"Generator: {info.model} ({info.name}).", f"生成模型：{info.model}（{info.name}）。")
    )
    return opened.engine


def _finish(context: Context, prepared: Prepared, done: Generated) -> None:
    """Say what came; raise for what is missing."""
    spent = done.spent.text()
    context.say(
        Text(f"{done.filled} of {done.jobs} answered, {done.rows} rows. Taken: {spent.en}.",
             f"{done.jobs} 条中完成 {done.filled} 条，共 {done.rows} 行。已用：{spent.zh}。")
    )  # fmt: skip
    if done.outcome.stopped is not None:
        context.say(Text("Every answer is kept; go on with --resume.",
                         "所有回答都已保存；用 --resume 继续。"))  # fmt: skip
        raise done.outcome.stopped
    missing = done.jobs - done.filled
    if done.outcome.out_of_budget:
        raise FailedError(
            Text(
                f"The budget is used up; {missing} answers are missing.",
                f"预算已用完，还缺 {missing} 条。",
            ),
            Text("Raise it and go on with --resume.", "请提高预算，再用 --resume 继续。"),
        )
    if missing:
        name, why = next(iter(done.outcome.unfilled.items()), ("?", "?"))
        raise FailedError(
            Text(f"{missing} answers are missing, for example {name}: {why}.",
                 f"还缺 {missing} 条，例如 {name}：{why}。"),
            Text(f"See {prepared.report}; try again with --resume.",
                 f"参见 {prepared.report}；用 --resume 再试。"),
        )  # fmt: skip
    following = context.following(
        "python", "-m", "train", "data", "clean", "--generated", prepared.out
    )
    context.result(
        {"file": str(prepared.out), "rows": done.rows, "jobs": done.jobs,
         "spent": done.spent.as_json(), "next": following, **prepared.work.account},
        str(prepared.out),
    )  # fmt: skip
    context.say(Text(f"Next: {following}", f"下一步：{following}"))
