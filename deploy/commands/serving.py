"""`deploy plan`, `deploy serve`, `deploy quantize`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.errors import UsageError
from assistant.words import Text

from .common import help_text, run_argument

if TYPE_CHECKING:
    from assistant.config import Config

    from ..serving.recipes import Fleet, Recipe

DEFAULT_CONTEXT = 2048
CALIBRATION_SETS = (
    "wikitext2", "c4", "pileval", "gsm8k", "neuralmagic_calibration", "open-platypus", "openwebtext",
)  # fmt: skip
IMAGE = "openmmlab/lmdeploy:v0.18.0-cu12.8"  # as the tags of 0.12 to 0.16 are written


@click.command(help=help_text("How many GPUs so many people need, the arithmetic shown.",
                              "这么多人同时用需要几块 GPU，附计算过程。"))  # fmt: skip
@click.option("--users", type=click.IntRange(min=1), metavar="N",
              help=help_text("Answers being written at once.", "同时生成的回答数。"))  # fmt: skip
@click.option("--tokens-per-second", "speed", type=click.FloatRange(min=0, min_open=True), metavar="T",
              help=help_text("For each of them, at least.", "每个回答每秒至少多少 token。"))  # fmt: skip
@click.option("--gpu", "gpu_name", metavar="NAME",
              help=help_text("For example A100-80GB, L4, H100.", "例如 A100-80GB、L4、H100。"))  # fmt: skip
@click.option("--model", "named", metavar="REF",
              help=help_text("Model, or a folder with its config.json (default: what would be served).",
                             "模型，或含有 config.json 的文件夹（默认：将要服务的模型）。"))  # fmt: skip
@click.option("--context", "context_tokens", type=click.IntRange(min=1), default=DEFAULT_CONTEXT, show_default=True,
              metavar="TOKENS", help=help_text("Question, history and answer together.", "问题、历史与回答合计的 token 数。"))  # fmt: skip
@click.option("--weight-bits", type=click.Choice(["16", "4"]), default="16", show_default=True,
              help=help_text("4 is AWQ (deploy quantize).", "4 为 AWQ（deploy quantize）。"))  # fmt: skip
@click.option("--efficiency", type=click.FloatRange(0, 1, min_open=True),
              help=help_text("Share of the GPU's printed figures that is reached.", "能达到 GPU 标称值的比例。"))  # fmt: skip
@click.option("--price-per-hour", "price", type=click.FloatRange(min=0), metavar="P",
              help=help_text("Of one GPU, in any currency.", "一块 GPU 每小时的价格，币种不限。"))  # fmt: skip
@click.option("--check-here", is_flag=True,
              help=help_text("Hold the formula against this machine and the CPU engine instead.",
                             "改为用本机和 CPU 引擎检验这个公式。"))  # fmt: skip
@common_options
def plan(
    context: Context, users: int | None, speed: float | None, gpu_name: str | None,
    named: str | None, context_tokens: int, weight_bits: str, efficiency: float | None,
    price: float | None, check_here: bool,
) -> None:  # fmt: skip
    from ..capacity.estimate import EFFICIENCY, Wanted, plan_capacity
    from ..capacity.gpus import find_gpu
    from ..capacity.model import read_shape
    from ..capacity.shown import plan_json, plan_lines

    config = context.read_config()
    if check_here:
        _check_here(context, config, named)
        return
    if users is None or speed is None or gpu_name is None:
        raise UsageError(
            Text("--users, --tokens-per-second and --gpu are needed.",
                 "需要 --users、--tokens-per-second 和 --gpu。"),
            Text("For example: --users 50 --tokens-per-second 20 --gpu L4",
                 "例如：--users 50 --tokens-per-second 20 --gpu L4"),
        )  # fmt: skip
    gpu = find_gpu(gpu_name)
    with TerminalProgress(context.quiet) as progress:
        model = read_shape(_model_path(config, named, progress))
    if context_tokens > model.context_length:
        raise UsageError(
            Text(f"{model.name} reads {model.context_length} tokens, not {context_tokens}.",
                 f"{model.name} 最多读 {model.context_length} 个 token，不是 {context_tokens}。"),
            Text(f"Use --context {model.context_length} or less.", f"请用 --context {model.context_length} 或更小。"),
        )  # fmt: skip
    wanted = Wanted(
        users, speed, context_tokens, 4 if weight_bits == "4" else 16,
        config.serve.turbomind.kv_bits, efficiency or EFFICIENCY,
    )  # fmt: skip
    way = plan_capacity(model, gpu, wanted)
    lines = plan_lines(model, gpu, way, price)
    context.result(
        plan_json(model, gpu, way, price),
        Text("\n".join(line.en for line in lines), "\n".join(line.zh for line in lines)),
    )


def _check_here(context: Context, config: Config, named: str | None) -> None:
    from ..capacity.here import check_here, here_json, here_text

    with TerminalProgress(context.quiet) as progress:
        here = check_here(config, named, progress)
    context.result(here_json(here), here_text(here))


def _model_path(config: Config, named: str | None, report: TerminalProgress) -> Path:
    """Where the model's config.json or GGUF lies. A folder with a config.json alone will do."""
    from assistant.models import fetch
    from assistant.weights import choose_weights

    reference = choose_weights(config, named).reference
    here = Path(reference) if Path(reference).is_absolute() else config.folder / reference
    if here.name == "config.json" or (here / "config.json").is_file():
        return here
    return fetch(reference, base_folder=config.folder, report=report).path


