"""`deploy model`, `deploy verify`, `deploy status`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli import Context, TerminalProgress, common_options, report_error
from assistant.errors import FailedError, UsageError
from assistant.words import Text

from .common import (
    agree,
    confirmation_options,
    help_text,
    read,
    run_argument,
    show_plans,
    token_file_option,
    verified,
)

if TYPE_CHECKING:
    from ..sharing.share import Ready


@click.command(help=help_text("Share a run's model: plan, question, upload, verification.",
                              "分享一次训练的模型：计划、确认、上传、核对。"))  # fmt: skip
@run_argument
@click.option("--to", "to", multiple=True, metavar="HUB:OWNER/NAME",
              help=help_text("hf:, modelscope: or openxlab:; may be repeated (default: [share] to).",
                             "hf:、modelscope: 或 openxlab:，可重复（默认 [share] to）。"))  # fmt: skip
@click.option("--kind", type=click.Choice(["adapter", "merged"]),
              help=help_text("What to share; default: the merged model.", "分享什么；默认是合并后的模型。"))  # fmt: skip
@click.option("--format", "formats", type=click.Choice(["safetensors", "gguf"]), multiple=True, default=("safetensors",), show_default=True,
              help=help_text("gguf: the files of deploy export; both: one beside the other.",
                             "gguf：deploy export 生成的文件；两个都写则并列。"))  # fmt: skip
@click.option("--private/--public", "private", default=None,
              help=help_text("Who may see it (default: [share] private).", "谁能看到（默认 [share] private）。"))  # fmt: skip
@click.option("--anyway", is_flag=True,
              help=help_text("Share even if the check did not pass; the page says so.",
                             "没有通过检验也分享；模型页会注明。"))  # fmt: skip
@click.option("--no-openvino", is_flag=True,
              help=help_text("Leave out what the CPU engine reads.", "不上传 CPU 引擎所读的文件。"))  # fmt: skip
@confirmation_options
@token_file_option
@common_options
def model(
    context: Context, run_name: str | None, to: tuple[str, ...], kind, formats,
    private: bool | None, anyway: bool, no_openvino: bool, dry_run: bool, yes: bool, token_file: Path | None,
) -> None:  # fmt: skip
    from ..sharing.share import planned_model
    from ..target import parse_target
    from ..tokens import find_token, refuse_one_file_for_several

    config, run, share = read(context, run_name)
    targets = [parse_target(one) for one in dict.fromkeys(to or share.to)]
    if not targets:
        raise _no_target()
    refuse_one_file_for_several((target.service for target in targets), token_file)
    if kind == "adapter" and "gguf" in formats:
        raise UsageError(
            Text("GGUF files are of the merged model, not of the adapter.", "GGUF 文件来自合并后的模型，不是 adapter。"),
            Text("Leave out --kind adapter.", "请去掉 --kind adapter。"),
        )  # fmt: skip
    progress = TerminalProgress(context.quiet)
    with ExitStack() as stack:
        stack.callback(progress.close)
        ready = [
            stack.enter_context(planned_model(
                config, run, target, find_token(target.service, token_file), kind=kind,
                private=share.private if private is None else private, anyway=anyway,
                with_openvino=not no_openvino, formats=formats, report=progress,
            ))
            for target in targets
        ]  # fmt: skip
        progress.close()
        plans = [one.plan for one in ready]
        if dry_run:
            show_plans(context, plans)
            return
        agree(context, plans, yes)
        _send_all(context, ready, progress, run_name)


def _send_all(
    context: Context, ready: list[Ready], progress: TerminalProgress, run_name: str | None
) -> None:
    from ..sharing.share import send

    shared = []
    for one in ready:
        shared.append(send(one, progress))
        progress.close()
        context.say(verified(shared[-1]))  # at once: a later target may fail
    context.result(
        {"shared": [one.model_dump(mode="json") for one in shared]},
        "\n".join(one.url for one in shared),
    )
    first = ready[0].target
    if ready[0].plan.kind != "merged":  # an app needs a model that talks by itself
        return
    following = context.following(
        "python",
        "-m",
        "deploy",
        "app",
        "--to",
        f"{first.hub}:{first.owner}/app",
        run_name=run_name,
    )
    context.say(Text(f"Next: {following}", f"下一步：{following}"))


def _no_target() -> UsageError:
    return UsageError(
        Text("Where to? No target is named.", "分享到哪里？没有写明位置。"),
        Text("Write --to hf:owner/name, or [share] to in assistant.toml.",
             "请写 --to hf:用户名/名称，或在 assistant.toml 里写 [share] to。"),
    )  # fmt: skip


@click.command(
    help=help_text(
        "Compare what lies on the hubs with what was sent.", "核对平台上的内容与发送的是否一致。"
    )
)
@run_argument
@click.option("--to", "to", multiple=True, metavar="HUB:OWNER/NAME",
              help=help_text("Only these; default: all that deploy.json names.", "只核对这些；默认是 deploy.json 里的全部。"))  # fmt: skip
@click.option("--download", is_flag=True,
              help=help_text("Also fetch every file and hash what arrives.", "并且下载每个文件，计算实际收到的内容。"))  # fmt: skip
@token_file_option
@common_options
def verify(
    context: Context,
    run_name: str | None,
    to: tuple[str, ...],
    download: bool,
    token_file: Path | None,
) -> None:
    from ..sharing.verify import refuse_mismatches
    from ..sharing.verify_published import verify_shared

    _, run, _ = read(context, run_name)
    with TerminalProgress(context.quiet) as progress:
        results = verify_shared(run, to, token_file, download=download, report=progress)
    lines = [Text(f"{one.target}: {len(one.files)} files, "
                  + (f"{len(found)} not as sent" if found else "all as sent"),
                  f"{one.target}：{len(one.files)} 个文件，"
                  + (f"{len(found)} 个不一致" if found else "全部一致"))
             for one, found in results]  # fmt: skip
    context.result(
        {"verified": [
            {"target": one.target, "commit": one.commit, "files": len(one.files),
             "mismatches": [vars(each) for each in found]} for one, found in results
        ]},
        "\n".join(map(str, lines)),
    )  # fmt: skip
    for one, found in results:
        try:
            refuse_mismatches(one.target, found)
        except FailedError as error:
            report_error(error, as_json=False)  # the one object on stdout is the result
    if any(found for _, found in results):
        raise SystemExit(FailedError.exit_code)


@click.command(
    help=help_text(
        "What was shared, and how it stands on the hubs.", "分享过什么，在平台上现状如何。"
    )
)
@run_argument
@click.option("--offline", is_flag=True,
              help=help_text("Only what deploy.json says.", "只看 deploy.json 里的记录。"))  # fmt: skip
@token_file_option
@common_options
def status(context: Context, run_name: str | None, offline: bool, token_file: Path | None) -> None:
    from ..sharing.verify_published import status_of_shared

    _, run, _ = read(context, run_name)
    found = status_of_shared(run, token_file, offline=offline)
    if not found:
        context.result({"run": run.name, "shared": []},
                       Text(f"Nothing of {run} was shared.", f"{run} 还没有分享过。"))  # fmt: skip
        return
    context.result(
        {"run": run.name, "shared": [
            {**one.model_dump(mode="json", exclude={"files"}), "files": len(one.files),
             "now": state, "said": {"en": said.en, "zh": said.zh}} for one, state, said in found
        ]},
        Text("\n".join(f"{one.target}  {one.shared}  {one.commit[:12]}  {said.en}\n  {one.url}" for one, _, said in found),
             "\n".join(f"{one.target}  {one.shared}  {one.commit[:12]}  {said.zh}\n  {one.url}" for one, _, said in found)),
    )  # fmt: skip
