"""`python -m assistant`: talk in the terminal, ask once, see the models, measure."""

from __future__ import annotations

from pathlib import Path

from .libraries import missing_libraries_told

with missing_libraries_told():
    import click

    from .cli import Context, TerminalProgress, common_options
    from .engine_names import ENGINE_NAMES
    from .words import Text


def _help(en: str, zh: str) -> str:
    return str(Text(en, zh))


def engine_options(command):
    """`--engine` and `--model`, as `app.py` has them."""
    command = click.option(
        "--model", metavar="REF",
        help=_help("Weights to use instead of the configured ones.", "用这个权重，代替配置里的。"),
    )(command)  # fmt: skip
    return click.option(
        "--engine", type=click.Choice(ENGINE_NAMES),
        help=_help("Engine to use instead of the configured one.", "用这个引擎，代替配置里的。"),
    )(command)  # fmt: skip


class _Names(click.ParamType):
    name = "NAME,NAME…"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        return tuple(name for part in value.split(",") if (name := part.strip()))


def tools_option(command):
    """`--tools`: what the assistant may use."""
    return click.option(
        "--tools", type=_Names(),
        help=_help("Tools it may use: clock, python; default: [tools] use. Empty: none.",
                   "可以使用的工具：clock、python；默认取 [tools] use。留空则不用。"),
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
@tools_option
@engine_options
@common_options
def ask(context: Context, text: str, engine, model, **choices) -> None:
    from .terminal.ask import Choices, ask_once

    ask_once(context, text, Choices(engine=engine, model=model, **choices))


@main.command(help=_help("Talk: history, streaming, Ctrl-C stops an answer.",
                         "对话：有历史、流式输出，Ctrl-C 停止回答。"))  # fmt: skip
@sampling_options
@tools_option
@engine_options
@common_options
def chat(context: Context, engine, model, **choices) -> None:
    from .terminal.ask import Choices
    from .terminal.chat import talk

    talk(context, Choices(engine=engine, model=model, **choices))


@main.command(help=_help("Which weights would be used, and what is cached.",
                         "会用哪个权重，缓存里有什么。"))  # fmt: skip
@common_options
def models(context: Context) -> None:
    from .terminal.ask import show_models

    show_models(context)


@main.command(help=_help("Which languages the model knows: 24 short questions in each, asked once for each model.",
                         "模型会哪些语言：每种语言 24 个短问题，每个模型只问一次。"))  # fmt: skip
@click.option("--again", is_flag=True,
              help=_help("Ask, although it is known.", "已知道也重新问。"))  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help=_help("Also write the answers into this folder.", "把回答也写进这个文件夹。"))  # fmt: skip
@engine_options
@common_options
def languages(context: Context, engine, model, again: bool, out: Path | None) -> None:
    from .terminal.languages import show_languages

    show_languages(context, engine, model, again, out)


@main.command(help=_help("Serve OpenAI's API alone, without the page: for the tools that speak it.",
                         "只提供 OpenAI 接口，不开页面：给会用它的工具。"))  # fmt: skip
@click.option("--host", "address", metavar="H",
              help=_help("Address to listen on; default: this machine only. Elsewhere keys are needed: ASSISTANT_PAGE_KEYS.",
                         "监听地址；默认只限本机。其他地址需要密钥：ASSISTANT_PAGE_KEYS。"))  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), metavar="P",
              help=_help("Port; default 7860; 0: any free one.", "端口；默认 7860；0：任选一个空闲端口。"))  # fmt: skip
@click.option("--mcp", is_flag=True,
              help=_help("Also as a server of the Model Context Protocol, under /mcp; this machine only.",
                         "同时作为 MCP 服务（/mcp），只限本机。"))  # fmt: skip
@engine_options
@common_options
def serve(context: Context, address, port, engine, model, mcp: bool) -> None:
    from .api.serve import serve_api

    serve_api(context, address, port, engine, model, mcp)


class _Numbers(click.ParamType):
    name = "N,N,…"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 1:
            self.fail(str(Text(f"{value!r} is not a list such as 1,4,16.",
                               f"{value!r} 不是 1,4,16 这样的列表。")), param, ctx)  # fmt: skip
        return numbers


@main.command(help=_help("Measure this machine, side by side with the bare libraries; with --engine, put load "
                         "on that engine: short questions, long prompts, a shared system prompt.",
                         "测量这台机器，与裸库并排对比；加 --engine 则对该引擎施加负载：短问题、长提示、共用的系统提示。"))  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default="bench", show_default=True,
              help=_help("Folder for bench.json and bench.md, or load.json, load.md and load.png.",
                         "存放 bench.json 和 bench.md，或 load.json、load.md 和 load.png 的文件夹。"))  # fmt: skip
