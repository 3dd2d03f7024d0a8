"""`python -m assistant`: talk in the terminal, ask once, see the models, measure."""

from __future__ import annotations

from pathlib import Path

import click

from .cli import Context, TerminalProgress, common_options
from .words import Text

ENGINES = ("auto", "turbomind", "cpu", "transformers", "remote", "echo")


def _help(en: str, zh: str) -> str:
    return str(Text(en, zh))


def engine_options(command):
    """`--engine` and `--model`, as `app.py` has them."""
    command = click.option(
        "--model", metavar="REF",
        help=_help("Weights to use instead of the configured ones.", "用这个权重，代替配置里的。"),
    )(command)  # fmt: skip
    return click.option(
        "--engine", type=click.Choice(ENGINES),
        help=_help("Engine to use instead of the configured one.", "用这个引擎，代替配置里的。"),
    )(command)  # fmt: skip


def sampling_options(command):
    """The sampling flags; their defaults come from `[serve.sampling]`."""
    for flag, kind, text in (
        ("--seed", click.IntRange(min=0), _help("Repeat an answer.", "重现同一个回答。")),
        ("--temperature", float, _help("0 is greedy; default: the style's or [serve.sampling].",
                                       "0 为贪心；默认取风格或 [serve.sampling] 的值。")),
        ("--max-tokens", click.IntRange(min=1), _help("Longest answer.", "回答的最大长度。")),
        ("--system", str, _help("System prompt instead of the persona's.", "代替人设的系统提示。")),
        ("--style", str, _help("A style of assistant.toml.", "assistant.toml 里的一种风格。")),
    ):  # fmt: skip
        command = click.option(flag, type=kind, help=text)(command)
    return command


@click.group(help=_help("The assistant of assistant.toml, in the terminal.",
                        "assistant.toml 描述的助手，在终端里。"))  # fmt: skip
def main() -> None:
    pass


@main.command(help=_help("Ask once; the answer goes to stdout.", "问一句；回答打印在标准输出。"))
@click.argument("text")
@sampling_options
@engine_options
@common_options
def ask(context: Context, text: str, engine, model, **choices) -> None:
    from .terminal import Choices, ask_once

    ask_once(context, text, Choices(engine=engine, model=model, **choices))


@main.command(help=_help("Talk: history, streaming, Ctrl-C stops an answer.",
                         "对话：有历史、流式输出，Ctrl-C 停止回答。"))  # fmt: skip
@sampling_options
@engine_options
@common_options
def chat(context: Context, engine, model, **choices) -> None:
    from .terminal import Choices
    from .terminal_chat import talk

    talk(context, Choices(engine=engine, model=model, **choices))


@main.command(help=_help("Which weights would be used, and what is cached.",
                         "会用哪个权重，缓存里有什么。"))  # fmt: skip
@common_options
def models(context: Context) -> None:
    from .terminal import show_models

    show_models(context)


@main.command(help=_help("Measure this machine, side by side with the bare libraries.",
                         "测量这台机器，与裸库并排对比。"))  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default="bench", show_default=True,
              help=_help("Folder for bench.json and bench.md.", "存放 bench.json 和 bench.md 的文件夹。"))  # fmt: skip
@click.option("--quick", is_flag=True, help=_help("Fewer repeats.", "少重复几次。"))
@click.option("--model", metavar="REF", help=_help("Weights to measure.", "要测量的权重。"))
@common_options
def bench(context: Context, out: Path, quick: bool, model) -> None:
    from .bench.run import run_bench

    command = "make bench" + (" ARGS=--quick" if quick else "")
    report = run_bench(
        context.read_config(), model, quick, TerminalProgress(context.quiet), command
    )
    report.write(out)
    context.result(report.as_dict(), report.as_table())


if __name__ == "__main__":
    main(prog_name="python -m assistant")
