"""What `lint` found, and how it is told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from assistant.outside import in_line
from assistant.shell import command_line
from assistant.words import Text

from .codes import CODES, is_error

KEPT = 200  # rows of a finding that are listed; all are counted
SHOWN = 5  # of them on the terminal


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowRef(_Frozen):
    """A row, as a person finds it, and what is wrong there (personal data masked)."""

    file: str
    row: int
    detail: str = ""


class Finding(_Frozen):
    """One code, how many rows it concerns, and the first of them."""

    code: str
    count: int
    share: float  # of all rows
    note: Text = Text("", "")
    rows: tuple[RowRef, ...] = ()
    files: tuple[str, ...] = ()  # all that were checked
    imported: bool = False  # the file concerned is of another shape, and was imported on the way
    pasted: Text | None = None  # the cure, its commands for the project that was named

    @property
    def title(self) -> Text:
        return CODES[self.code].title

    @property
    def cure(self) -> Text:
        """What mends it; its commands name the first file concerned, and run when pasted."""
        if self.pasted:
            return self.pasted
        cure = CODES[self.code].cure
        if not (self.rows or self.files):
            return cure
        if self.imported and _OTHER_SHAPES_REFUSED.search(cure.en):
            first = f"python -m train data import {_FILES.findall(cure.en)[0]} -o NEW"
            cure = Text(
                f"First {first}; then: {_FILES.sub('NEW', cure.en)}",
                f"先 {first}；然后：{_FILES.sub('NEW', cure.zh)}",
            )
        named = self._named()
        return Text(_filled(cure.en, named), _filled(cure.zh, named))

    def _named(self) -> dict[str, str]:
        """What stands for the words in capitals."""
        file = Path(self.rows[0].file if self.rows else self.files[0])
        folder = file.parent
        named = {
            "FILE": file, "NEW": file.with_name(f"{file.stem}.sound.jsonl"),
            "MORE": file.with_name(f"{file.stem}.more.jsonl"),
            "MIXED": file.with_name(f"{file.stem}.mixed.jsonl"),
            "FOLDER": file.with_name(f"{file.stem}-split"),
            "APART": folder.with_name(f"{folder.name}-split") if folder.name else Path("split"),
        }  # fmt: skip
        filled = {word: command_line(path) for word, path in named.items()}
        return filled | {"FILES": command_line(*map(Path, self.files))}


_FILES = re.compile(r"\bFILES?\b")
_OTHER_SHAPES_REFUSED = re.compile("data (?:clean|split|mix) ")


def _filled(text: str, named: dict[str, str]) -> str:
    return re.sub(
        rf"(?<![A-Za-z])(?:{'|'.join(named)})(?![A-Za-z])", lambda word: named[word[0]], text
    )


class Histogram(_Frozen):
    """Counts between `edges` (one more than counts); the last bin holds its right edge too."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    median: int = 0
    p95: int = 0
    longest: int = 0


class Lengths(_Frozen):
    """Tokens of whole rows. `exact` is False for an estimate from the letters."""

    tokens: Histogram
    answer_chars: Histogram
    total_tokens: int
    max_length: int | None
    cut_rows: int
    cut_tokens: int
    counted_with: str
    exact: bool


class Coverage(_Frozen):
    """Rows by role, scene and style, as `meta` says."""

    roles: tuple[str, ...]
    scenes: tuple[str, ...]
    styles: tuple[str, ...]
    cells: dict[str, int]  # rows of each "role\tscene\tstyle"

    def rows(self, role: str, scene: str) -> int:
        """Rows of one cell of role and scene, all styles together."""
        return sum(self.cells.get(f"{role}\t{scene}\t{style}", 0) for style in self.styles)


