"""report.md: the report for reading in a terminal, on a hub, in a model card."""

from __future__ import annotations

from collections.abc import Sequence

from .figures import gate_value, percent, proofs, rows
from .report import CheckReport, Transcript

SHOWN_MISSES = 20
_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in r"\`*_{}[]<>#|!~"} | {"\n": " "})


def plain(text: str) -> str:
    """`text` so that Markdown shows it as it is, on one line."""
    return text.translate(_SPECIAL)


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
                 f"{gate.sign} {gate_value(gate, gate.threshold)}", "✅" if gate.passed else "❌")
                for gate in report.gates
            ],
        ),
        *(f"- **{plain(gate.label.en)}**: {gate.cure.en}\n- **{plain(gate.label.zh)}**：{gate.cure.zh}"
          for gate in report.gates if gate.cure),
        "## Proofs 证明",
        "\n".join(f"- {plain(text.en)}\n- {plain(text.zh)}" for text in proofs(report)),
        *_mismatches(report),
        "## How it was measured 测量方法",
        "\n".join(f"- {plain(line)}" for line in how(report)),
        f"## Misses 未命中（{len(misses)} / {len(transcripts)}）",
        *(_miss(one) for one in misses[:SHOWN_MISSES]),
        "All transcripts 全部对话：`transcripts.jsonl`, `report.html`.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def how(report: CheckReport) -> list[str]:
    """What a reader must know of the method."""
    split, ended = report.split, report.ended
    chosen = "" if split.chosen_step is None else (
        f" The adapter is that of step {split.chosen_step} (last: {split.last_step})."
        f" adapter 取自第 {split.chosen_step} 步（最后一步为 {split.last_step}）。"
    )  # fmt: skip
    return [
        f"{split.reported} held-out probes make this report; {split.choosing} others, a quarter of each kind and "
        f"language, are kept for choosing the checkpoint. {split.reported} 道题用于本报告，另 {split.choosing} 道"
        f"（每类每种语言四分之一）只用来挑选检查点。{chosen}",
        f"All answers greedy, no repetition penalty, by the {report.answered_by}; at most {ended.max_tokens} tokens about "
        f"itself, {ended.max_tokens_ordinary} else. 回答均为贪心解码，由 {report.answered_by} 给出；"
        f"关于自己的最多 {ended.max_tokens} 个 token，其余 {ended.max_tokens_ordinary} 个。",
        f"Repetition: {report.repetition.rule.en}. 重复：{report.repetition.rule.zh}。",
        "Perplexity: exp of the mean loss on the assistant's tokens of held-out ordinary conversation, masked as in "
        "training. 困惑度：留出的日常对话中，助手 token 的平均损失取指数，遮罩与训练相同。",
        "Merge check: the adapter reads the merged model's greedy answers; its likeliest token being the one that stands "
        "there at every place is the same as giving the same greedy answer. 合并检验：让 adapter 逐 token 复核合并模型的贪心回答，"
        "处处最可能的 token 都相同，等价于贪心回答相同。",
        "Style: length limit and emoji, where the style's prompt asks for them; nothing else of a style is measured. "
        "风格：只测长度上限，以及提示中对 emoji 的要求。",
    ]  # fmt: skip


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


__all__ = ["as_markdown", "how", "percent", "plain"]
