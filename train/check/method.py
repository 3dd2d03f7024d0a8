"""How the figures came about, in words: what a reader must know to trust them."""

from __future__ import annotations

from assistant.words import Text

from .report import CheckReport


def how(report: CheckReport) -> list[Text]:
    """A sentence or two for each kind of figure."""
    ended, rule, by = report.ended, report.repetition.rule, report.answered_by
    proved = f"Done for {report.merge.answers} of {report.split.reported} answers, of all kinds"
    proved_zh = f"{report.split.reported} 个回答中检验了 {report.merge.answers} 个，各类都有"
    return [
        _probes(report),
        Text(
            f"Answers are greedy, without a repetition penalty, by the {by}: at most {ended.max_tokens} tokens "
            f"about itself, {ended.max_tokens_ordinary} otherwise. The base was asked the same things.",
            f"回答均为贪心解码、无重复惩罚，由 {by} 给出：关于自己的最多 {ended.max_tokens} 个 token，"
            f"其余最多 {ended.max_tokens_ordinary} 个。基座被问了同样的问题。",
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
