"""Before and after, for the terminal: what went in red, what came in green."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import click

from assistant.outside import in_line
from assistant.words import Text

from . import REMOVING, Change, CleanReport
from .rules import RULES

_SAID = {rule.name: rule.says for rule in RULES} | REMOVING
LONGEST = 2000  # characters of a text that are compared letter by letter


def shown(changes: Sequence[Change], most: int) -> str:
    """The first `most` changes, for reading."""
    parts = [_change(change) for change in changes[:most]]
    return "\n".join(parts)


def _change(change: Change) -> str:
    rules = ", ".join(f"{name} ({_SAID[name]})" for name in change.rules)
    head = click.style(f"{Text('row', '第')} {change.row}{Text('', ' 行')}: {rules}", bold=True)
    if change.removed:
        return head + "\n" + click.style(f"- {_one_line(change.text)}", fg="red")
    lines = [head]
    for _, before, after in change.mended:
        old, new = marked(before, after)
        lines += [click.style("- ", fg="red") + old, click.style("+ ", fg="green") + new]
    return "\n".join(lines)


def marked(before: str, after: str) -> tuple[str, str]:
    """Both texts on a line each, what differs in colour."""
    if max(len(before), len(after)) > LONGEST:
        return _one_line(before), _one_line(after)
    old, new = [], []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, left, right, start, end in matcher.get_opcodes():
        gone, come = _visible(before[left:right]), _visible(after[start:end])
        if kind == "equal":
            old.append(gone)
            new.append(come)
        else:
            old.append(click.style(gone, fg="red", underline=True) if gone else "")
            new.append(click.style(come, fg="green", underline=True) if come else "")
    return "".join(old), "".join(new)


def _visible(text: str) -> str:
    """Line ends and invisible characters made visible."""
    text = text.replace("\n", "⏎")
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def _one_line(text: str) -> str:
    text = _visible(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def summary(report: CleanReport) -> Text:
    """How many rows each rule touched, for people."""
    lines = [
        Text(
            f"{report.rows_out} of {report.rows_in} rows kept, {report.changed} of them changed"
            + (
                " (dry run, nothing was written)"
                if report.dry_run
                else f" -> {in_line(report.out)}"
            ),
            f"{report.rows_in} 行保留 {report.rows_out} 行，其中 {report.changed} 行有改动"
            + ("（试运行，没有写入）" if report.dry_run else f" -> {in_line(report.out)}"),
        )
    ]
    for name, count in report.rules.most_common():
        says = _SAID[name]
        lines.append(Text(f"{count:>8}  {name}: {says.en}", f"{count:>8}  {name}：{says.zh}"))
    for name, count in report.removed.most_common():
        says = _SAID[name]
        lines.append(
            Text(
                f"{count:>8}  {name}, removed: {says.en}", f"{count:>8}  {name}，已去掉：{says.zh}"
            )
        )
    return Text("\n".join(line.en for line in lines), "\n".join(line.zh for line in lines))
