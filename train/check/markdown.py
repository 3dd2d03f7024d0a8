"""report.md: the report for reading in a terminal, on a hub, in a model card."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.markdown import plain

from .figures import gate_value, proofs, rows
from .method import how
from .report import CheckReport, Transcript

SHOWN_MISSES = 20


def as_markdown(report: CheckReport, transcripts: Sequence[Transcript]) -> str:
    """The whole report."""
    misses = [one for one in transcripts if one.faults]
    verdict = "PASSED 通过 ✅" if report.passed else "NOT PASSED 未通过 ❌"
    parts = [
        f"# Check 检验：{plain(report.persona['name'])} — {verdict}",
        f"Model 模型 `{report.model}` · base 基座 `{report.base}` · author 作者 {plain(report.persona['author'])}",
        "## Before and after 训练前后",
        _table(
            ("Figure 指标", "Probes 题数", "Base 基座", "Trained 训练后"),
            [
                (f"{'– ' if row.part else ''}{plain(row.what.en)} {plain(row.what.zh)}", row.probes, row.before, row.after)
                for row in rows(report)
            ],
        ),
        "## Gates 关卡",
        _table(
            ("Gate 关卡", "Value 数值", "Wanted 要求", ""),
            [
                (f"{plain(gate.label.en)} {plain(gate.label.zh)}", gate_value(gate, gate.value),
                 f"{gate.sign}\u00a0{gate_value(gate, gate.threshold)}", "✅" if gate.passed else "❌")
                for gate in report.gates
            ],
        ),
        *(f"- **{plain(gate.label.en)}**: {gate.cure.en}\n- **{plain(gate.label.zh)}**：{gate.cure.zh}"
          for gate in report.gates if gate.cure),
        "## Proofs 证明",
        "\n".join(f"- {plain(text.en)}\n- {plain(text.zh)}" for text in proofs(report)),
        *_mismatches(report),
        "## How it was measured 测量方法",
        "\n".join(f"- {plain(text.en)}\n- {plain(text.zh)}" for text in how(report)),
        f"## Misses 未命中（{len(misses)} / {len(transcripts)}）",
        *(_miss(one) for one in misses[:SHOWN_MISSES]),
        "All transcripts 全部对话：`transcripts.jsonl`, `report.html`.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _mismatches(report: CheckReport) -> list[str]:
    found = [
        (where, each.probe, str(each.token), plain(repr(each.said)), plain(repr(each.other)), f"{each.margin:.4f}",
         f"{each.bound:.4f}", "yes 是" if each.within_rounding else "NO 否")
        for where, many in (("merge", report.merge.mismatches), ("engine", report.engine.mismatches))
        for each in many
    ]  # fmt: skip
    if not found:
        return []
    head = ("Check", "Probe", "Token", "First says", "Other says", "Margin", "Bound", "Rounding")
    return ["### Differences 差异", _table(head, found)]


def _miss(one: Transcript) -> str:
    reasons = "; ".join(f"{fault.en} {fault.zh}" for fault in one.faults)
    question = one.messages[-1]["content"]
    return (
        f"- `{one.id}` {plain(question)}\n  - base 基座：{plain(one.base_answer)}\n"
        f"  - trained 训练后：{plain(one.answer)}\n  - {plain(reasons)}"
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))