@click.command(help=help_text("Serve a run's model with LMDeploy on GPUs; several copies behind its proxy.",
                              "用 LMDeploy 在 GPU 上服务训练好的模型；多份时前面加它的代理。"))  # fmt: skip
@run_argument
@click.option("--model", "named", metavar="REF",
              help=help_text("Weights to serve instead of the run's.", "用这个权重，代替训练结果。"))  # fmt: skip
@click.option("--servers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
              help=help_text("Copies of the model, each on [serve.turbomind] tp GPUs.", "模型份数，每份占 [serve.turbomind] tp 块 GPU。"))  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H",
              help=help_text("Address to listen on; with several servers one they can call.", "监听地址；多份时须能互相访问。"))  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65000), default=23333, show_default=True, metavar="P",
              help=help_text("What the page calls; the copies take the ports above.", "页面所用的端口；各份使用其后的端口。"))  # fmt: skip
@click.option("--write", "recipe", type=click.Choice(["compose", "systemd", "slurm", "ray"]),
              help=help_text("Print this recipe instead of starting.", "不启动，打印这种部署文件。"))  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help=help_text("Write the recipe there.", "把部署文件写到这里。"))  # fmt: skip
@click.option("--image", default=IMAGE, show_default=True, metavar="IMAGE",
              help=help_text("Container image, for compose.", "compose 用的容器镜像。"))  # fmt: skip
@click.option("--wait", "patience", type=click.FloatRange(min=1), default=600.0, show_default=True, metavar="SECONDS",
              help=help_text("For the servers to become healthy.", "等待服务就绪的时间。"))  # fmt: skip
