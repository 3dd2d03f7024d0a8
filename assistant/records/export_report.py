"""The report of an export: what each file says to the check's probes, beside the merged model."""

from __future__ import annotations

from assistant.words import Text

from .check_figures import percent
from .check_report import Mismatch, Part, Prompts, Words

EXPORT_REPORT_FILE = "report.json"


class Beside(Part):
    """A share of some probes' answers, of the file and of the merged model."""

    probes: int
    rate: float
    merged_rate: float


class FileFigures(Part):
    """One file. `equal` of the `answers` are the merged model's own, word for word; `mismatches` are
    looked at for unquantised files alone, and so is `within_rounding`."""

    file: str
    size: int
    file_type: int  # of gguf.LlamaFileType
    identity: Beside
    false_trigger: Beside
    ended: Beside
    equal: int
    answers: int
    within_rounding: int | None
    mismatches: list[Mismatch]
    prompts: Prompts
    perplexity: float
    merged_perplexity: float
    change_percent: float
    seconds: float
    faults: list[Words]  # what is more than may be lost; nothing for a file that passed

    @property
    def passed(self) -> bool:
        return not self.faults


class ExportReport(Part):
    """report.json of an export."""

    model: str
    engine: str
    files: list[FileFigures]
    passed: bool


def as_text(report: ExportReport) -> Text:
    """The figures as a table."""
    return Text(_table(report, "en"), _table(report, "zh"))


def as_markdown(report: ExportReport) -> str:
    """The figures as a file in both languages."""
    table = as_text(report)
    return f"{table.zh}\n\n{table.en}\n"


def _table(report: ExportReport, language: str) -> str:
    def say(en: str, zh: str) -> str:
        return Text(en, zh).in_language(language)

    head = say(
        "| File | MB | Says who it is | Names itself unasked | Ends its answers | Answers as the merged model's | Perplexity | |",
        "| 文件 | MB | 说得出自己是谁 | 无故自报姓名 | 回答会结束 | 与合并模型相同的回答 | 困惑度 | |",
    )  # fmt: skip
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    if report.files:
        first = report.files[0]
        lines.append(
            f"| {say('merged model', '合并模型')} | | {percent(first.identity.merged_rate)} | "
            f"{percent(first.false_trigger.merged_rate)} | {percent(first.ended.merged_rate)} | | "
            f"{first.merged_perplexity:.3f} | |"
        )
    for one in report.files:
        rounded = ""
        if one.within_rounding:
            rounded = say(
                f" ({one.within_rounding} more within rounding)", f"（另 {one.within_rounding} 条在舍入误差内）"
            )  # fmt: skip
        lines.append(
            f"| {one.file} | {one.size / 1e6:.1f} | {percent(one.identity.rate)} | "
            f"{percent(one.false_trigger.rate)} | {percent(one.ended.rate)} | "
            f"{one.equal}/{one.answers}{rounded} | {one.perplexity:.3f} ({one.change_percent:+.2f}\u00a0%) | "
            f"{'✅' if one.passed else '❌'} |"
        )
    faults = [
        f"- {one.file}: {fault.zh if language == 'zh' else fault.en}"
        for one in report.files
        for fault in one.faults
    ]
    note = say(
        f"{report.model}, asked through {report.engine}, greedy; the probes are the check's, never trained on.",
        f"{report.model}，经 {report.engine} 以贪心解码作答；题目来自检验，训练时没有见过。",
    )  # fmt: skip
    return "\n".join([*lines, "", *faults, *([""] if faults else []), note])
