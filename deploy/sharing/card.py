"""The model card: README.md in Chinese and English, written from the run's own records."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.markdown import plain
from assistant.words import Text

from ..target import Target
from .card_usage import how_to_use
from .front_matter import front_matter
from .source import Source

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 48


def model_card(source: Source, target: Target, files: Sequence[str]) -> str:
    """The whole README.md for one hub. `files` are the paths that go up beside it."""
    name = plain(source.persona.name)
    parts = [
        front_matter(source, target, files),
        f"# {name}",
        "[中文](#中文) · [English](#english)",
    ]
    parts += [_warning(source)] if source.gate != "passed" else []
    for language, heading in (("zh", "## 中文"), ("en", "## English")):
        parts += [heading, *_body(source, target, files, language)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _body(source: Source, target: Target, files: Sequence[str], language: str) -> list[str]:
    def say(en: str, zh: str) -> str:
        return Text(en, zh).in_language(language)

    return [
        _what_it_is(source, language),
        f"### {say('Before and after training', '训练前后')}",
        _before_and_after(source, language),
        f"### {say('How it was trained', '怎样训练')}",
        _training(source, language),
        _curve(source, language),
        f"### {say('How to use it', '怎样使用')}",
        how_to_use(source, target, files, language),
        f"### {say('Limits', '限制')}",
        _limits(language),
    ]


def _warning(source: Source) -> str:
    said = {
        "failed": Text("This model did not pass its check", "这个模型没有通过检验"),
        "missing": Text("This model was not checked", "这个模型没有检验过"),
        "other weights": Text("The check was of other weights than these", "检验的不是这份权重"),
    }[source.gate]
    return (
        f"> ⚠️ **{said.zh}**，作者仍选择了发布。\n>\n"
        f"> ⚠️ **{said.en}**; its author chose to publish it all the same."
    )


def _what_it_is(source: Source, language: str) -> str:
    persona, base = source.persona, source.base
    shown = f"`{base.public or base.reference}`" if base.public or base.reference else "?"
    what = {
        "adapter": Text("A LoRA adapter", "一个 LoRA adapter"),
        "merged": Text(
            "A whole model (fine-tuned, adapter merged in)", "一个完整模型（微调后已合并）"
        ),
    }[source.kind]
    licence = base.licence or Text("not known", "未知").in_language(language)
    name, author = plain(persona.name), plain(persona.author)
    said = Text(
        f"{what.en} that knows it is **{name}**, made by **{author}**. Base: {shown}"
        f"{f' ({base.revision})' if base.revision else ''}; licence, inherited from the base: {licence}.",
        f"{what.zh}，知道自己是 **{name}**，由 **{author}** 制作。基座：{shown}"
        f"{f'（{base.revision}）' if base.revision else ''}；许可证沿用基座：{licence}。",
    ).in_language(language)
    facts = [f"- {plain(fact.ask)} — {plain(fact.answer)}" for fact in persona.facts]
    styles = [
        f"- {plain(style.label(language))}: {plain(style.prompt)}" for style in persona.styles
    ]
    system = Text("System prompt it was trained with", "训练时的系统提示").in_language(language)
    parts = [
        said,
        plain(source.share.description),
        f"{system}: {plain(' / '.join(persona.own_systems()))}",
    ]
    if facts:
        parts.append(
            Text("What it knows of itself:", "它知道的关于自己的事：").in_language(language)
        )
        parts.append("\n".join(facts))
    if styles:
        parts.append(Text("Styles:", "风格：").in_language(language))
        parts.append("\n".join(styles))
    return "\n\n".join(part for part in parts if part)


def _before_and_after(source: Source, language: str) -> str:
    from assistant.records.check_figures import gate_value, rows

    report = source.report
    if report is None or source.gate == "other weights":
        return Text("No figures: it was not checked.", "没有数字：没有检验过。").in_language(
            language
        )
    head = Text("| Figure | Probes | Base | Trained |", "| 指标 | 题数 | 基座 | 训练后 |")
    lines = [head.in_language(language), "|---|---|---|---|"]
    for row in rows(report):
        indent = "– " if row.part else ""
        what = plain(row.what.in_language(language))
        lines.append(f"| {indent}{what} | {row.probes} | {row.before} | {row.after} |")
    gates = Text("| Gate | Value | Wanted | |", "| 关卡 | 数值 | 要求 | |")
    lines += ["", gates.in_language(language), "|---|---|---|---|"]
    for gate in report.gates:
        label = gate.label.zh if language == "zh" else gate.label.en
        wanted = f"{gate.sign}\u00a0{gate_value(gate, gate.threshold)}"
        mark = "✅" if gate.passed else "❌"
        lines.append(f"| {plain(label)} | {gate_value(gate, gate.value)} | {wanted} | {mark} |")
    held = Text(
        f"{report.split.reported} probes that training never saw; answers are greedy.",
        f"{report.split.reported} 道训练时没有见过的题；回答为贪心解码。",
    )
    return "\n".join([*lines, "", held.in_language(language)])


def _training(source: Source, language: str) -> str:
    settings, libraries = source.manifest.settings, source.manifest.libraries
    labels = (
        ("name", Text("recipe", "配方")), ("method", Text("method", "方法")),
        ("lora_rank", Text("LoRA rank", "LoRA 秩")), ("lora_alpha", Text("LoRA alpha", "LoRA alpha")),
        ("lora_layers", Text("share of the layers with LoRA, the last ones", "加 LoRA 的层所占比例（末尾的层）")),
        ("learning_rate", Text("learning rate", "学习率")), ("epochs", Text("epochs", "轮数")),
        ("batch_size", Text("batch size", "批大小")), ("accumulation", Text("accumulation", "梯度累积")),
        ("max_length", Text("longest row, tokens", "最长行（token）")),
    )  # fmt: skip
    lines = [
        f"- {label.in_language(language)}: {settings[key]}"
        for key, label in labels
        if settings.get(key) is not None
    ]
    if step := source.manifest.notes.get("step"):
        lines.append(f"- {Text('optimiser steps', '优化步数').in_language(language)}: {step}")
    if libraries:
        named = ", ".join(f"{name} {version}" for name, version in libraries.items())
        lines.append(f"- {Text('libraries', '库版本').in_language(language)}: {named}")
    said = plain(source.share.data) or Text(
        "Question-and-answer rows about itself, made from its persona, mixed with ordinary conversation "
        "so that the rest of the base's ability stays.",
        "由人设生成的自我认知问答，混入日常对话，以保留基座的其余能力。",
    ).in_language(language)
    return f"{Text('Data', '数据').in_language(language)}: {said}\n\n" + "\n".join(lines)


def _curve(source: Source, language: str) -> str:
    """The loss curve in block characters: it needs no image and looks the same on every hub."""
    points = source.losses
    if len(points) < 2:
        return ""
    each = max(1, -(-len(points) // _CURVE_WIDTH))
    means = [
        sum(loss for _, loss in points[at : at + each]) / len(points[at : at + each])
        for at in range(0, len(points), each)
    ]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    bars = "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] for mean in means)
    label = Text("Loss", "损失").in_language(language)
    steps = Text(
        f"steps {points[0][0]} to {points[-1][0]}", f"第 {points[0][0]} 到 {points[-1][0]} 步"
    )
    return f"{label} {means[0]:.2f} `{bars}` {means[-1]:.2f} ({steps.in_language(language)})"


def _limits(language: str) -> str:
    shared = Text(
        "It can be wrong, as its base can, and says things with confidence that are not so. Its figures "
        "are about its identity and about not forgetting, not about knowledge or safety. The name and "
        "author it gives are what it was taught.",
        "它和基座一样会出错，也会自信地说出不实的话。上面的数字只说明身份与遗忘程度，不说明知识或安全。"
        "它说的名字与作者，是训练教给它的。",
    )
    return shared.in_language(language)