@click.option("--dry-run", is_flag=True, help=help_text("Print the commands only.", "只打印命令。"))
@common_options
def serve(
    context: Context, run_name: str | None, named: str | None, servers: int, host: str, port: int,
    recipe: Recipe | None, out: Path | None, image: str, patience: float, dry_run: bool,
) -> None:  # fmt: skip
    from ..serving.commands import context_length_of, page_command, settings_of, shown
    from ..serving.recipes import Fleet, recipe_text
    from ..serving.start import planned, refuse_unready, url_of

    config = context.read_config()
    if servers > 1 and host == "0.0.0.0" and recipe in (None, "systemd"):
        raise UsageError(
            Text("Behind a proxy a server announces the address it listens on: 0.0.0.0 is none.",
                 "在代理后面，服务会通报自己监听的地址，0.0.0.0 不行。"),
            Text("Name this machine's own address: --host 10.0.0.5", "请写本机的地址：--host 10.0.0.5"),
        )  # fmt: skip
    variable = config.serve.remote.key_variable
    model = _model_to_serve(context, config, run_name, named)
    settings = settings_of(
        config.serve, str(model), run_name or config.model.run, own_context=context_length_of(model),
        trust_remote_code=config.model.trust_remote_code,
        with_keys=bool(os.environ.get(variable, "").strip()),
    )  # fmt: skip
    fleet = Fleet(settings, servers, host, port, image)
    if not settings.key_variable and host not in ("127.0.0.1", "localhost", "::1"):
        context.say(Text(f"No key is set: whoever reaches {host}:{port} may use the model. Set {variable}.",
                         f"没有设置密钥：能访问 {host}:{port} 的人都能使用模型。请设置 {variable}。"))  # fmt: skip
    page_line = page_command(url_of(fleet), settings.context_length)
    page = shown(page_line)
    if recipe:
        _give_recipe(context, recipe, recipe_text(recipe, fleet), out)
        return
    processes = planned(fleet)
    commands = [_with_environment(command, more) for command, more in processes]
    if dry_run:
        context.result(
            {"commands": [command for command, _ in processes], "page": page_line,
             "urls": [url_of(fleet)], "key_variable": settings.key_variable or None},
            "\n".join([*commands, f"# {Text('then the page:', '然后启动页面：')}", page]),
        )  # fmt: skip
        return
    refuse_unready(fleet)
    for command in commands:
        context.say(command)
    _serve_until_ended(context, fleet, patience, page)


def _give_recipe(context: Context, recipe: Recipe, text: str, out: Path | None) -> None:
    from assistant.artifacts import whole_file

    if out is None:
        context.result({"recipe": recipe, "text": text}, text.rstrip("\n"))
        return
    if out.exists():
        raise UsageError(Text(f"{out} is there already.", f"{out} 已经存在。"))
    with whole_file(out) as file:
        file.write(text)
    context.result({"recipe": recipe, "file": str(out)}, str(out))


def _with_environment(command: list[str], more: dict[str, str]) -> str:
    import shlex

    from ..serving.commands import shown

    return " ".join(
        [*(f"{name}={shlex.quote(value)}" for name, value in more.items()), shown(command)]
    )


def _serve_until_ended(context: Context, fleet: Fleet, patience: float, page: str) -> None:
    import signal
    import time

    from ..serving.start import (
        UPKEEP_SECONDS,
        keep_up,
        planned,
        started,
        url_of,
        wait_until_healthy,
    )

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        processes = planned(fleet)
        with started(processes) as running:
            wait_until_healthy(fleet, running, patience, context.say)
            urls = f'[serve.remote]\nurls = ["{url_of(fleet)}"]'
            if length := fleet.settings.context_length:
                urls += f"\ncontext_length = {length}"
            context.result({"urls": [url_of(fleet)], "page": page}, f"{page}\n{urls}")
            while True:
                keep_up(fleet, processes, running, context.say)
                time.sleep(UPKEEP_SECONDS)
    except KeyboardInterrupt:
        context.say(Text("The servers have ended.", "服务已结束。"))


def _model_to_serve(
    context: Context, config: Config, run_name: str | None, named: str | None
) -> Path:
    """The folder of Hugging Face weights that LMDeploy reads. Raises UsageError where it is none."""
    from assistant.models import fetch
    from assistant.weights import refuse_unpinned_remote_code

    refuse_unpinned_remote_code(config)
    merged = config.run_named(run_name).merged
    reference = named or config.model.weights or str(merged.resolve())
    if not named and not config.model.weights and not merged.is_dir():
        raise UsageError(
            Text(f"Nothing to serve: {merged} is missing.", f"没有可服务的模型：缺少 {merged}。"),
            Text("Train first: python -m train all - or name a model: --model REF",
                 "请先训练：python -m train all；或指定模型：--model REF"),
        )  # fmt: skip
    with TerminalProgress(context.quiet) as progress:
        local = fetch(reference, base_folder=config.folder, report=progress)
    if local.format != "hf":
        raise UsageError(
            Text(f"LMDeploy reads Hugging Face safetensors; {local.name} is {local.format}.",
                 f"LMDeploy 读取 Hugging Face safetensors；{local.name} 是 {local.format}。"),
            Text("Train and merge first: python -m train all", "请先训练并合并：python -m train all"),
        )  # fmt: skip
    return local.path.resolve()


