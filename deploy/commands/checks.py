"""`deploy check`."""

from __future__ import annotations

from pathlib import Path

import click

from assistant.cli import Context, common_options
from assistant.words import Text

from .common import help_text, read, run_argument, token_file_option


@click.command(help=help_text("Tools, accounts, disk and the run's gates: is all ready to share?",
                              "工具、账号、磁盘与检验结果：可以分享了吗？"))  # fmt: skip
@run_argument
@click.option("--to", "to", multiple=True, metavar="HUB:OWNER/NAME",
              help=help_text("What is meant to be used (default: [share] to, else all hubs).",
                             "打算用的位置（默认 [share] to，否则查看所有平台）。"))  # fmt: skip
@token_file_option
@common_options
def check(
    context: Context, run_name: str | None, to: tuple[str, ...], token_file: Path | None
) -> None:
    from ..sharing.check import examine
    from ..target import parse_target

    config, run, share = read(context, run_name)
    context.note_other_tables(config)
    targets = [parse_target(one) for one in dict.fromkeys(to or share.to)]
    items = examine(config, run, targets, token_file)
    code = max(item.exit_code for item in items)
    texts = [item.text() for item in items]
    context.result(
        {"ready": code == 0, "items": [item.model_dump(mode="json") for item in items]},
        Text("\n".join(text.en for text in texts), "\n".join(text.zh for text in texts)),
    )
    if code:
        raise SystemExit(code)
    following = context.following("python", "-m", "deploy", "model", "--dry-run", run_name=run_name)
    context.say(Text(f"Next: {following}", f"下一步：{following}"))
