"""`python -m assistant chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from .cli import Context, report_error
from .config import Config
from .conversation import Conversation, Message, to_markdown, write_conversations
from .errors import AssistantError, UsageError
from .host import Ready
from .terminal import Choices, load, start_reply
from .words import Text

HELP = Text(
    "/style NAME   answer in that style (/style alone: none)\n"
    "/system TEXT  replace the system prompt (/system alone: the persona's again)\n"
    "/save FILE    keep the conversation: .md for reading, .jsonl for training\n"
    "/reset        begin again          /quit  leave (or Ctrl-D)\n"
    "Ctrl-C stops an answer.",
    "/style 名称   用这种风格回答（只写 /style：不用风格）\n"
    "/system 文字  替换系统提示（只写 /system：恢复人设的）\n"
    "/save 文件    保存对话：.md 供阅读，.jsonl 供训练\n"
    "/reset        重新开始          /quit  离开（或 Ctrl-D）\n"
    "Ctrl-C 停止回答。",
)


def talk(context: Context, choices: Choices) -> None:
    """Read, answer, until the end of input."""
    config = context.read_config()
    ready = load(context, config, choices)
    try:
        ready.persona.style(choices.style)
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  line editing and recall for input()
        info = ready.engine.describe()
        context.say(f"{ready.persona.name} · {info.model} · {info.name} ({info.device})")
        if ready.note:
            context.say(ready.note)
        context.say(Text("/help shows the commands.", "输入 /help 查看命令。"))
        _Talk(context, config, ready, choices).run()
    finally:
        ready.engine.close()


class _Talk:
    def __init__(self, context: Context, config: Config, ready: Ready, choices: Choices):
        self._context = context
        self._config = config
        self._ready = ready
        self._choices = choices
        self._history: list[Message] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/style": self._style,
            "/system": self._system,
            "/save": self._save,
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
                if word in self._commands:
                    self._commands[word](rest.strip())
                elif word.startswith("/"):
                    self._context.say(HELP)
                else:
                    self._answer(line)
            except AssistantError as error:
                report_error(error, as_json=False)

    def _read(self) -> str | None:
        try:
            return input("> ")
        except EOFError:
            return None
        except KeyboardInterrupt:  # at the prompt it only drops the line, as in a shell
            click.echo()
            return ""

    def _answer(self, text: str) -> None:
        answer = start_reply(self._ready, self._config, self._history, text, self._choices)
        if answer.dropped_turns:
            self._context.say(
                Text(f"(the oldest {answer.dropped_turns} turns no longer fit and were left out)",
                     f"（最早的 {answer.dropped_turns} 轮放不下，已略去）")
            )  # fmt: skip
        pieces = []
        with _interrupts(answer.close):
            for piece in answer:
                pieces.append(piece)
                click.echo(piece, nl=False)
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
        prompt = text or self._ready.persona.system_prompt
        self._context.say(Text(f"System prompt: {prompt}", f"系统提示：{prompt}"))

    def _reset(self, _: str) -> None:
        self._history.clear()
        self._context.say(Text("A new conversation.", "新的对话。"))

    def _save(self, name: str) -> None:
        if not name or Path(name).suffix not in (".md", ".jsonl"):
            raise UsageError(
                Text("/save needs a file name that ends in .md or .jsonl.",
                     "/save 需要以 .md 或 .jsonl 结尾的文件名。")
            )  # fmt: skip
        if not self._history:
            raise UsageError(Text("There is nothing to save yet.", "还没有可保存的内容。"))
        file = Path(name).expanduser()
        messages = list(self._history)
        if file.suffix == ".md":
            names = {"user": str(Text("You", "你")), "assistant": self._ready.persona.name,
                     "system": str(Text("System", "系统"))}  # fmt: skip
            from .artifacts import whole_file

            with whole_file(file) as out:
                out.write(to_markdown(messages, names))  # type: ignore[arg-type]
        else:
            system = self._choices.system or self._ready.persona.system_prompt
            opening = [Message(role="system", content=system)] if system else []
            write_conversations([Conversation(messages=(*opening, *messages))], file)
        self._context.say(Text(f"Saved {file}", f"已保存 {file}"))


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
