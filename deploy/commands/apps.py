"""`deploy app`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli import Context, TerminalProgress, common_options
from assistant.errors import UsageError
from assistant.shell import command_line
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
    from assistant.config import Config
    from assistant.run import Run

    from ..apps.profiles import Profile
    from ..target import Target

PROFILES = (
    "hf-cpu", "hf-gpu", "hf-zerogpu", "hf-zerogpu-cpu", "hf-static", "modelscope-cpu", "modelscope-xgpu",
    "modelscope-static", "openxlab-cpu", "openxlab-gpu",
)  # fmt: skip


@click.command(help=help_text("Publish the chat app on a host: plan, trial here, question, upload, start.",
                              "把对话应用发布到主机：计划、本机试运行、确认、上传、启动。"))  # fmt: skip
@run_argument
@click.option("--to", "to", metavar="HUB:OWNER/NAME",
              help=help_text("hf:, modelscope: or openxlab:; a static page can do without, with --out.",
                             "hf:、modelscope: 或 openxlab:；静态页面用 --out 时可以不写。"))  # fmt: skip
@click.option("--model", "named", metavar="REF",
              help=help_text("Published weights (default: what was shared of the run); of a static page a GGUF "
                             "(default: what `deploy export` made).",
                             "已发布的权重（默认是这次训练分享过的）；静态页面用 GGUF（默认是 deploy export 的结果）。"))  # fmt: skip
@click.option("--profile", type=click.Choice(PROFILES),
              help=help_text("What the host is; default: the hub's usual one.", "主机类型；默认是该平台常用的。"))  # fmt: skip
@click.option("--repository", default="", metavar="OWNER/NAME",
              help=help_text("OpenXLab: the GitHub repository (default: the app's own name).",
                             "OpenXLab：GitHub 仓库（默认与应用同名）。"))  # fmt: skip
@click.option("--private/--public", "private", default=None,
              help=help_text("Who may see it (default: [share] private).", "谁能看到（默认 [share] private）。"))  # fmt: skip
@click.option("--weights-token-file", type=click.Path(path_type=Path), metavar="FILE",
              help=help_text("A read-only token for private weights; it goes into the host's secret store.",
                             "读取私有权重的只读令牌；会放进主机的密钥库。"))  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help=help_text("Only write the bundle there; nothing is sent.", "只把应用写到这个文件夹，不发送。"))  # fmt: skip
@click.option("--anyway", is_flag=True,
              help=help_text("A static page: although its model did not pass.", "静态页面：模型没通过检验也分享。"))  # fmt: skip
@click.option("--no-try", is_flag=True,
              help=help_text("Do not start it here first.", "不在本机试运行。"))  # fmt: skip
@confirmation_options
@token_file_option
@common_options
def app(
    context: Context, run_name: str | None, to: str | None, named: str | None, profile: str | None,
    repository: str, private: bool | None, weights_token_file: Path | None, out: Path | None,
    anyway: bool, no_try: bool, dry_run: bool, yes: bool, token_file: Path | None,
) -> None:  # fmt: skip
    from ..apps.profiles import PROFILES as KNOWN
    from ..apps.profiles import choose_profile
    from ..apps.share_app import choose_model, planned_app, send_app, service_of
    from ..target import parse_target
    from ..tokens import find_token

    config, run, share = read(context, run_name)
    private = share.private if private is None else private
    if out is not None and out.exists():
        raise UsageError(
            Text(f"{out} is there already.", f"{out} 已经存在。"),
            Text("Name a new folder: --out FOLDER", "请指定一个新文件夹：--out 文件夹"),
        )
    if to is None and out is not None and profile is not None and KNOWN[profile].is_static:
        _StaticPage(context, config, run, KNOWN[profile], anyway).write(named, out)
        return
    if to is None:
        raise click.MissingParameter(param_hint="'--to'", param_type="option")
    target = parse_target(to, "app")
    chosen = choose_profile(target.hub, profile)
    if chosen.is_static:
        page = _StaticPage(context, config, run, chosen, anyway)
        if out is not None:
            page.write(named, out)
        else:
            page.publish(named, target, private, dry_run, yes, token_file)
        return
    weights = choose_model(run, target, named)
    progress = TerminalProgress(context.quiet)
    if out is not None:
        _write_only(context, config, weights, chosen, target, out, share.licence)
        return
    model_service = service_of(weights)
    weights_token = find_token(model_service, weights_token_file) if weights_token_file else None
    try:
        with planned_app(
            config, run, target, weights, chosen, find_token(target.service, token_file),
            model_token=find_token(model_service), weights_token=weights_token,
            private=private, repository=repository, report=progress,
        ) as ready:  # fmt: skip
            progress.close()
            plans = [ready.ready.plan]
            if dry_run:
                show_plans(context, plans)
                return
            agree(context, plans, yes)
            done = send_app(ready, try_it=not no_try, report=progress)
    finally:
        progress.close()
    _finished(context, done)


@dataclass(frozen=True)
class _StaticPage:
    """`deploy app` for files alone: no weights to publish first, no server to try."""

    context: Context
    config: Config
    run: Run
    profile: Profile
    anyway: bool

    def publish(
        self, named: str | None, target: Target, private: bool, dry_run: bool, yes: bool,
        token_file: Path | None,
    ) -> None:  # fmt: skip
        """Plan, ask, send."""
        from ..apps.share_app import send_app
        from ..static.share import choose_model, planned_site
        from ..tokens import find_token

        with TerminalProgress(self.context.quiet) as progress:
            token = find_token(target.service, token_file)
            with planned_site(
                choose_model(self.config, self.run, named, self.anyway, progress), self.run, target,
                self.profile, token, private=private, report=progress,
            ) as ready:  # fmt: skip
                progress.close()
                plans = [ready.ready.plan]
                if dry_run:
                    show_plans(self.context, plans)
                    return
                agree(self.context, plans, yes)
                done = send_app(ready, try_it=False, report=progress)
        _finished(self.context, done)

    def write(self, named: str | None, out: Path) -> None:
        """Write the folder `out`, and send nothing."""
        from ..static.share import choose_model, host_files
        from ..static.site import write_site

        with TerminalProgress(self.context.quiet) as progress:
            chosen = choose_model(self.config, self.run, named, self.anyway, progress)
            for one in chosen.blockers:
                self.context.say(Text(one.message.en, one.message.zh))
            write_site(chosen.site, out, progress, host_files(chosen, self.profile))
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        self.context.result(
            {"folder": str(out), "weights": str(chosen.site.model), "profile": self.profile.name, "bytes": size},
            str(out),
        )  # fmt: skip
        line = command_line("python", "-m", "http.server", "--directory", out, "8000")
        self.context.say(
            Text(f"Any web host serves this folder ({size / 1e6:.0f} MB). Try it: {line}, then open http://127.0.0.1:8000",
                 f"任何网页空间都能托管这个文件夹（{size / 1e6:.0f} MB）。试一试：{line}，然后打开 http://127.0.0.1:8000")
        )  # fmt: skip


def _write_only(
    context: Context, config, weights, profile, target, out: Path, licence: str
) -> None:
    from ..apps.bundle import make_bundle

    make_bundle(config, weights, profile, target, out, licence)
    context.result({"folder": str(out), "weights": str(weights), "profile": profile.name}, str(out))
    line = f"{command_line('cd', out)} && python app.py"
    context.say(Text(f"Try it: {line}", f"试运行：{line}"))


def _finished(context: Context, done) -> None:
    from ..apps.checklist import numbered

    shared, steps = done.shared, numbered(list(done.steps))
    context.say(verified(shared))
    context.result(
        {"shared": [shared.model_dump(mode="json")],
         "steps": [{"en": step.en, "zh": step.zh} for step in done.steps]},
        shared.url,
    )  # fmt: skip
    context.say(Text(f"What is left for you:\n{steps.en}", f"剩下的由你来做：\n{steps.zh}"))
