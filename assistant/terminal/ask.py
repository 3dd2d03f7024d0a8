"""The terminal's commands: loading with progress, one question, the list of models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from ..cli import Context, TerminalProgress
from ..config import Config, EngineName, SamplingTable
from ..conversation import Message
from ..engines.base import Sampling
from ..serving.host import Ready
from ..serving.reply import Reply, reply, with_chosen_sampling
from ..serving.tool_step import ToolStep
from ..tools.base import Tool
from ..tools.loop import ToolReply
from ..tools.opening import opened_tools, tools_table
from ..tools.settings import ToolsTable
from ..words import Text, terminal_language


@dataclass(frozen=True)
class Choices:
    """What the flags of `ask` and `chat` chose; None leaves it to the configuration."""

    engine: EngineName | None = None
    model: str | None = None
    style: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    tools: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Timing:
    """When an answer came: seconds from the question to its first text, and to its end."""

    first_text: float
    whole: float

    def tokens_per_second(self, new_tokens: int) -> float:
        """Decode speed: tokens after the first, over the time after it."""
        seconds = self.whole - self.first_text
        return (new_tokens - 1) / seconds if new_tokens > 1 and seconds > 0 else 0.0


def load(context: Context, config: Config, choices: Choices) -> Ready:
    """Load the assistant with bars on stderr."""
    from ..serving.load import load_assistant

    with TerminalProgress(context.quiet) as progress:
        return load_assistant(config, progress, choices.engine, choices.model, single_user=True)


def sampling_from(table: SamplingTable) -> Sampling:
    """`[serve.sampling]` as engines take it."""
    return Sampling(**table.model_dump())


def config_with_tools(context: Context) -> Config:
    """The configuration, with the table `[tools]`."""
    return context.read_config({"tools": ToolsTable})


def chosen_tools(config: Config, choices: Choices) -> Sequence[str]:
    """The names of the tools to use: those of `--tools`, else of `[tools] use`."""
    return tools_table(config).use if choices.tools is None else choices.tools


def start_reply(
    ready: Ready,
    config: Config,
    history: list[Message],
    text: str,
    choices: Choices,
    tools: Sequence[Tool] = (),
) -> Reply | ToolReply:
    """Start an answer. A temperature given on the command line beats the style's own."""
    sampling = sampling_from(config.serve.sampling)
    sampling = replace(
        sampling, max_tokens=choices.max_tokens or sampling.max_tokens, seed=choices.seed
    )
    style = ready.persona.style(choices.style, terminal_language())
    if choices.temperature is not None:
        sampling = replace(sampling, temperature=choices.temperature)
        style = with_chosen_sampling(style, ("temperature",))
    system = own_system(ready) if choices.system is None else choices.system
    if tools:
        return ToolReply(
            ready.persona, ready.engine, tools, tools_table(config), history, text, style, sampling,
            system,
        )  # fmt: skip
    return reply(ready.persona, ready.engine, history, text, style, sampling, system)


def own_system(ready: Ready) -> str:
    """Return the persona's system prompt in the terminal's language, or the nearest it speaks."""
    return ready.persona.system(terminal_language())


def ask_once(context: Context, text: str, choices: Choices) -> None:
    """`ask`: stream the answer to stdout, or one JSON object under --json."""
    config = config_with_tools(context)
    with opened_tools(chosen_tools(config, choices)) as tools:
        ready = load(context, config, choices)
        try:
            started = time.perf_counter()
            answer = start_reply(ready, config, [], text, choices, tools)
            pieces, steps, first_text = [], [], None
            for part in answer:
                if isinstance(part, ToolStep):
                    steps.append(part)
                    context.say(step_line(part))
                    continue
                first_text = first_text or time.perf_counter() - started
                pieces.append(part)
                if not context.as_json:
                    click.echo(part, nl=False)
            whole = time.perf_counter() - started
            timing = Timing(first_text or whole, whole)
            if context.as_json:
                value = _answer_json(ready, answer, "".join(pieces), timing)
                used = {"steps": [step.as_dict() for step in steps]} if tools else {}
                context.result(value | used, "")
            else:
                click.echo()
        finally:
            ready.engine.close()


def step_line(step: ToolStep) -> Text:
    """The line of a step, marked as no part of the answer."""
    line = step.line()
    return Text(f"· {line.en}", f"· {line.zh}")


def _answer_json(
    ready: Ready, answer: Reply | ToolReply, text: str, timing: Timing
) -> dict[str, Any]:
    last = answer.last
    assert last is not None
    info = ready.engine.describe()
    return {
        "text": text,
        "engine": info.name,
        "model": info.model,
        "device": info.device,
        "prompt_tokens": last.prompt_tokens,
        "completion_tokens": last.new_tokens,
        "cached_tokens": last.cached_tokens,
        "ttft_ms": round(timing.first_text * 1000, 1),
        "tokens_per_second": round(timing.tokens_per_second(last.new_tokens), 2),
        "stopped_by": last.finish,
    }


def show_models(context: Context) -> None:
    """`models`: what would be used, and what the cache holds."""
    from ..models import cached, home
    from ..weights import choose_weights

    config = context.read_config()
    context.note_other_tables(config)
    choice = choose_weights(config)
    found = cached()
    lines = [
        str(Text(f"In use: {choice.reference} ({choice.source})",
                 f"在用：{choice.reference}（{choice.source}）")),
        str(Text(f"Cache: {home()}", f"缓存：{home()}")),
    ]  # fmt: skip
    for model in found:
        state = "" if model.complete else str(Text("  (unfinished)", "  （未下载完）"))
        lines.append(
            f"  {model.reference:40} {model.bytes / 1e6:9.1f} MB  {model.licence or '?':14} "
            f"{model.origin}{state}"
        )
    if not found:
        lines.append(str(Text("  nothing yet; the first chat fetches the base",
                              "  还没有；第一次对话时会下载基座")))  # fmt: skip
    context.result(
        {
            "in_use": {"reference": choice.reference, "source": choice.source},
            "cache": str(home()),
            "models": [
                {
                    "reference": model.reference, "path": str(model.path), "bytes": model.bytes,
                    "revision": model.revision, "licence": model.licence, "origin": model.origin,
                    "complete": model.complete,
                }
                for model in found
            ],
        },
        "\n".join(lines),
    )  # fmt: skip
