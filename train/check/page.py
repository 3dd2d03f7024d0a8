"""report.html: one file that needs nothing else, in both languages, on a phone and in the dark.

Whatever comes from a model, a probe or a persona goes through `text`, which escapes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape as text
from importlib import resources

from assistant.records.check_figures import KINDS, gate_value, proofs, rows
from assistant.records.check_report import CheckReport, Mismatch, Transcript, Words
from assistant.words import Text

from .markdown import cures, how

PASSED = Text("Passed", "通过")
FAILED = Text("Not passed", "未通过")


def as_html(report: CheckReport, transcripts: Sequence[Transcript], curve: str) -> str:
    """The whole page. `curve` is an inline SVG, or empty."""
    name = text(report.persona["name"])
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(
        [
            *_head(report),
            *_cures(report),
            _heading("Before and after", "训练前后"),
            _figures(report),
            _heading("Gates", "关卡"),
            _gates(report),
            *_corrections(report),
            *([_heading("Loss", "损失曲线"), curve] if curve else []),
            _heading("Proofs", "证明"),
            "<ul>" + "".join(f"<li>{_both(proof)}</li>" for proof in proofs(report)) + "</ul>",
            *_mismatches(report),
            _heading("Transcripts", "对话记录"),
            *_transcripts(transcripts),
            _heading("How it was measured", "测量方法"),
            "<ul>" + "".join(f"<li>{_both(line)}</li>" for line in how(report)) + "</ul>",
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name} – check 检验</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _both(words: Text | Words) -> str:
    """Both languages, escaped, each marked as what it is."""
    return f'<span lang="en">{text(words.en)}</span> <span lang="zh">{text(words.zh)}</span>'


def _heading(en: str, zh: str) -> str:
    return f"<h2>{_both(Text(en, zh))}</h2>"


def _head(report: CheckReport) -> list[str]:
    kind, words = ("good", PASSED) if report.passed else ("bad", FAILED)
    count = sum(gate.passed for gate in report.gates)
    return [
        f"<h1>{text(report.persona['name'])} · {_both(Text('check', '检验'))}</h1>",
        f'<p class="sub">{text(report.model)} · base 基座 {text(report.base)} · '
        f"author 作者 {text(report.persona['author'])}</p>",
        f'<p><span class="verdict {kind}">{words.en} {words.zh} · {count}/{len(report.gates)}</span></p>',
    ]


def _cures(report: CheckReport) -> list[str]:
    return [
        f'<div class="cure"><p><strong>{text(label.en)}</strong><br>'
        f"<strong lang='zh'>{text(label.zh)}</strong></p>"
        f"<p>{text(cure.en)}</p><p lang='zh'>{text(cure.zh)}</p></div>"
        for label, cure in cures(report)
    ]


def _figures(report: CheckReport) -> str:
    head = (
        '<tr><th>Figure 指标</th><th class="n">Probes 题数</th><th class="n">Base 基座</th>'
        '<th class="n">Trained 训练后</th></tr>'
    )
    lines = "".join(
        f'<tr{" class=part" if row.part else ""}><td>{_both(row.what)}</td><td class="n">{text(row.probes)}</td>'
        f'<td class="n">{text(row.before)}</td><td class="n">{text(row.after)}</td></tr>'
        for row in rows(report)
    )
    return f'<div class="wide"><table>{head}{lines}</table></div>'


def _gates(report: CheckReport) -> str:
    head = (
        '<tr><th>Gate 关卡</th><th class="n">Value 数值</th><th class="n">Wanted 要求</th>'
        '<th class="n"></th></tr>'
    )
    lines = "".join(
        f'<tr><td>{_both(gate.label)}</td><td class="n">{text(gate_value(gate, gate.value))}</td>'
        f'<td class="n">{text(gate.sign)}\u00a0{text(gate_value(gate, gate.threshold))}</td>'
        f'<td class="n {"good" if gate.passed else "bad"}">{"✓" if gate.passed else "✗"}</td></tr>'
        for gate in report.gates
    )
    return f'<div class="wide"><table>{head}{lines}</table></div>'


def _corrections(report: CheckReport) -> list[str]:
    """What the owner put right: said then, to be said, said now."""
    if not (questions := report.corrections.questions):
        return []
    head = "".join(
        f"<th>{_both(words)}</th>"
        for words in (
            Text("Question", "问题"), Text("It said", "原来说"), Text("It should say", "应说"),
            Text("It says now", "现在说"), Text("Reworded", "换个问法"),
        )
    )  # fmt: skip
    lines = "".join(
        f"<tr><td>{text(one.question)}</td><td>{text(one.said or '–')}</td><td>{text(one.answer)}</td>"
        f'<td class="{"good" if one.right else "bad"}">{"✓" if one.right else "✗"} {text(one.now)}</td>'
        f'<td class="n">{one.reworded} / {one.ways}</td></tr>'
        for one in questions
    )
    return [
        _heading("Corrections", "更正"),
        f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>',
    ]


def _mismatches(report: CheckReport) -> list[str]:
    both = [("merge", one) for one in report.merge.mismatches]
    both += [("engine", one) for one in report.engine.mismatches]
    if not both:
        return []
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "Check 检验",
            "Probe 题",
            "Token",
            "Says 说",
            "Other 另一个",
            "Margin 差距",
            "Bound 界限",
            "",
        )
    )
    lines = "".join(_mismatch(where, one) for where, one in both)
    summary = _both(Text(f"Differences ({len(both)})", f"差异（{len(both)}）"))
    return [
        f'<details><summary>{summary}</summary><div class="wide"><table><tr>{head}</tr>{lines}'
        "</table></div></details>"
    ]


def _mismatch(where: str, one: Mismatch) -> str:
    cells = (
        where, one.probe, str(one.token), repr(one.said), repr(one.other), f"{one.margin:.4f}",
        f"{one.bound:.4f}", "rounding 舍入" if one.within_rounding else "NOT rounding 非舍入",
    )  # fmt: skip
    return "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in cells) + "</tr>"


def _transcripts(transcripts: Sequence[Transcript]) -> list[str]:
    """Misses first and open, then every kind of probe, closed."""
    missed = [one for one in transcripts if one.faults]
    groups: dict[str, list[Transcript]] = defaultdict(list)
    for one in transcripts:
        groups[one.kind].append(one)
    parts = []
    if missed:
        parts.append(
            _group(Text(f"Misses ({len(missed)})", f"未命中（{len(missed)}）"), missed, "open")
        )
    for kind, many in groups.items():
        good, label = sum(not one.faults for one in many), KINDS.get(kind, Text(kind, kind))
        count = f"{good}/{len(many)}"
        words = Text(f"{label.en[:1].upper()}{label.en[1:]} {count}", f"{label.zh} {count}")
        parts.append(_group(words, many))
    return parts


def _group(label: Text, many: Sequence[Transcript], state: str = "") -> str:
    inner = "".join(map(_one, many))
    return f"<details {state}><summary>{_both(label)}</summary>{inner}</details>"


def _one(one: Transcript) -> str:
    kind, mark = ("bad", "✗ miss 未命中") if one.faults else ("good", "✓ hit 命中")
    more = [] if one.ended else ["cut off 未结束"]
    more += ["repeats 重复"] if one.repeats else []
    tags = "".join(f'<span class="tag">{word}</span>' for word in more)
    said = "".join(_line(message["role"], message["content"]) for message in one.messages)
    faults = "".join(f'<p class="bad">{_both(fault)}</p>' for fault in one.faults)
    return (
        f'<div class="one"><p><span class="tag {kind}">{mark}</span>{tags}'
        f'<span class="id">{text(one.id)} · {text(one.kind)} · {text(one.language)}'
        f"{' · ' + text(one.style) if one.style else ''}</span></p>"
        f"{said}{_line('base 基座', one.base_answer or '–')}{_line('trained 训练后', one.answer)}{faults}</div>"
    )


def _line(who: str, what: str) -> str:
    return f'<p><span class="who">{text(who)}</span>{text(what)}</p>'
