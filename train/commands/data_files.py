"""`python -m train data import|clean|lint`: files into conversations fit to train on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.config import DEFAULT_CONFIG
from assistant.errors import FailedError, UsageError
from assistant.outside import in_line
from assistant.words import Text

from .common import FILE, in_words
from .data_rows import mix_command, show_command, split_command

if TYPE_CHECKING:
    from assistant.config import Config


class _Listing(click.Command):
    """A command whose --help ends with a list of names, made only when it is asked for."""

    def __init__(self, *args: Any, listing: Callable[[], dict[str, Text]], title: Text, **how: Any):
        super().__init__(*args, **how)
        self._listing, self._title = listing, title

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(str(self._title)):
            formatter.write_dl([(name, str(says)) for name, says in self._listing().items()])


def _rules() -> dict[str, Text]:
    from ..data.cleaning.rules import DEFAULT, REMOVING, RULES

    goes = Text("removes the row: ", "去掉整行：")
    listed = {rule.name: rule.says for rule in RULES} | {
        name: Text(goes.en + says.en, goes.zh + says.zh) for name, says in REMOVING.items()
    }
    return {
        name: Text(f"* {says.en}", f"* {says.zh}") if name in DEFAULT else says
        for name, says in listed.items()
    }


def _codes() -> dict[str, Text]:
    from ..data.linting.codes import CODES

    return {name: code.title for name, code in CODES.items()}


def register(group: click.Group) -> None:
    """Add the workshop's commands to the `data` group."""
    for command in (
        import_command, clean_command, lint_command, mix_command, split_command, show_command,
    ):  # fmt: skip
        group.add_command(command)


def optional_config(context: Context) -> Config | None:
    """The configuration; None where none was named and there is none here."""
    from ..settings import TrainTable

    if context.config_file == DEFAULT_CONFIG and not DEFAULT_CONFIG.exists() and not context.sets:
        return None
    return context.read_config(tables={"train": TrainTable})


def _column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag, en, zh in (
        ("--history", "Column with the earlier turns.", "历史对话所在的列。"),
        ("--system-column", "Column with the system prompt.", "系统提示所在的列。"),
        ("--input", "Column that goes on with the question.", "补充输入所在的列。"),
        ("--answer", "Column with the answer, by letter or header.", "回答所在的列，写列字母或表头。"),
        ("--question", "Column with the question, by letter or header.", "问题所在的列，写列字母或表头。"),
    ):  # fmt: skip
        command = click.option(flag, metavar="COLUMN", help=in_words(en, zh))(command)
    return command


@click.command("import", help=in_words(
    "Spreadsheets, csv, json, parquet of any known shape into conversations.",
    "把表格、csv、json、parquet 等各种格式转换成对话。"))  # fmt: skip
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("-o", "--out", type=FILE, help=in_words(
    "File to write (default: data/NAME.jsonl beside the configuration).",
    "输出文件（默认：配置文件旁的 data/名称.jsonl）。"))  # fmt: skip
@click.option("--shape", type=click.Choice(("auto", "messages", "sharegpt", "xtuner", "columns")),
              default="auto", show_default=True, help=in_words("Shape of the rows.", "每行的格式。"))  # fmt: skip
@_column_options
@click.option("--meta", multiple=True, metavar="COLUMN",
              help=in_words("Keep this column in meta; may be repeated.", "把这一列保留到 meta，可重复。"))  # fmt: skip
@click.option("--system", default="", metavar="TEXT",
              help=in_words("System prompt for rows without one.", "给没有系统提示的行加上它。"))  # fmt: skip
@click.option(
    "--sheet", metavar="NAME|N", help=in_words("Sheet of a workbook.", "工作表的名称或序号。")
)
@click.option(
    "--header-row",
    type=click.IntRange(min=1),
    help=in_words("Row of the header.", "表头所在的行。"),
)
@click.option("--no-header", is_flag=True, help=in_words("There is no header row.", "没有表头。"))
@click.option(
    "--encoding",
    help=in_words("Encoding of text files (found by itself).", "文本编码（自动识别）。"),
)
@click.option(
    "--delimiter",
    help=in_words("Delimiter of csv files (found by itself).", "csv 分隔符（自动识别）。"),
)
@click.option("--assistant", multiple=True, metavar="NAME", help=in_words(
    "In chats by name: who answers; may be repeated. Everyone else asks.",
    "按人名记录的对话：谁是回答的一方，可重复；其余的人都算提问。"))  # fmt: skip
