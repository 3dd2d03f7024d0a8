"""The GGUF files of a run as part of what is shared, and what Ollama reads beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from assistant.artifacts import content_sha256, read_manifest
from assistant.config import SamplingTable
from assistant.errors import FailedError, UsageError
from assistant.persona import PERSONA_FILE
from assistant.records.export_report import EXPORT_REPORT_FILE, ExportReport
from assistant.run import MERGED
from assistant.words import Text

from ..export.export import STAGE, ollama_files
from ..export.gguf_file import Identity, read_model
from ..export.ollama import MODELFILE
from .plan import Blocker
from .source import Source

WeightsFormat = Literal["safetensors", "gguf"]
FORMATS: tuple[WeightsFormat, ...] = ("safetensors", "gguf")


@dataclass(frozen=True)
class SharedExport:
    """`files` go up as they lie there, `texts` are written; `report` None for no proof."""

    files: dict[str, Path]
    texts: dict[str, str]
    report: ExportReport | None

    def blockers(self, anyway: bool) -> list[Blocker]:
        """A file that was not proven stands against the sharing as a model that was not does."""
        if anyway or (self.report is not None and self.report.passed):
            return []
        said = (
            Text("The GGUF files were not compared with the merged model.", "GGUF 文件没有与合并后的模型对比。")
            if self.report is None
            else Text("A GGUF file lost more than it may.", "有 GGUF 文件损失超出允许范围。")
        )  # fmt: skip
        cure = Text("Export again: python -m deploy export --force. Or share it --anyway.",
                    "请重新导出：python -m deploy export --force。也可以用 --anyway 强行分享。")  # fmt: skip
        return [Blocker.of("export", FailedError(said, cure))]


def read_export(source: Source, sampling: SamplingTable) -> SharedExport:
    """What `deploy export` left in the run. Raises UsageError where it left nothing, or these are of
    other weights than those that lie there now."""
    folder = source.run.gguf
    if not folder.is_dir():
        raise UsageError(
            Text(f"There are no GGUF files to share: {folder} is missing.", f"没有可分享的 GGUF 文件：缺少 {folder}。"),
            Text("Make them: python -m deploy export", "先生成：python -m deploy export"),
        )  # fmt: skip
    manifest = read_manifest(folder)
    digests = manifest.notes.get("sha256", {})
    files = {name: folder / name for name in sorted(digests)}
    changed = [
        name for name, file in files.items()
        if not file.is_file() or content_sha256(file) != digests[name]
    ]  # fmt: skip
    if (
        manifest.stage != STAGE
        or not files
        or changed
        or not source.run.holds(MERGED, manifest.inputs)
    ):
        raise UsageError(
            Text(f"The GGUF files in {folder} are not of the merged model that lies there now.",
                 f"{folder} 里的 GGUF 文件不是由现在的合并模型导出的。"),
            Text("Export again: python -m deploy export --force", "请重新导出：python -m deploy export --force"),
        )  # fmt: skip
    licences = {file.name: file for file in sorted(source.folder.glob("LICEN[SC]E*"))}
    return SharedExport(
        {**files, **licences, PERSONA_FILE: folder / PERSONA_FILE},
        _beside(source, sampling),
        _report(folder / EXPORT_REPORT_FILE),
    )


def _beside(source: Source, sampling: SamplingTable) -> dict[str, str]:
    """`template`, `system` and `params`, where Ollama's language can say them."""
    try:
        model = read_model(source.folder, Identity(source.persona))
        texts = ollama_files(model, sampling, "")
    except UsageError:
        return {}
    return {name: text for name, text in texts.items() if name != MODELFILE}


def _report(file: Path) -> ExportReport | None:
    try:
        return ExportReport.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
