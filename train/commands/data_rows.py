"""`python -m train data mix|split|show`: files of conversations put together, apart, and looked at."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.outside import in_line
from assistant.words import Text

from ..data.lines import Numbered
from .common import FILE, in_words


@click.command(
    "mix",
    help=in_words(
        "Merge files or a folder of them, with weights.", "按权重合并多个文件或一个文件夹。"
    ),
)
@click.argument("sources", nargs=-1, required=True, type=FILE)
@click.option(
    "-o", "--out", required=True, type=FILE, help=in_words("File to write.", "输出文件。")
)
@click.option("--weight", "weights", multiple=True, metavar="NAME=NUMBER",
              help=in_words("2.5 takes every row of NAME twice, and half of them again.", "2.5 表示每行取两次，再多取一半。"))  # fmt: skip
@click.option("--rows", "total", type=click.IntRange(min=1),
              help=in_words("Rows in all; weights become shares.", "总行数；权重变为占比。"))  # fmt: skip
@click.option(
    "--seed",
    type=int,
    default=42,
    show_default=True,
    help=in_words("Draws the rows and their order.", "抽取和排序的种子。"),
)
@click.option(
    "--force", is_flag=True, help=in_words("Replace an earlier result.", "覆盖先前的结果。")
)
@common_options
def mix_command(
    context: Context, sources: tuple[Path, ...], out: Path, weights: tuple[str, ...],
    total: int | None, seed: int, force: bool,
) -> None:  # fmt: skip
    from ..data.mix import files_in, files_left_out, mix, parse_weights, said_left_out

    files = files_in(sources, out)
    left_out = files_left_out(sources)
    with TerminalProgress(context.quiet) as progress:
        done = mix(
            parse_weights(weights, files), out, seed, total, left_out, force=force, report=progress
        )  # fmt: skip
    lines = [
        f"{file['rows_out']:>8}  {file['rows_out'] / done.rows:>6.1%}  {in_line(file['file'])}"
        for file in done.files
    ]
    said = Text(f"{done.rows} rows -> {in_line(out)}", f"{done.rows} 行 -> {in_line(out)}")
    context.result(done.as_json(), "\n".join([*lines, str(said)]))
    if left_out:
        context.say(context.paste(said_left_out(left_out)))
    following = context.following("python", "-m", "train", "data", "split", out)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))


@click.command("split", help=in_words(
    "Rows to train on and rows held out; paraphrases stay on one side.",
    "分成训练集和留出集；意思相同的问法留在同一边。"))  # fmt: skip
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "-o",
    "--out",
    type=FILE,
    help=in_words("Folder to write (default: runs/R/data).", "输出文件夹（默认 runs/R/data）。"),
)
@click.option(
    "--ratio",
    default="9:1",
    show_default=True,
    help=in_words("Train to held out, e.g. 7:3.", "训练与留出之比，如 7:3。"),
)
@click.option(
    "--seed",
    type=int,
    default=42,
    show_default=True,
    help=in_words("Draws what is held out.", "抽取留出集的种子。"),
)
@click.option(
    "--run", "run_name", metavar="R", help=in_words("The run folder runs/R.", "运行目录 runs/R。")
)
@click.option(
    "--force", is_flag=True, help=in_words("Replace an earlier result.", "覆盖先前的结果。")
)
@common_options
def split_command(
    context: Context, files: tuple[Path, ...], out: Path | None, ratio: str, seed: int,
    run_name: str | None, force: bool,
) -> None:  # fmt: skip
    from ..data.split import parse_ratio, split

    share = parse_ratio(ratio)
    folder = out or _run_data(context, run_name)
    names = ", ".join(map(in_line, files))
    context.say(
        Text(f"Reads {names}, writes {in_line(folder)}.", f"读取 {names}，写入 {in_line(folder)}。")
    )
    with TerminalProgress(context.quiet) as progress:
        done = split(files, folder, share, seed, force=force, report=progress)
    said = Text(
        f"{done.train} rows to train on, {done.valid} held out; {done.groups} groups of questions, "
        f"the largest of {done.largest_group} -> {in_line(folder)}",
        f"训练 {done.train} 行，留出 {done.valid} 行；{done.groups} 组问题，最大一组 {done.largest_group} 行 -> {in_line(folder)}",
    )
    context.result(done.as_json(), said)
    if out is None:
        following = context.following("python", "-m", "train", "fit", run_name=run_name)
        context.say(Text(f"Next: {following}", f"下一步：{following}"))


def _run_data(context: Context, run_name: str | None) -> Path:
    from ..settings import TrainTable

    config = context.read_config(tables={"train": TrainTable})
    return config.run_named(run_name).data


@click.command("show", help=in_words("Page through rows, also as rendered and masked for training.",
                                  "翻看数据，也可看渲染和遮盖后的样子。"))  # fmt: skip
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "--start",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help=in_words("First row.", "从第几行开始。"),
)
@click.option("--rows", "most", type=click.IntRange(min=1), help=in_words("How many (default: all on a terminal, else 10).",
                                                                        "显示几行（默认：终端里全部，否则 10）。"))  # fmt: skip
@click.option(
    "--find",
    default="",
    metavar="TEXT",
    help=in_words("Only rows that hold this.", "只看包含这段文字的行。"),
)
@click.option("--rendered", is_flag=True,
              help=in_words("As the base's chat template writes them; ⟦what is learned⟧ is marked.",
                         "显示对话模板渲染的结果；⟦学习的部分⟧有标记。"))  # fmt: skip
@common_options
def show_command(
    context: Context,
    files: tuple[Path, ...],
    start: int,
    most: int | None,
    find: str,
    rendered: bool,
) -> None:
    from ..data import show

    paged = sys.stdout.isatty() and not context.as_json
    most = most or (None if paged else 10)
    rows: Iterator[Numbered] = islice(show.chosen_rows(files, find, start), most)
    tokenizer, limit = _tokenizer(context) if rendered else (None, 0)
    if context.as_json:
        found: list[dict[str, Any]] = []
        for row in rows:
            value: dict[str, Any] = {"row": row.line, **row.conversation.model_dump()}
            if rendered:
                value["rendered"] = show.rendered_json(row, tokenizer, limit)
            found.append(value)
        context.result({"rows": found}, "")
        return

    first = next(rows, None)
    if first is None:
        context.say(Text("No row is found.", "没有找到任何一行。"))
        return
    rows = chain([first], rows)

    def texts() -> Iterator[str]:
        for row in rows:
            shown = show.as_rendered(row, tokenizer, limit) if rendered else show.as_read(row)
            yield shown + "\n\n"

    if paged:
        click.echo_via_pager(texts())
    else:
        for text in texts():
            click.echo(text, nl=False)


def _tokenizer(context: Context) -> tuple[Any, int]:
    """The base's tokenizer, and how many tokens of a row training reads."""
    from ..data.linting.lengths import base_tokenizer, max_length
    from ..settings import TrainTable

    config = context.read_config(tables={"train": TrainTable})
    return base_tokenizer(config, offline=False), max_length(config)