@click.option("--ignore", multiple=True, metavar="KEY", help=in_words(
    "Read nothing from this key or column, marks not to learn included; may be repeated.",
    "不读这个字段或列（包括“不参与训练”的标记），可重复。"))  # fmt: skip
@click.option("--least", multiple=True, metavar="KEY=NUMBER", help=in_words(
    "Leave out rows with less than NUMBER under this key; may be repeated.",
    "去掉该字段小于此数的行，可重复。"))  # fmt: skip
@click.option(
    "--force", is_flag=True, help=in_words("Replace an earlier result.", "覆盖先前的结果。")
)
@common_options
def import_command(
    context: Context,
    files: tuple[Path, ...],
    out: Path | None,
    shape: str,
    force: bool,
    **named: Any,
) -> None:
    from ..data.importing import Columns, Options, import_files

    delimiter = named["delimiter"]
    if delimiter is not None:
        delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
        if len(delimiter) != 1:
            raise UsageError(Text(f"--delimiter {delimiter!r} is not one character.",
                                  f"--delimiter {delimiter!r} 不是单个字符。"))  # fmt: skip
    columns = Columns(
        named["question"], named["answer"], named["input"], named["system_column"],
        named["history"], named["meta"],
    )  # fmt: skip
    options = Options(
        columns, shape, named["system"], named["sheet"], named["header_row"],
        not named["no_header"], named["encoding"], delimiter, named["assistant"], named["ignore"],
        tuple(_least(text) for text in named["least"]),
    )  # fmt: skip
    target = out or _import_target(context.config_file.parent / "data", files)
    names = ", ".join(map(in_line, files))
    context.say(
        Text(f"Reads {names}, writes {in_line(target)}.", f"读取 {names}，写入 {in_line(target)}。")
    )
    with TerminalProgress(context.quiet) as progress:
        done = import_files(files, target, options, force=force, report=progress)
    context.result(done.as_json(), done.text())
    if done.rows_in > done.rows_out:
        context.say(Text(f"What was left out, row by row: {in_line(done.dropped_file)}",
                         f"未采用的行及原因：{in_line(done.dropped_file)}"))  # fmt: skip
    if not done.whole:
        broken = ", ".join(in_line(file.file) for file in done.files if not file.whole)
        context.say(Text(f"{broken} is damaged and could not be read to its end.",
                         f"{broken} 已损坏，没能读到结尾。"))  # fmt: skip
        raise click.exceptions.Exit(FailedError.exit_code)
    following = context.following("python", "-m", "train", "data", "clean", target)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))


def _least(text: str) -> tuple[str, float]:
    """KEY=NUMBER. Raises UsageError."""
    key, equals, number = text.rpartition("=")
    try:
        if key and equals and math.isfinite(value := float(number)):
            return key, value
    except ValueError:
        pass
    raise UsageError(Text(f"--least {text!r} is not KEY=NUMBER.", f"--least {text!r} 不是 名称=数字。"),
                     Text("For example: --least rating=4", "例如：--least rating=4"))  # fmt: skip


def _import_target(folder: Path, files: Sequence[Path]) -> Path:
    """Where the conversations go; beside a file that already stands there under that name."""
    target = folder / f"{files[0].stem}.jsonl"
    if any(target.exists() and file.exists() and target.samefile(file) for file in files):
        return folder / f"{files[0].stem}.imported.jsonl"
    return target


@click.command("clean", cls=_Listing, listing=_rules, title=Text("Rules (* by default)", "规则（* 默认使用）"),
               help=in_words(
    "Mend characters and spaces; no words are taken out unless asked for by --generated or --only. "
    "Every change is listed.",
    "修正字符和空白；不加 --generated 或 --only 就不会去掉任何文字。每处改动都有记录。"))  # fmt: skip
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("-o", "--out", type=FILE, help=in_words("File to write (default: NAME.clean.jsonl).",
                                                   "输出文件（默认 名称.clean.jsonl）。"))  # fmt: skip
@click.option(
    "--only",
    multiple=True,
    metavar="RULE",
    help=in_words("Only this rule; may be repeated.", "只用这条规则，可重复。"),
)
@click.option("--generated", is_flag=True, help=in_words(
    "All rules: for rows that a model wrote (`data generate`), they take out what it says around its answers.",
    "使用全部规则：用于模型写的数据（`data generate`），会去掉它在回答前后说的套话。"))  # fmt: skip