@click.option(
    "--quick",
    is_flag=True,
    help=_help("Fewer repeats, shorter long prompts.", "少重复几次，长提示短一些。"),
)
@click.option("--model", metavar="REF", help=_help("Weights to measure.", "要测量的权重。"))
@click.option("--engine", "engines", multiple=True, type=click.Choice(ENGINE_NAMES),
              help=_help("Load this engine; twice: both in turn, with the ratio.",
                         "对这个引擎施加负载；写两次则依次测量并给出比值。"))  # fmt: skip
@click.option("--concurrent", type=_Numbers(), default="1,4,16", show_default=True,
              help=_help("How many ask at once.", "同时提问的人数。"))  # fmt: skip
@click.option("--tokens", type=click.IntRange(min=1), default=64, show_default=True, metavar="N",
              help=_help("Longest answer under load.", "负载下回答的最大长度。"))  # fmt: skip
@common_options
def bench(
    context: Context, out: Path, quick: bool, model, engines, concurrent, tokens: int
) -> None:
    from .artifacts import refuse_unwritable

    refuse_unwritable(
        out / ("load.json" if engines else "bench.json")
    )  # before minutes of measuring
    progress = TerminalProgress(context.quiet)
    if engines:
        from .bench.load import LONG_WORDS, QUICK_WORDS, run_load

        named = " ".join(f"--engine {engine}" for engine in engines)
        numbers = ",".join(map(str, concurrent))
        command = f"python -m assistant bench {named} --concurrent {numbers} --tokens {tokens}"
        command += " --quick" if quick else ""
        rounds, longest = (1, QUICK_WORDS) if quick else (3, LONG_WORDS)
        load = run_load(context.read_config(), engines, model, concurrent, tokens, rounds, progress, command, longest)  # fmt: skip
        if not load.write(out):
            context.say(Text("No load.png: matplotlib is not installed (make train-env).",
                             "没有 load.png：未安装 matplotlib（make train-env）。"))  # fmt: skip
        context.result(load.as_dict(), load.as_table())
        return
    from .bench.run import run_bench

    command = "make bench" + (" ARGS=--quick" if quick else "")
    report = run_bench(context.read_config(), model, quick, progress, command)
    report.write(out)
    context.result(report.as_dict(), report.as_table())


@main.group(help=_help("Answers from your own documents, with their sources.",
                       "从你自己的文档里回答，并给出出处。"))  # fmt: skip
def knowledge() -> None:
    pass


def base_option(command):
    """`--base NAME`: one of several knowledge bases."""
    return click.option("--base", default="default", show_default=True, metavar="NAME",
                        help=_help("Which knowledge base.", "哪个知识库。"))(command)  # fmt: skip


@knowledge.command(
    "add", help=_help("Read files, and folders with all below them.", "读取文件，或整个文件夹。")
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@base_option
@common_options
def knowledge_add(context: Context, paths, base: str) -> None:
    from .knowledge.commands import add

    add(context, base, paths)


@knowledge.command("list", help=_help("Which documents there are.", "有哪些文档。"))
@base_option
@common_options
def knowledge_list(context: Context, base: str) -> None:
    from .knowledge.commands import show

    show(context, base)


@knowledge.command(
    "remove", help=_help("Take documents out, with their text.", "移除文档及其全部文字。")
)
@click.argument("documents", nargs=-1, required=True, metavar="FILE…")
@base_option
@common_options
def knowledge_remove(context: Context, documents, base: str) -> None:
    from .knowledge.commands import remove

    remove(context, base, documents)


@knowledge.command(
    "search", help=_help("The passages nearest to a text.", "与一段文字最接近的段落。")
)
@click.argument("text")
@click.option("--most", type=click.IntRange(1, 100), default=5, show_default=True, metavar="N",
              help=_help("How many.", "最多几段。"))  # fmt: skip
@base_option
@common_options
def knowledge_search(context: Context, text: str, most: int, base: str) -> None:
    from .knowledge.commands import find

    find(context, base, text, most)


@knowledge.command("ask", help=_help("An answer in the documents' own sentences, or that they hold none.",
                                     "用文档原句回答；没有答案就说没有。"))  # fmt: skip
@click.argument("text")
@base_option
@common_options
def knowledge_ask(context: Context, text: str, base: str) -> None:
    from .knowledge.commands import ask

    ask(context, base, text)


if __name__ == "__main__":
    main(prog_name="python -m assistant")
