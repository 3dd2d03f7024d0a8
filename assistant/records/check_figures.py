"""The report's figures as rows for reading: one list, shown as Markdown and as a page."""

from __future__ import annotations

from typing import NamedTuple

from assistant.words import Text

from .check_report import CheckReport, Gate, Rate, Share, WeightsCheck

KINDS = {
    "identity": Text("who it is", "它是谁"),
    "author": Text("who made it", "谁做的"),
    "base": Text("what it is built on", "基于什么"),
    "leading": Text("leading questions", "诱导提问"),
    "mid": Text("mid-conversation", "对话中途"),
    "fact": Text("its own facts", "关于自己的事"),
    "ordinary": Text("ordinary questions", "日常问题"),
    "style": Text("styles", "风格"),
    "corrected": Text("corrected questions", "更正过的问题"),
    "reworded": Text("corrected questions, reworded", "更正过的问题（换个问法）"),
}
LANGUAGES = {"zh": Text("in Chinese", "中文"), "en": Text("in English", "英文")}


class FigureRow(NamedTuple):
    """One figure: what, of how many, before, after; `part` for a breakdown of the row above."""

    what: Text
    probes: str
    before: str
    after: str
    part: bool = False


def percent(share: float | None) -> str:
    """A share as 98.4 %; whole ones without decimals."""
    if share is None:
        return "–"
    shown = f"{100 * share:.1f}".removesuffix(".0")
    return f"{shown}\u00a0%"


def rows(report: CheckReport) -> list[FigureRow]:
    """All figures that have a before and an after."""
    who, ended = report.identity, report.ended
    found = [
        FigureRow(Text("Says who it is", "说得出自己是谁"), str(who.probes), percent(who.base_hit_rate),
            percent(who.hit_rate)),
        *(_rate(what, rate) for what, rate in ((Text("asked plainly", "平常问法"), who.plain),
            (Text("asked slyly", "刁钻问法"), who.sly)) if rate.probes),
        *(_part(KINDS.get(kind, Text(kind, kind)), share) for kind, share in who.by_kind.items()),
        *(_part(LANGUAGES.get(name, Text(name, name)), share) for name, share in who.by_language.items()),
        _share(Text("Names itself on ordinary questions", "日常问题中无故自报姓名"), report.false_trigger),
        FigureRow(Text("Perplexity of ordinary conversation", "日常对话的困惑度"), str(report.general.conversations),
            f"{report.general.base_perplexity:.3f}",
            f"{report.general.perplexity:.3f} ({report.general.change_percent:+.2f}\u00a0%)"),
        _share(Text("Ends answers about itself", "关于自己的回答会结束"), ended.identity),
        _share(Text("Ends ordinary answers", "日常回答会结束"), ended.ordinary),
        FigureRow(Text("Repeats itself", "重复"), str(report.split.reported), percent(report.repetition.base_rate),
            percent(report.repetition.rate)),
        FigureRow(Text("Placeholders said aloud", "说出占位符"), str(report.split.reported), "–",
            str(report.placeholder_leaks)),
    ]  # fmt: skip
    corrected = [(Text("Corrected questions, as asked", "更正过的问题（原样）"), report.corrections.asked),
                 (Text("Corrected questions, reworded", "更正过的问题（换个问法）"), report.corrections.reworded)]  # fmt: skip
    found += [_rate(what, rate, part=False) for what, rate in corrected if rate.probes]
    for name, style in report.style.items():
        base, base_zh = (
            (", base by prompt", "，基座按 prompt") if style.asked_by == "trigger" else ("", "")
        )
        limit = f", ≤ {style.max_chars}" if style.max_chars else ""
        limit_zh = f"，≤ {style.max_chars} 字" if style.max_chars else ""
        found.append(
            FigureRow(Text(f"Style {name} (by {style.asked_by}{base}{limit})", f"风格 {name}（按 {style.asked_by}{base_zh}{limit_zh}）"),
                str(style.probes), percent(style.base_rate), percent(style.rate))
        )  # fmt: skip
    return found


