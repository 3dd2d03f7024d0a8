"""`deploy export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.artifacts import content_sha256
from assistant.cli import Context, TerminalProgress, common_options, report_error
from assistant.errors import FailedError, UsageError
from assistant.words import Text

from .common import help_text, read, run_argument

if TYPE_CHECKING:
    from assistant.records.export_report import ExportReport

    from ..export.export import Exported, Format

QUANT_NAMES = ("f16", "q8_0", "q6_k", "q4_k_m", "q4_0")


@click.command(help=help_text("Take a run's model elsewhere: GGUF for llama.cpp and LM Studio, a folder for Ollama.",
                              "把训练好的模型带走：供 llama.cpp、LM Studio 用的 GGUF，或 Ollama 文件夹。"))  # fmt: skip
@run_argument
@click.option("--format", "kind", type=click.Choice(["gguf", "ollama"]), default="gguf", show_default=True,
              help=help_text("Files alone, or with a Modelfile.", "只要文件，或连同 Modelfile。"))  # fmt: skip
@click.option("--quant", "quants", type=click.Choice(QUANT_NAMES), multiple=True, default=("q8_0",), show_default=True,
              help=help_text("How many bits; may be repeated for gguf.", "量化位数；gguf 可重复。"))  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help=help_text("Where to (default: in the run).", "写到哪里（默认在运行目录里）。"))  # fmt: skip
@click.option("--no-check", is_flag=True,
              help=help_text("Do not compare it with the merged model.", "不与合并后的模型对比。"))  # fmt: skip
@click.option("--force", is_flag=True, help=help_text("Replace an earlier result.", "覆盖之前的结果。"))  # fmt: skip
@click.option("--dry-run", is_flag=True, help=help_text("Show the plan only.", "只显示计划。"))
@common_options
def export(
    context: Context, run_name: str | None, kind: Format, quants: tuple[str, ...], out: Path | None,
    no_check: bool, force: bool, dry_run: bool,
) -> None:  # fmt: skip
    from ..export import export as stage
    from ..export.formats import QUANTS, refuse_missing_llama_cpp
    from ..export.gguf_file import Identity, read_model
    from ..export.proof import compare_command, prove
    from ..serving.commands import shown
    from ..sharing.source import gate_text, read_source

    config, run, share = read(context, run_name)
    chosen = tuple(QUANTS[name] for name in dict.fromkeys(quants))
    if kind == "ollama" and len(chosen) > 1:
        raise UsageError(
            Text(f"A Modelfile has one FROM, and {len(chosen)} quants are named.", f"Modelfile 只能有一个 FROM，却指定了 {len(chosen)} 种量化。"),
            Text("Name one --quant for ollama.", "用 ollama 时只写一个 --quant。"),
        )  # fmt: skip
    source = read_source(config, run, "merged")
    identity = Identity(source.persona, source.base.licence, source.base.public, share.description)
    model = read_model(run.merged, identity)
    folder = out or (run.ollama if kind == "ollama" else run.gguf)
    wanted = stage.Wanted(kind, chosen, folder, config.serve.sampling, force)
    names = [stage.file_name(run, model, quant) for quant in chosen]
    if kind == "ollama":
        stage.ollama_files(
            model, config.serve.sampling, names[0]
        )  # what it refuses, it refuses here
    command = compare_command(
        run, [folder / name for name in names], context.config_file, context.sets
    )
    if dry_run:
        files = [
            {"path": str(folder / name), "bytes": stage.size_of(model, quant)}
            for name, quant in zip(names, chosen, strict=True)
        ]
        lines = [f"{one['path']}  ~{int(one['bytes']) / 1e6:.0f} MB" for one in files]  # type: ignore[call-overload]
        commands = [] if no_check else [command]
        context.result(
            {"run": run.name, "folder": str(folder), "files": files, "commands": commands},
            "\n".join([*lines, *map(shown, commands)]),
        )
        return
    refuse_missing_llama_cpp(chosen, proof=not no_check)
    if source.gate != "passed":
        said, _ = gate_text(source.gate)
        context.say(Text(f"{said.en} What fails before the export fails after it.",
                         f"{said.zh}导出前通不过的，导出后也通不过。"))  # fmt: skip
    context.say(
        Text(f"Reads {run.merged}, writes {folder}.", f"读取 {run.merged}，写入 {folder}。")
    )
    with TerminalProgress(context.quiet) as progress:

        def proof(files: Sequence[Path]) -> ExportReport:
            progress.close()
            return prove(
                compare_command(run, files, context.config_file, context.sets), context.quiet
            )

        done = stage.export(run, model, wanted, None if no_check else proof, progress)
    _finish(context, done, kind, run.name)


def _finish(context: Context, done: Exported, kind: Format, run_name: str) -> None:
    from assistant.records.export_report import as_text

    files = [
        {"path": str(file), "bytes": file.stat().st_size, "sha256": content_sha256(file)}
        for file in done.files
    ]
    report = done.report
    context.result(
        {"run": run_name, "folder": str(done.folder), "files": files,
         "check": report.model_dump(mode="json") if report else None},
        "\n".join(str(file) for file in done.files),
    )  # fmt: skip
    if report is not None:
        context.say(as_text(report))
    if report is not None and not report.passed:
        failed = FailedError(
            Text("An exported file lost more than it may.", "导出的文件损失超出允许范围。"),
            Text(f"Read {done.folder / 'report.md'}; more bits lose less: --quant q8_0 --force",
                 f"请看 {done.folder / 'report.md'}；位数越多损失越小：--quant q8_0 --force"),
        )  # fmt: skip
        report_error(failed, as_json=False)  # the one object on stdout is the result
        raise SystemExit(failed.exit_code)
    if kind == "ollama":
        context.say(Text(f"Next: cd {done.folder} && ollama create {done.files[0].stem.lower()} -f Modelfile",
                         f"下一步：cd {done.folder} && ollama create {done.files[0].stem.lower()} -f Modelfile"))  # fmt: skip
        return
    following = context.following(
        "python", "-m", "assistant", "ask", "--model", done.files[0], "Who are you?"
    )
    context.say(Text(f"Next: {following}", f"下一步：{following}"))
