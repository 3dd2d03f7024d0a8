"""`python -m assistant chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import functools
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from ..artifacts import expanded, whole_file
from ..cli import Context, report_error
from ..config import Config
from ..conversation import Conversation, Message, to_markdown, write_conversations
from ..corrections import Source, note_answer
from ..errors import AssistantError, EngineError, UsageError
from ..outside import damaged, failure_from_outside, hear_any_bytes, not_whole
from ..serving.host import Ready
from ..serving.tool_step import ToolStep
from ..tools.base import Tool
from ..tools.opening import opened_tools
from ..words import Text
from .ask import Choices, chosen_tools, config_with_tools, load, own_system, start_reply, step_line

logger = logging.getLogger(__name__)

HELP = Text(
    "/style NAME   answer in that style (/style alone: none)\n"
    "/system TEXT  replace the system prompt (/system alone: the persona's again)\n"
    "/fix TEXT     the last answer should have been TEXT: for the next training\n"
    "/keep         the last answer was good: for the next training\n"
    "/save FILE    keep the conversation: .md for reading, .jsonl for training\n"
    "/save! FILE   the same, and replace a file that is there\n"
    "/reset        begin again          /quit  leave (or Ctrl-D)\n"
    "Ctrl-C stops an answer.",
    "/style 名称   用这种风格回答（只写 /style：不用风格）\n"
    "/system 文字  替换系统提示（只写 /system：恢复人设的）\n"
    "/fix 文字     上一个回答本该是这样：供下次训练\n"
    "/keep         上一个回答很好：供下次训练\n"
    "/save 文件    保存对话：.md 供阅读，.jsonl 供训练\n"
    "/save! 文件   同上，并覆盖已有的文件\n"
    "/reset        重新开始          /quit  离开（或 Ctrl-D）\n"
    "Ctrl-C 停止回答。",
)


def talk(context: Context, choices: Choices) -> None:
    """Read, answer, until the end of input."""
    config = config_with_tools(context)
    with opened_tools(chosen_tools(config, choices)) as tools:
        _talk(context, config, choices, tools)


def _talk(context: Context, config: Config, choices: Choices, tools: Sequence[Tool]) -> None:
    ready = load(context, config, choices)
    hear_any_bytes()
    try:
        ready.persona.style(choices.style)
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  line editing and recall for input()
        info = ready.engine.describe()
        context.say(f"{ready.persona.name} · {info.model} · {info.name} ({info.device})")
        if ready.note:
            context.say(ready.note)
        context.say(Text("/help shows the commands.", "输入 /help 查看命令。"))
        _Talk(context, config, ready, choices, tools).run()
    finally:
        ready.engine.close()


class _Talk:
    def __init__(
        self,
        context: Context,
        config: Config,
        ready: Ready,
        choices: Choices,
        tools: Sequence[Tool],
    ):
        self._tools = tools
        self._context = context
        self._config = config
        self._ready = ready
        self._choices = choices
        self._history: list[Message] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/style": self._style,
            "/system": self._system,
            "/fix": self._fix,
            "/keep": self._keep,
            "/save": self._save,
            "/save!": functools.partial(self._save, replaces=True),
            "/reset": self._reset,
            "/help": lambda _: self._context.say(HELP),
        }

    def run(self) -> None:
        while (line := self._read()) is not None:
            if not line.strip():
                continue
            word, _, rest = line.strip().partition(" ")
            if word in ("/quit", "/exit"):
                return
            try:
                if damaged(line):
                    raise not_whole(line)
                if word in self._commands:
                    self._commands[word](rest.strip())
                elif word.startswith("/"):
                    self._context.say(HELP)
                else:
                    self._answer(line)
            except (AssistantError, OSError, UnicodeError, ImportError) as error:
                report_error(failure_from_outside(error), as_json=False)
            except Exception as error:  # of a library: what was said so far must not go with it
                logger.debug("an answer failed", exc_info=error)
                report_error(_broke(error), as_json=False)

    def _read(self) -> str | None:
        try:
            return input("> ")
        except EOFError:
            return None
        except KeyboardInterrupt:  # at the prompt it only drops the line, as in a shell
            click.echo()
            return ""

    def _answer(self, text: str) -> None:
        answer = start_reply(
            self._ready, self._config, self._history, text, self._choices, self._tools
        )
        if answer.dropped_turns:
            self._context.say(
                Text(f"(the oldest {answer.dropped_turns} turns no longer fit and were left out)",
                     f"（最早的 {answer.dropped_turns} 轮放不下，已略去）")
            )  # fmt: skip
        pieces = []
        with _interrupts(answer.close):
            for part in answer:
                if isinstance(part, ToolStep):
                    self._context.say(step_line(part))
                else:
                    pieces.append(part)
                    click.echo(part, nl=False)
        click.echo()
        if answer.last and answer.last.finish == "cancelled":
            self._context.say(Text("(stopped)", "（已停止）"))
        if said := "".join(pieces):
            self._history += [
                Message(role="user", content=text), Message(role="assistant", content=said)
            ]  # fmt: skip

    def _style(self, name: str) -> None:
        self._ready.persona.style(name)
        self._choices = replace(self._choices, style=name or None)
        self._context.say(Text(f"Style: {name or 'none'}", f"风格：{name or '无'}"))

    def _system(self, text: str) -> None:
        self._choices = replace(self._choices, system=text or None)
        prompt = text or own_system(self._ready)
        self._context.say(Text(f"System prompt: {prompt}", f"系统提示：{prompt}"))

    def _reset(self, _: str) -> None:
        self._history.clear()
        self._context.say(Text("A new conversation.", "新的对话。"))

    def _fix(self, text: str) -> None:
        if not text:
            raise UsageError(
                Text("/fix needs the answer it should have given.", "/fix 后面要写应有的回答。")
            )
        said = self._last_answer()
        answer = Message(role="assistant", content=text)
        self._note([*self._history[:-1], answer], "chat", said.content)
        self._history[-1] = answer

    def _keep(self, _: str) -> None:
        self._last_answer()
        self._note(self._history, "liked")

    def _last_answer(self) -> Message:
        if not self._history:
            raise UsageError(Text("Nothing was answered yet.", "还没有回答。"))
        return self._history[-1]

    def _note(self, messages: Sequence[Message], source: Source, said: str | None = None) -> None:
        """Note the last of `messages` for the next training, and say what comes next."""
        model = self._ready.engine.describe().model
        kept = note_answer(self._config.folder, messages, source, said, model)
        following = self._context.following(
            "python", "-m", "train", "data", "corrections", "accept", kept.id
        )
        self._context.say(Text(f"Noted as {kept.id}. To train on it: {following}",
                               f"已记为 {kept.id}。用于训练：{following}"))  # fmt: skip

    def _save(self, name: str, replaces: bool = False) -> None:
        if not name or Path(name).suffix.lower() not in (".md", ".jsonl"):
            raise UsageError(
                Text("/save needs a file name that ends in .md or .jsonl.",
                     "/save 需要以 .md 或 .jsonl 结尾的文件名。")
            )  # fmt: skip
        if not self._history:
            raise UsageError(Text("There is nothing to save yet.", "还没有可保存的内容。"))
        file = expanded(name)
        if file.exists() and not replaces:
            raise UsageError(
                Text(f"{file} is there already.", f"{file} 已经存在。"),
                Text(f"Replace it: /save! {name}", f"要覆盖它：/save! {name}"),
            )
        messages = list(self._history)
        if file.suffix.lower() == ".md":
            names = {"user": str(Text("You", "你")), "assistant": self._ready.persona.name,
                     "system": str(Text("System", "系统"))}  # fmt: skip
            with whole_file(file) as out:
                out.write(to_markdown(messages, names))  # type: ignore[arg-type]
        else:
            system = self._choices.system or own_system(self._ready)
            opening = [Message(role="system", content=system)] if system else []
            write_conversations([Conversation(messages=(*opening, *messages))], file)
        self._context.say(Text(f"Saved {file}", f"已保存 {file}"))


def _broke(error: Exception) -> EngineError:
    return EngineError(
        "internal",
        Text(f"The answer failed: {error}", f"回答出错：{error}"),
        Text("The conversation is kept: ask again, or /save FILE.", "对话还在：可以再问一次，或 /save 文件。"),
    )  # fmt: skip


@contextlib.contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block Ctrl-C calls `stop` instead of raising."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