@click.option(
    "--skip",
    multiple=True,
    metavar="RULE",
    help=in_words("Not this rule; may be repeated.", "不用这条规则，可重复。"),
)
@click.option("--max-emoji", type=click.IntRange(min=0), default=3, show_default=True,
              help=in_words("Emoji an answer may have.", "一个回答最多几个表情。"))  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help=in_words("Show the changes, write nothing.", "只显示改动，不写文件。"),
)
@click.option("--diff", "shown", type=click.IntRange(min=0), default=10, show_default=True,
              help=in_words("How many changes to show.", "显示多少处改动。"))  # fmt: skip
@click.option(
    "--force", is_flag=True, help=in_words("Replace an earlier result.", "覆盖先前的结果。")
)
@common_options
def clean_command(
    context: Context, files: tuple[Path, ...], out: Path | None, only: tuple[str, ...],
    generated: bool, skip: tuple[str, ...], max_emoji: int, dry_run: bool, shown: int, force: bool,
) -> None:  # fmt: skip
    from assistant.persona import persona_from_config

    from ..data.cleaning import Cleaner, Limits, chosen, clean_files
    from ..data.cleaning.diff import shown as diff
    from ..data.cleaning.diff import summary

    config = optional_config(context)
    persona = persona_from_config(config) if config else None
    cleaner = Cleaner(
        chosen(only, skip, generated=generated), {style.name: style for style in persona.styles} if persona else {},
        persona.languages if persona else ("zh", "en"), Limits(max_emoji),
    )  # fmt: skip
    target = out or files[0].parent / f"{files[0].stem}.clean.jsonl"
    with TerminalProgress(context.quiet) as progress:
        done = clean_files(files, target, cleaner, dry_run=dry_run, force=force, report=progress)
    parts = [diff(done.changes, shown), str(summary(done))]
    context.result(done.as_json(), "\n\n".join(part for part in parts if part), quotes=True)
    rules = ", ".join(done.ran)
    if not (generated or only):
        context.say(Text(f"Rules: {rules}. For rows that a model wrote, --generated runs all of them.",
                         f"规则：{rules}。模型写的数据请加 --generated，使用全部规则。"))  # fmt: skip
    if not dry_run:
        following = context.following("python", "-m", "train", "data", "lint", target)
        context.say(Text(f"Every change: {in_line(done.changes_file)}\nNext: {following}",
                         f"全部改动：{in_line(done.changes_file)}\n下一步：{following}"))  # fmt: skip


@click.command(
    "lint", cls=_Listing, listing=_codes,
    title=Text("Codes (E: training refuses, W: weigh it)", "代码（E：不能训练，W：请斟酌）"),
    help=in_words("Is this data fit to train on, and if not, why.", "检查数据能否用于训练，并说明原因。"),
)  # fmt: skip
@click.argument("files", nargs=-1, type=FILE)
@click.option(
    "--run",
    "run_name",
    metavar="R",
    help=in_words("Check the data of runs/R.", "检查 runs/R 的数据。"),
)
@click.option(
    "-o",
    "--out",
    type=FILE,
    help=in_words(
        "Folder for lint.json and lint.html (default: NAME.lint beside the file; runs/R/lint for a run).",
        "存放 lint.json 和 lint.html 的文件夹（默认：文件旁的 名称.lint；检查某次运行时为 runs/R/lint）。",
    ),
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="CODE",
    help=in_words("Leave a code out; may be repeated.", "忽略某个代码，可重复。"),
)
@click.option(
    "--max-length",
    type=click.IntRange(min=1),
    help=in_words("Tokens of a row that training reads.", "训练每行读取的 token 数。"),
)
@click.option(
    "--sound",
    type=FILE,
    help=in_words(
        "File for the rows without errors of their own.", "把自身没有错误的行写入这个文件。"
    ),
)
@common_options
def lint_command(
    context: Context, files: tuple[Path, ...], run_name: str | None, out: Path | None,
    ignore: tuple[str, ...], max_length: int | None, sound: Path | None,
) -> None:  # fmt: skip
    from ..data.linting.run import run_lint

    report, folder = run_lint(
        context, optional_config(context), files, run_name, out, ignore, max_length, sound
    )
    context.result(report.as_json() | {"folder": str(folder)}, report.text())
    context.say(
        Text(
            f"The page: {in_line(folder / 'lint.html')}",
            f"网页报告：{in_line(folder / 'lint.html')}",
        )
    )
    if sound:
        following = context.following("python", "-m", "train", "data", "lint", sound)
        context.say(Text(f"Rows without errors of their own: {in_line(sound)}\nNext: {following}",
                         f"自身没有错误的行：{in_line(sound)}\n下一步：{following}"))  # fmt: skip
    if not report.passed:
        raise click.exceptions.Exit(FailedError.exit_code)
