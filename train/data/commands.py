"""`python -m train data …`: the workshop's commands."""

from __future__ import annotations

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.words import Text

from .generating.command import generate_command
from .workshop_commands import register


@click.group(help=str(Text("Make the training data.", "制作训练数据。")))
def data() -> None:
    """The commands of the data workshop."""


data.add_command(generate_command)
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
    from ..settings import TrainTable
    from .identity import DATA_FOLDER, make_identity_data

    config = context.read_config(tables={"train": TrainTable})
    table: TrainTable = config.tables["train"]
    run = config.run_named(run_name)
    context.say(
        Text(
            f"Reads {config.file} and the base {config.model.base}, writes {run / DATA_FOLDER}.",
            f"读取 {config.file} 和基座 {config.model.base}，写入 {run / DATA_FOLDER}。",
        )
    )
    with TerminalProgress(context.quiet) as progress:
        folder = make_identity_data(
            config, run, table.data, table.seed, force=force, report=progress
        )
    _finished(context, folder, run_name)


def _finished(context: Context, folder: object, run_name: str | None) -> None:
    from pathlib import Path

    from assistant.artifacts import read_manifest

    notes = read_manifest(Path(str(folder))).notes
    rows = notes["rows"]
    following = context.following("python", "-m", "train", "fit", run_name=run_name)
    context.say(
        Text(
            f"{rows['train']} rows to train on, {rows['valid']} held out, {rows['probes']} probes. "
            f"Next: {following}",
            f"训练 {rows['train']} 条，留出 {rows['valid']} 条，检验题 {rows['probes']} 道。"
            f"下一步：{following}",
        )
    )
    context.result({"folder": str(folder), "rows": rows, "next": following}, str(folder))
