"""`python -m train`: from assistant.toml to a model that knows who it is."""

from __future__ import annotations

from assistant.libraries import missing_libraries_told
from assistant.words import Text

with missing_libraries_told():
    import click

    from .commands.data import data
    from .commands.looks import bench_command, recipes_command, status_command
    from .commands.stages import (
        all_command,
        check_command,
        compare_command,
        fit_command,
        merge_command,
    )


@click.group(
    help=str(Text("Make, train and prove your own assistant.", "制作、训练并验证你的助手。"))
)
def main() -> None:
    """The commands of training."""


for command in (
    data, fit_command, merge_command, check_command, compare_command, all_command, bench_command, recipes_command,
    status_command,
):  # fmt: skip
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m train")