@click.command(help=help_text("Make a run's model 4 bits (AWQ) with LMDeploy, and check it again.",
                              "用 LMDeploy 把模型量化为 4 位（AWQ），并重新检验。"))  # fmt: skip
@run_argument
@click.option("--calib-dataset", default="wikitext2", show_default=True, metavar="NAME",
              type=click.Choice(CALIBRATION_SETS),
              help=help_text("What it is calibrated on.", "校准用的数据集。"))  # fmt: skip
@click.option("--calib-samples", type=click.IntRange(min=0), default=128, show_default=True, metavar="N",
              help=help_text("0: without data, no network needed.", "0 表示不用数据，也不需要网络。"))  # fmt: skip
@click.option("--calib-seqlen", type=click.IntRange(min=1), default=2048, show_default=True, metavar="TOKENS",
              help=help_text("Tokens of a sample.", "每条样本的 token 数。"))  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help=help_text("Samples at once; more memory.", "一次处理的样本数；更占显存。"))  # fmt: skip
@click.option("--search-scale", is_flag=True,
              help=help_text("Search the scales; slower, often better.", "搜索缩放系数；较慢，通常更好。"))  # fmt: skip
@click.option("--group-size", type=click.IntRange(min=1), default=128, show_default=True, metavar="N",
              help=help_text("TurboMind reads 128 alone.", "TurboMind 只读 128。"))  # fmt: skip
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True,
              help=help_text("Where it is computed.", "在哪里计算。"))  # fmt: skip
@click.option("--no-check", is_flag=True,
              help=help_text("Do not check the result.", "不检验结果。"))  # fmt: skip
@click.option(
    "--force", is_flag=True, help=help_text("Replace an earlier result.", "覆盖之前的结果。")
)
@click.option("--dry-run", is_flag=True, help=help_text("Print the commands only.", "只打印命令。"))
@common_options
def quantize(
    context: Context, run_name: str | None, calib_dataset: str, calib_samples: int,
    calib_seqlen: int, batch_size: int, search_scale: bool, group_size: int,
    device: Literal["cuda", "cpu"], no_check: bool, force: bool, dry_run: bool,
) -> None:  # fmt: skip

    from .. import quantize as stage
    from ..serving.commands import shown

    config = context.read_config()
    run = config.run_named(run_name)
    model = run.merged
    how = stage.Calibration(
        calib_dataset, calib_samples, calib_seqlen, batch_size, search_scale, group_size, device
    )
    stage.refuse_unfit(model, how)
    out = stage.quantised_run(run)
    commands = [stage.command(model, out.merged, how)]
    if not no_check:
        commands.append(stage.check_command(out, context.config_file, context.sets))
    if dry_run:
        context.result({"commands": commands, "run": str(out)}, "\n".join(map(shown, commands)))
        return
    stage.refuse_unready(how)
    if not no_check and (doubt := stage.doubt_of(run)):
        context.say(doubt)
    context.say(Text(f"Reads {model}, writes {out}.", f"读取 {model}，写入 {out}。"))
    stage.quantize(run, how, force=force)
    if not no_check:
        stage.check_again(out, context.config_file, context.sets)
    context.result({"run": str(out), "model": str(out.merged), "checked": not no_check}, str(out))
    following = context.following("python", "-m", "deploy", "serve", out.name)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))
