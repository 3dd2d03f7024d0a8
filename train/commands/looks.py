"""`python -m train recipes | status | bench`: what there is, how a run stands, how fast it is."""

from __future__ import annotations

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.words import Text

from .common import read_run, refuse_without_training, run_option


@click.command(
    "recipes", help=str(Text("The recipes, and what they need.", "训练配方及所需硬件。"))
)
@common_options
def recipes_command(context: Context) -> None:
    from ..recipes import all_recipes

    if context.sets or context.config_file.is_file():
        context.note_other_tables(context.read_config())
    found = all_recipes().values()
    lines = [
        Text(
            f"{recipe.name:11}  {recipe.label.en}\n{'':13}needs {recipe.needs.en}",
            f"{recipe.name:11}  {recipe.label.zh}\n{'':13}需要 {recipe.needs.zh}",
        )
        for recipe in found
    ]
    automatic = Text(
        f"{'auto':11}  picks one of cpu, lora, qlora-24gb, qlora-8gb by what the machine has",
        f"{'auto':11}  按本机硬件从 cpu、lora、qlora-24gb、qlora-8gb 中选择",
    )
    context.result(
        {"recipes": [recipe.model_dump(mode="json") for recipe in found]},
        "\n".join(str(line) for line in [automatic, *lines]),
    )


@click.command("status", help=str(Text("How a training run stands.", "查看训练进度。")))
@run_option
@common_options
def status_command(context: Context, run_name: str | None) -> None:
    from assistant.records.training_status import read_status

    _, run = read_run(context, run_name)
    status = read_status(run.work)
    if status is None:
        said = Text(f"No training was begun in {run}.", f"{run} 里还没有开始训练。")
        context.result({"run": str(run), "state": "none"}, said)
        return
    context.result({"run": str(run), **status.model_dump(mode="json")}, status.text())


@click.command(
    "bench",
    help=str(Text("Measure training against a plain PEFT loop.", "与普通 PEFT 训练循环对比速度。")),
)
@click.option("--quick", is_flag=True, help=str(Text("LoRA in bf16 only.", "只测 bf16 的 LoRA。")))
@common_options
def bench_command(context: Context, quick: bool) -> None:
    from ..bench.run import run_train_bench

    config, _ = read_run(context, None)
    refuse_without_training()
    progress = TerminalProgress(context.quiet)
    made_by = "python -m train bench" + (" --quick" if quick else "")
    try:
        table = run_train_bench(config, quick, progress, made_by)
    finally:
        progress.close()
    context.result(table.as_dict(), table.as_table())
