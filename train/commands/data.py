"""`python -m train data …`: the workshop's commands."""

from __future__ import annotations

from pathlib import Path

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.words import Language, Text

from .corrections import corrections
from .data_files import register
from .generate import generate_command


@click.group(help=str(Text("Make the training data.", "制作训练数据。")))
def data() -> None:
    """The commands of the data workshop."""


data.add_command(generate_command)
data.add_command(corrections)
register(data)


@data.command(
    "identity",
    help=str(Text("Rows and probes from assistant.toml.", "由 assistant.toml 生成数据与检验题。")),
)
@click.option(
    "--run", "run_name", metavar="R", default=None,
    help=str(Text("The run folder runs/R (default: [model] run).", "运行目录 runs/R。")),
)  # fmt: skip
@click.option(
    "--force", is_flag=True, help=str(Text("Replace an earlier result.", "覆盖先前的结果。"))
)
@common_options
def identity_command(context: Context, run_name: str | None, force: bool) -> None:
    from ..data.identity_set.identity import make_identity_data
    from ..settings import TrainTable

    config = context.read_config(tables={"train": TrainTable})
    table: TrainTable = config.tables["train"]
    run = config.run_named(run_name)
    context.say(
        Text(
            f"Reads {config.file} and the base {config.model.base}, writes {run.data}.",
            f"读取 {config.file} 和基座 {config.model.base}，写入 {run.data}。",
        )
    )
    with TerminalProgress(context.quiet) as progress:
        folder = make_identity_data(
            config, run, table.data, table.seed, force=force, report=progress
        )
    _finished(context, folder, run_name)


@data.command(
    "answers",
    help=str(
        Text(
            "The base's answers to every ordinary question of the banks, as they come with the kit.",
            "基座对题库中每个日常问题的回答，即随工具附带的那份。",
        )
    ),
)
@click.option("--out", "-o", type=click.Path(path_type=Path), required=True)
@click.option("--language", "languages", multiple=True, type=click.Choice(["zh", "en"]), default=("en",),
              show_default=True)  # fmt: skip
@click.option("--force", is_flag=True, help=str(Text("Replace FILE.", "覆盖已有文件。")))
@common_options
def answers_command(
    context: Context, out: Path, languages: tuple[Language, ...], force: bool
) -> None:
    from assistant.models import fetch

    from ..data.identity_set.base_answers import sampling
    from ..data.identity_set.shipped import all_questions, write_shipped
    from ..data.identity_set.source import BaseSource
    from ..data.outputs import refuse_replacing
    from ..settings import TrainTable

    config = context.read_config(tables={"train": TrainTable})
    table: TrainTable = config.tables["train"]
    refuse_replacing([out], [], force)
    with TerminalProgress(context.quiet) as progress:
        base = fetch(config.model.base, base_folder=config.folder, report=progress)
        asked = [question for language in languages for question in all_questions(language)]
        with BaseSource(config, table.data, base, progress, None, shipped=False) as source:
            found = source.ask(asked)
        write_shipped(out, base, languages, sampling(table.data.ordinary_tokens), found.values())
    context.result({"file": str(out), "answers": len(found)}, str(out))


def _finished(context: Context, folder: object, run_name: str | None) -> None:
    from assistant.artifacts import read_manifest

    from ..data.identity_set.identity import what_is_left_out

    notes = read_manifest(Path(str(folder))).notes
    rows = notes["rows"]
    following = context.following("python", "-m", "train", "fit", run_name=run_name)
    if said := what_is_left_out(Path(str(folder))):
        context.say(said)
    context.say(
        Text(
            f"{rows['train']} rows to train on, {rows['valid']} held out, {rows['probes']} probes. "
            f"Next: {following}",
            f"训练 {rows['train']} 条，留出 {rows['valid']} 条，检验题 {rows['probes']} 道。"
            f"下一步：{following}",
        )
    )
    context.result({"folder": str(folder), "rows": rows, "next": following}, str(folder))