class LintReport(_Frozen):
    """The findings and the figures of a set of files."""

    files: tuple[str, ...]
    rows: int
    findings: tuple[Finding, ...]
    lengths: Lengths
    coverage: Coverage
    languages: dict[str, int]
    identity_rows: int
    ordinary_rows: int
    exact_duplicates: int
    near_duplicates: int
    largest_group: int
    seconds: float
    ignored: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if is_error(finding.code))

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not is_error(finding.code))

    @property
    def passed(self) -> bool:
        """Whether the data is fit to train on: rows, and no errors."""
        return self.rows > 0 and not self.errors

    def as_json(self) -> dict[str, Any]:
        """For --json and the report file; titles and cures in English."""
        whole = self.model_dump(mode="json", exclude={"findings"})
        findings = [
            finding.model_dump(mode="json", exclude={"note", "imported", "files", "pasted"})
            | {
                "level": "error" if is_error(finding.code) else "warning",
                "title": finding.title.en, "cure": finding.cure.en, "note": finding.note.en,
            }
            for finding in self.findings
        ]  # fmt: skip
        return {"stage": "lint", "passed": self.passed, **whole, "findings": findings}

    def pasted(self, paste: Callable[[Text], Text]) -> LintReport:
        """The same report, the commands of its cures as `paste` makes them."""
        findings = (
            finding.model_copy(update={"pasted": paste(finding.cure)}) for finding in self.findings
        )
        return self.model_copy(update={"findings": tuple(findings)})

    def text(self) -> Text:
        """A table for the terminal."""
        return Text(_table(self, "en"), _table(self, "zh"))


def _table(report: LintReport, language: str) -> str:
    def say(en: str, zh: str) -> str:
        return Text(en, zh).in_language(language)

    lines = []
    for finding in report.findings:
        title = _padded(finding.title.in_language(language), 46)
        lines.append(f"{finding.code}  {title} {finding.count:>8}  {finding.share:>6.1%}")
        if str(finding.note.en):
            lines.append(f"      {finding.note.in_language(language)}")
        for place in finding.rows[:SHOWN]:
            lines.append(f"      {in_line(place.file)}:{place.row}  {place.detail}".rstrip())
        if finding.count > SHOWN and len(finding.rows) > SHOWN:
            lines.append(
                say(
                    f"      … {finding.count - SHOWN} more",
                    f"      … 还有 {finding.count - SHOWN} 处",
                )
            )
        lines.append("      → " + finding.cure.in_language(language))
    lengths = report.lengths
    about = "" if lengths.exact else say("about ", "约 ")
    spoken = ", ".join(f"{name} {count}" for name, count in report.languages.items())
    figures = [
        say(f"{report.rows} rows", f"{report.rows} 行"),
        say(f"{about}{lengths.total_tokens} tokens ({lengths.counted_with})",
            f"{about}{lengths.total_tokens} 个 token（{lengths.counted_with}）"),
        say(f"median {lengths.tokens.median}, 95 % up to {lengths.tokens.p95}, longest {lengths.tokens.longest}",
            f"中位数 {lengths.tokens.median}，95% 不超过 {lengths.tokens.p95}，最长 {lengths.tokens.longest}"),
        say("answers in ", "回答语言 ") + spoken if spoken else say("no row is a whole conversation", "没有一行是完整的对话"),
        say(f"identity {report.identity_rows}, ordinary {report.ordinary_rows}",
            f"身份 {report.identity_rows}，普通 {report.ordinary_rows}"),
        say(f"duplicates: {report.exact_duplicates} exact, {report.near_duplicates} near",
            f"重复：完全 {report.exact_duplicates}，近似 {report.near_duplicates}"),
    ]  # fmt: skip
    lines += ["", *figures, ""]
    errors, warnings = len(report.errors), len(report.warnings)
    verdict = (
        say("fit to train on", "可以用于训练")
        if report.passed
        else say("not fit to train on", "还不能用于训练")
    )
    lines.append(say(f"{errors} kinds of errors, {warnings} kinds of warnings: {verdict}.",
                     f"{errors} 类错误，{warnings} 类警告：{verdict}。"))  # fmt: skip
    return "\n".join(lines).lstrip("\n")


def _padded(text: str, width: int) -> str:
    """`text` filled up to `width` columns of a terminal; a Chinese character takes two."""
    taken = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
    return text + " " * max(0, width - taken)