def _share(what: Text, share: Share) -> FigureRow:
    return FigureRow(what, str(share.probes), percent(share.base_rate), percent(share.rate))


def _part(what: Text, share: Share) -> FigureRow:
    return FigureRow(
        what, str(share.probes), percent(share.base_rate), percent(share.rate), part=True
    )


def _rate(what: Text, rate: Rate, part: bool = True) -> FigureRow:
    """A hit rate with its interval; the base's is in the rows by kind."""
    low = percent(rate.low).removesuffix("\u00a0%")
    interval = f"{low}\u2013{percent(rate.high)}"
    return FigureRow(
        what, str(rate.probes), "", f"{percent(rate.hit_rate)} ({interval})", part=part
    )


def gate_value(gate: Gate, value: float) -> str:
    """A gate's value or threshold in the unit that its name has."""
    if gate.name in ("placeholder_leaks", "merge_weights"):
        return f"{value:.0f}"
    if gate.name == "perplexity":
        return f"{value:.2f}"
    return percent(value)


def proofs(report: CheckReport) -> list[Text]:
    """The merge and engine checks in words."""
    merge, engine = report.merge, report.engine
    numbers = f"{merge.max_logit_difference:.4f}"
    return [
        Text(
            f"Merge: {percent(merge.greedy_match)} of {merge.answers} answers ({merge.tokens} tokens) are the "
            f"same from the adapter on the base and from the merged model, computed in {merge.dtype}; "
            f"{percent(merge.within_rounding)} differ within rounding. Largest logit difference "
            f"{numbers} (own tokens everywhere, the whole vocabulary at {merge.whole_vocabulary_at} places).",
            f"合并：{merge.answers} 个回答（{merge.tokens} 个 token）中，{percent(merge.greedy_match)} "
            f"与“基座 + adapter”完全一致（以 {merge.dtype} 计算）；{percent(merge.within_rounding)} 在舍入误差内。"
            f"logits 最大差 {numbers}（回答的 token 全部比较，{merge.whole_vocabulary_at} 处比较整个词表）。",
        ),
        _weights(merge.weights),
        Text(
            f"Engine {engine.name} ({engine.device}): {percent(engine.greedy_match)} of {engine.answers} answers "
            f"are transformers' own ({engine.dtype}); {percent(engine.within_rounding)} differ within rounding. "
            f"Prompts equal by {engine.prompts.by}: {engine.prompts.equal} of {engine.prompts.compared}.",
            f"引擎 {engine.name}（{engine.device}）：{engine.answers} 个回答中 {percent(engine.greedy_match)} "
            f"与 transformers（{engine.dtype}）一致；{percent(engine.within_rounding)} 在舍入误差内。"
            f"提示相同（按 {engine.prompts.by}）：{engine.prompts.equal} / {engine.prompts.compared}。",
        ),
    ]  # fmt: skip


def _weights(weights: WeightsCheck | None) -> Text:
    if weights is None:
        return Text(
            "Weights: quantised, so not compared with base + adapter one by one: the check of the 16-bit run does that.",
            "权重：已量化，因此不逐个与基座 + adapter 比较；那是 16 位运行的检验所做的。",
        )  # fmt: skip
    steps = weights.max_rounding_steps
    return Text(
        f"Weights: {weights.tensors} tensors, {weights.adapted} of them changed by the adapter; "
        + (f"every weight is base + adapter within {steps:.2f} rounding steps of its own numbers."
           if weights.proven else f"NOT explained: {', '.join(weights.unexplained)}."),
        f"权重：共 {weights.tensors} 个张量，其中 {weights.adapted} 个被 adapter 改动；"
        + (f"每个权重都等于基座 + adapter，误差不超过 {steps:.2f} 个舍入步。"
           if weights.proven else f"无法解释：{'、'.join(weights.unexplained)}。"),
    )  # fmt: skip
