"""What the commands share: options, the run they work on, their last words."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from assistant.cli import Context
from assistant.config import Config
from assistant.libraries import not_installed
from assistant.run import Run
from assistant.words import Text

FILE = click.Path(path_type=Path)


def in_words(en: str, zh: str) -> str:
    """The help text in the terminal's language."""
    return str(Text(en, zh))


run_option = click.option(
    "--run", "run_name", metavar="R", default=None,
    help=str(Text("The run folder runs/R (default: [model] run).", "运行目录 runs/R。")),
)  # fmt: skip
force_option = click.option(
    "--force", is_flag=True, help=str(Text("Replace an earlier result.", "覆盖先前的结果。"))
)


def read_run(context: Context, run_name: str | None) -> tuple[Config, Run]:
    """Read the configuration with its `[train]` table, and tell the run."""
    from ..settings import TrainTable

    config = context.read_config(tables={"train": TrainTable})
    run = config.run_named(run_name)
    return config, run


def refuse_without_training() -> None:
    """Raise BlockedError where a library is missing that training will ask for after minutes."""
    for library in ("torch", "transformers", "peft", "xtuner"):
        if find_spec(library) is None:
            raise not_installed(library)


def finished(context: Context, folder: Path, following: str, run_name: str | None) -> None:
    """Give the result's path on stdout, and the next command as talk."""
    command = context.following(*following.split(), run_name=run_name)
    context.result({"folder": str(folder), "next": command}, str(folder))
    context.say(Text(f"Next: {command}", f"下一步：{command}"))
