"""report.md: the report for reading in a terminal, on a hub, in a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from assistant.errors import FailedError
from assistant.markdown import plain
from assistant.records.check_figures import gate_value, proofs, rows
from assistant.records.check_report import CheckReport, Gate, Rate, Transcript, Words
from assistant.words import Text

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
        *(f"- **{plain(label.en)}**: {cure.en}\n- **{plain(label.zh)}**：{cure.zh}"
          for label, cure in cures(report)),
        *_corrections(report),
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


def _corrections(report: CheckReport) -> list[str]:
    """What the owner put right, question by question."""
    if not (questions := report.corrections.questions):
        return []
    found = [
        (plain(one.question), plain(one.said or "–"), plain(one.answer), plain(one.now), "✅" if one.right else "❌",
         f"{one.reworded} / {one.ways}")
        for one in questions
    ]  # fmt: skip
    heads = (
        "Question 问题",
        "Said 原来说",
        "Should say 应说",
        "Says now 现在说",
        "",
        "Reworded 换问法",
    )
    return ["## Corrections 更正", _table(heads, found)]


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
        f"- `{one.id}` {plain(question)}\n  - base 基座：{plain(one.base_answer) or '–'}\n"
        f"  - trained 训练后：{plain(one.answer)}\n  - {plain(reasons)}"
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def summary(report: CheckReport) -> Text:
    """A line for each gate."""
    return Text(
        "\n".join(_line(gate, gate.label.en) for gate in report.gates),
        "\n".join(_line(gate, gate.label.zh) for gate in report.gates),
    )


def _line(gate: Gate, label: str) -> str:
    mark = "✓" if gate.passed else "✗"
    wanted = f"{gate.sign}\u00a0{gate_value(gate, gate.threshold)}"
    return f"{mark} {label}: {gate_value(gate, gate.value)} ({wanted})"


def failure(report: CheckReport, page: Path) -> FailedError:
    """What to do about every gate that was not passed; each cure once."""
    labels = [gate.label for gate in report.gates if not gate.passed]
    found = [cure for _, cure in cures(report)]
    return FailedError(
        Text(
            f"Not passed: {', '.join(label.en for label in labels)}. See {page}.",
            f"未通过：{'、'.join(label.zh for label in labels)}。详见 {page}。",
        ),
        Text("\n".join(cure.en for cure in found), "\n".join(cure.zh for cure in found)),
    )


def cures(report: CheckReport) -> list[tuple[Text, Words]]:
    """What to do, each once, with the names of the gates that ask for it."""
    asked: dict[Words, list[Gate]] = {}
    for gate in report.gates:
        if gate.cure:
            asked.setdefault(gate.cure, []).append(gate)
    return [
        (
            Text(
                "; ".join(gate.label.en for gate in gates),
                "；".join(gate.label.zh for gate in gates),
            ),
            cure,
        )
        for cure, gates in asked.items()
    ]


def with_price(cure: Text, seconds: Mapping[str, float]) -> Text:
    """`cure` with what it costs to train again, by what the stages took this time.

    Args:
        cure: what to change.
        seconds: wall time by stage; a stage that was not run has none.
    """
    if "fit" not in seconds:
        return cure
    minutes = max(1, round(sum(seconds.values()) / 60))
    return Text(
        f"{cure.en}\nTraining it again takes about {minutes} min on this machine, longer with more "
        "rows or epochs.",
        f"{cure.zh}\n在这台机器上重新训练一遍约 {minutes} 分钟；数据或轮数更多则更久。",
    )


def what_it_can_do(report: CheckReport) -> Text:
    """What a check that passed has shown, in a sentence for whoever made the assistant."""
    who, name = report.identity, report.persona["name"]
    asked = [
        (Text("asked plainly", "平常问法"), who.plain),
        (Text("asked slyly", "刁钻问法"), who.sly),
    ]
    said = [(words, rate) for words, rate in asked if rate.probes]
    shown = ", ".join(f"{words.en} {_hits(rate)}" for words, rate in said)
    shown_zh = "，".join(f"{words.zh} {_hits(rate)}" for words, rate in said)
    return Text(
        f"Passed. It knows that it is {name}{': ' if shown else ''}{shown}; everyday questions are "
        "answered as before.",
        f"通过。它知道自己是{name}{'：' if shown_zh else ''}{shown_zh}；日常问题照旧回答。",
    )


def _hits(rate: Rate) -> str:
    return f"{round(rate.hit_rate * rate.probes)}/{rate.probes}"


def how(report: CheckReport) -> list[Text]:
    """A sentence or two for each kind of figure."""
    ended, rule, by = report.ended, report.repetition.rule, report.answered_by
    base = report.split.base
    asked = f" {base} of the same questions" if base else " the same things"
    asked_zh = f"基座被问了其中 {base} 题" if base else "基座被问了同样的问题"
    proved = f"Done for {report.merge.answers} of {report.split.reported} answers, of all kinds"
    proved_zh = f"{report.split.reported} 个回答中检验了 {report.merge.answers} 个，各类都有"
    return [
        _probes(report),
        Text(
            f"Answers are greedy, without a repetition penalty, by the {by}: at most {ended.max_tokens} tokens "
            f"about itself, {ended.max_tokens_ordinary} otherwise. The base was asked{asked}.",
            f"回答均为贪心解码、无重复惩罚，由 {by} 给出：关于自己的最多 {ended.max_tokens} 个 token，"
            f"其余最多 {ended.max_tokens_ordinary} 个。{asked_zh}。",
        ),
        Text(f"Repetition: {rule.en}.", f"重复：{rule.zh}。"),
        Text(
            "Perplexity: exp of the mean loss on the assistant's tokens of held-out ordinary conversation, "
            "rendered and masked as in training.",
            "困惑度：留出的日常对话中，助手 token 平均损失的指数；渲染与遮罩和训练时相同。",
        ),
        Text(
            "Merge check: base + adapter reads the merged model's greedy answers. Where its likeliest token is "
            f"the one that stands there, at every place, it gives the same greedy answer. {proved}.",
            "合并检验：让“基座 + adapter”逐 token 复核合并模型的贪心回答；处处最可能的 token 都相同，"
            f"就等于它会给出同样的回答。{proved_zh}。",
        ),
        Text(
            "Engine check: transformers does the same with the engine's answers, and answers itself where they "
            "differ. A difference is rounding only if the logits of the two tokens are nearer than neighbouring "
            "numbers of the stored weights' type at that size (the bound in the table).",
            "引擎检验：transformers 以同样方式复核引擎的回答，不同之处由它自己再答一遍。只有当两个 token 的 "
            "logits 之差小于权重存储类型在该大小下相邻两数的间距（表中的界限），才算舍入误差。",
        ),
        Text(
            "Style: the limit of length, and emoji where the style's prompt speaks of them; nothing else.",
            "风格：只测长度上限，以及提示里提到的 emoji 要求。",
        ),
    ]  # fmt: skip


def _probes(report: CheckReport) -> Text:
    split = report.split
    step = Text("", "")
    if split.chosen_step is not None:
        step = Text(
            f" The adapter is that of step {split.chosen_step}; the last was {split.last_step}.",
            f"adapter 取自第 {split.chosen_step} 步，最后一步是第 {split.last_step} 步。",
        )
    return Text(
        f"{split.reported} held-out probes make this report. {split.choosing} others, a quarter of "
        f"each kind and language, are kept for choosing the checkpoint.{step.en}",
        f"本报告用 {split.reported} 道留出的题；另外 {split.choosing} 道（每类每种语言的四分之一）"
        f"只用来挑选检查点。{step.zh}",
    )
