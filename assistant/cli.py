"""What every command shares: the common options, the two outputs, and the edge where errors end.

stdout is for results, stderr for talk. `--json` prints one JSON object on stdout, nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from .errors import AssistantError
from .network import reach_this_machine_directly
from .outside import (
    failure_from_outside,
    open_standard_streams,
    readable,
    refuse_damaged,
    speak_any_text,
    unwritten_output,
)
from .shell import both_in_same_project, command_line, in_same_project, this_python
from .words import Text, terminal_language

if TYPE_CHECKING:
    from .config import Config, Table
    from .progress import Progress, Report
    from .serving.host import Ready


# Tables of other packages, which this one may not import by name: a published app has neither.
OTHER_TABLES = (
    ("train", "train.settings", "TrainTable"), ("share", "deploy.settings", "ShareTable"),
    ("knowledge", "assistant.knowledge.settings", "KnowledgeTable"),
    ("tools", "assistant.tools.settings", "ToolsTable"),
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """The common options of one command, and the two ways to speak."""

    config_file: Path
    sets: tuple[str, ...]
    as_json: bool
    quiet: bool
    _read: list[Path] = field(default_factory=list)

    def read_config(self, tables: Mapping[str, type[Table]] | None = None) -> Config:
        """The configuration that the options name. Raises UsageError."""
        from .config import read_config

        self._read.append(self.config_file)
        return read_config(self.config_file, self.sets, tables)

    def note_unused_sets(self) -> None:
        """Talk of values that were given to a command which reads no configuration."""
        if self.sets and not self._read:
            self.say(Text("Not used: --set. This command reads no configuration.",
                          "未使用：--set。这个命令不读取配置。"))  # fmt: skip

    def note_other_tables(self, config: Config) -> None:
        """Talk of what is wrong in the tables that this command does not read but others will."""
        from importlib import import_module
        from importlib.util import find_spec

        from .config import problems_of_table

        for name, room, model in OTHER_TABLES:
            if name not in config.tables and find_spec(room.split(".")[0]) is not None:
                table = getattr(import_module(room), model)
                for problem in problems_of_table(config, name, table):
                    self.say(Text(f"Warning: {config.file}: {problem.en}",
                                  f"注意：{config.file}：{problem.zh}"))  # fmt: skip

    def paste(self, text: Text, run_name: str | None = None) -> Text:
        """The text with its commands as they run when pasted: for this configuration and run."""
        return both_in_same_project(text, self.config_file, self.sets, run_name)

    def following(self, *words: str | PurePath, run_name: str | None = None) -> str:
        """The next command, as it runs when pasted."""
        line = command_line(*words)
        return in_same_project(line, self.config_file, self.sets, run_name)

    def page_command(self, run_name: str | None = None) -> str:
        """What opens the page on this project's result."""
        line = self.following("python", "app.py", run_name=run_name)
        return "make run" if line == "python app.py" else line

    def say(self, text: Text | str) -> None:
        """Talk, on stderr; silent under -q."""
        if not self.quiet:
            talk(str(text))

    def result(
        self, value: Mapping[str, Any], text: Text | str, *, quotes: bool = False
    ) -> None:  # fmt: skip
        """The command's result, on stdout: `value` under --json, else `text` for reading. One that
        `quotes` what somebody wrote is printed as it is."""
        if self.as_json:
            click.echo(one_line(value))
        elif str(text):
            click.echo(str(text) if quotes else this_python(str(text)))


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command `--config --set --json -q --debug`; it gets a Context first.

    Expected failures end here, and those of files, disks, encodings and missing libraries that nobody foresaw: message
    and cure on stderr (under --json an object with "error" on stdout as well), the error's exit code,
    no traceback unless --debug.
    """

    @click.option(
        "--config", "config_file", type=click.Path(path_type=Path), default="assistant.toml",
        show_default=True, metavar="FILE", help=str(Text("The configuration.", "配置文件。")),
    )  # fmt: skip
    @click.option(
        "--set", "sets", multiple=True, metavar="TABLE.KEY=VALUE",
        help=str(Text("Override one value of it; may be repeated.", "覆盖其中一个值，可重复。")),
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True,
        help=str(Text("One JSON object on stdout.", "在标准输出打印一个 JSON 对象。")))  # fmt: skip
    @click.option("-q", "--quiet", is_flag=True,
        help=str(Text("No talk on stderr.", "标准错误上不说话。")))  # fmt: skip
    @click.option("--debug", is_flag=True,
        help=str(Text("Show the traceback of a failure.", "失败时显示调用栈。")))  # fmt: skip
    @functools.wraps(command)
    def wrapped(
        config_file: Path, sets: tuple[str, ...], as_json: bool, quiet: bool, debug: bool,
        **arguments: Any,
    ) -> None:  # fmt: skip
        context = Context(config_file, sets, as_json, quiet)
        open_standard_streams()
        speak_any_text()
        reach_this_machine_directly()
        try:
            refuse_damaged({"set": sets, **arguments})
            command(context, **arguments)
            context.note_unused_sets()
            sys.stdout.flush()
        except (AssistantError, OSError, UnicodeError, ImportError) as error:
            if debug or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise  # a reader that has gone is no failure: click ends quietly
            expected = unwritten_output() or failure_from_outside(error)
            if expected.cure:
                expected.cure = context.paste(expected.cure, arguments.get("run_name"))
            report_error(expected, as_json)
            sys.exit(expected.exit_code)

    return wrapped


def one_line(value: Mapping[str, Any]) -> str:
    """The value as JSON; its letters escaped where stdout cannot show them."""
    text = json.dumps(value, ensure_ascii=False)
    return text if readable(text) else json.dumps(value)


def talk(text: str) -> None:
    """Print on stderr. Where its reader has gone (`… 2>&1 | head`), the work goes on unheard."""
    try:
        click.echo(this_python(text), err=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- for as long as the process lives


def report_error(error: AssistantError, as_json: bool) -> None:
    """Say what went wrong and what mends it."""
    label = Text("Error: ", "错误：")
    talk(f"{label}{error.in_language(terminal_language())}")
    if as_json:
        said = {"message": error.message.en, "cure": error.cure.en if error.cure else None}
        code = getattr(error, "code", None)
        with contextlib.suppress(OSError):  # stdout takes no more: that is what went wrong
            click.echo(one_line({"error": said | ({"code": code} if code else {})}))


class TerminalProgress:
    """A Report that draws one bar per step on stderr, with rate and time left."""

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._bar: Any = None
        self._what: Text | None = None

    def __call__(self, progress: Progress) -> None:
        if self._quiet:
            return
        if progress.what != self._what:
            self.close()
            self._what = progress.what
            self._bar = self._open(progress)
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def _open(self, progress: Progress) -> Any:
        from tqdm import tqdm

        if not sys.stderr.isatty():
            done = progress.total is not None and progress.done >= progress.total
            talk(str(progress.what) if done else f"{progress.what} …")
        return tqdm(
            total=progress.total, desc=str(progress.what), unit=progress.unit, leave=False,
            unit_scale=progress.unit == "B", unit_divisor=1024, disable=None, file=sys.stderr,
        )  # fmt: skip

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._what = None


def aloud(load: Callable[[Report], Ready], context: Context) -> Callable[[Report], Ready]:
    """`load`, also telling this terminal: its steps, then what is ready or why it failed."""

    def loading(report: Report) -> Ready:
        bar = TerminalProgress(context.quiet)

        def both(progress: Progress) -> None:
            bar(progress)
            report(progress)

        try:
            ready = load(both)
        except (AssistantError, ImportError) as error:
            expected = failure_from_outside(error)
            report_error(expected, as_json=False)
            raise expected from error
        finally:
            bar.close()
        info = ready.engine.describe()
        context.say(Text(f"Ready: {info.model} on {info.name}, {info.device}.",
                         f"已就绪：{info.model}，引擎 {info.name}，{info.device}。"))  # fmt: skip
        if ready.note:
            context.say(ready.note)
        return ready

    return loading
