"""`train data clean`: named rules over conversations; nothing is changed silently."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.artifacts import whole_file, write_json
from assistant.conversation import Conversation, Message
from assistant.errors import FailedError, UsageError
from assistant.outside import in_line
from assistant.persona import Style
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

from ..lines import conversations_of, refuse_streams, size_of
from ..outputs import left_over, refuse_replacing, side_file
from ..text.language import foreign_language
from .report import Change, CleanReport
from .rules import DEFAULT, NAMES, REMOVING, RULES, Around, Limits

__all__ = [
    "DEFAULT",
    "NAMES",
    "REMOVING",
    "RULES",
    "CleanReport",
    "Cleaner",
    "Limits",
    "chosen",
    "clean_files",
]

ROUNDS = 4  # rules lay bare what others mend: quotes under a title under an opening
SHOWN = 500  # changes kept for the terminal


class Cleaner:
    """Applies the chosen rules to conversations. `styles` give the lengths, by name."""

    def __init__(
        self,
        names: Iterable[str] = DEFAULT,
        styles: Mapping[str, Style] | None = None,
        languages: Sequence[str] = ("zh", "en"),
        limits: Limits | None = None,
    ):
        self._names = frozenset(names)
        self._rules = [rule for rule in RULES if rule.name in self._names]
        self._styles = styles or {}
        self._languages = tuple(languages)
        self._limits = limits or Limits()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules, in the order in which they apply."""
        return tuple(name for name in NAMES if name in self._names)

    def clean(
        self, row: int, conversation: Conversation
    ) -> tuple[Conversation | None, Change | None]:
        """The conversation as it should be, None if it is to go; and what changed, None if nothing."""
        used: dict[str, None] = {}
        before = tuple(message.content for message in conversation.messages)
        texts = before
        for _ in range(ROUNDS):
            mended = self._mended(conversation.messages, texts, used)
            if mended == texts:
                break
            texts = mended
        messages = [
            Message(role=message.role, content=text)
            for message, text in zip(conversation.messages, texts, strict=True)
        ]
        removed = self._reason(messages, conversation.meta)
        if removed:
            return None, Change(row, (removed,), removed=removed, text=conversation.line())
        if texts == before:
            return conversation, None
        changes = tuple(
            (place, old, new)
            for place, (old, new) in enumerate(zip(before, texts, strict=True))
            if old != new
        )
        changed = Conversation(messages=tuple(messages), meta=conversation.meta)
        return changed, Change(row, tuple(used), changes)

    def _mended(
        self, messages: Sequence[Message], texts: tuple[str, ...], used: dict[str, None]
    ) -> tuple[str, ...]:
        """The texts of a row, each rule applied once; the names of those that did go to `used`."""
        said = [t for m, t in zip(messages, texts, strict=True) if m.role != "system"]
        whole, question, after = "\n".join(said), "", []
        for message, text in zip(messages, texts, strict=True):
            row = Around(question, whole, self._limits)
            mended = text
            for rule in self._rules:
                if rule.where == "all" or message.role == "assistant":
                    result = rule.mend(mended, row)
                    if result != mended:
                        used[rule.name] = None
                        mended = result
            after.append(mended)
            question = mended if message.role == "user" else ""
        return tuple(after)

    def _reason(self, messages: Sequence[Message], meta: Mapping[str, Any]) -> str:
        """The removing rule that applies, "" for none."""
        said = [message.content for message in messages if message.role != "system"]
        if "empty" in self._names and not all(text.strip() for text in said):
            return "empty"
        pairs = _pairs(messages)
        if "length" in self._names:
            for question, answer in pairs:
                style = self._style(question, meta)
                if style and style.max_chars and len(answer) > style.max_chars:
                    return "length"
        if "language" in self._names and any(
            foreign_language(*pair, self._languages) for pair in pairs
        ):
            return "language"
        return ""

    def _style(self, question: str, meta: Mapping[str, Any]) -> Style | None:
        named = meta.get("style")
        if isinstance(named, str) and named:
            for style in self._styles.values():
                if named in (style.name, style.label_zh, style.label_en):
                    return style
        triggers = (style for style in self._styles.values() if style.trigger)
        return next((style for style in triggers if question.endswith(style.trigger)), None)


def _pairs(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Each question with its answer."""
    turns = [message.content for message in messages if message.role != "system"]
    return list(zip(turns[0::2], turns[1::2]))  # noqa: B905 - a last question may be unanswered


def chosen(
    only: Sequence[str] = (), skip: Sequence[str] = (), *, generated: bool = False
) -> tuple[str, ...]:
    """The names of the rules to run: DEFAULT, all with `generated`, or those of `only`; less `skip`.

    Raises UsageError for unknown names, and for `only` with `generated`.
    """
    unknown = [name for name in (*only, *skip) if name not in NAMES]
    if unknown:
        raise UsageError(
            Text(f"There is no rule {unknown[0]!r}.", f"没有叫 {unknown[0]!r} 的规则。"),
            Text(f"The rules are: {', '.join(NAMES)}.", f"可用的规则：{', '.join(NAMES)}。"),
        )
    if only and generated:
        raise UsageError(
            Text("--only names the rules, --generated takes all of them.",
                 "--only 指定规则，--generated 则使用全部规则。"),
            Text("Give one of the two; --generated with --skip leaves a rule out.",
                 "二者只能用一个；要关掉某条规则，用 --generated 加 --skip。"),
        )  # fmt: skip
    asked = set(only) or set(NAMES if generated else DEFAULT)
    return tuple(name for name in NAMES if name in asked and name not in skip)


def clean_files(
    files: Sequence[Path],
    out: Path,
    cleaner: Cleaner,
    *,
    dry_run: bool = False,
    force: bool = False,
    report: Report = unreported,
) -> CleanReport:
    """Clean `files` into `out`; every change stands in `<out>.changes.jsonl`, the counts in
    `<out>.report.json`. With `dry_run` nothing is written.

    Raises UsageError for a line that is no conversation, or if `out` is there without `force`;
    FailedError if the rules would remove every row.
    """
    refuse_streams(files)
    if not out.name:
        raise UsageError(
            Text(f"{str(out)!r} names no file to write.", f"{str(out)!r} 不是要写的文件名。"),
            Text(
                "Give one, for example -o data/rows.jsonl.",
                "请给出文件名，例如 -o data/rows.jsonl。",
            ),
        )
    result = CleanReport(out, side_file(out, "changes.jsonl"), dry_run, cleaner.names)
    if dry_run:
        for _ in _cleaned(files, cleaner, result, report):
            pass
        return result
    report_file = side_file(out, "report.json")
    refuse_replacing([out, result.changes_file, report_file], files, force or left_over(out))
    with whole_file(out) as rows:
        with whole_file(result.changes_file) as changes:
            for kept, change, file in _cleaned(files, cleaner, result, report):
                if kept is not None:
                    rows.write(kept.line() + "\n")
                if change is not None:
                    line = {"file": str(file), **change.as_json()}
                    changes.write(json.dumps(line, ensure_ascii=False) + "\n")
        write_json(result.as_json(), report_file)
        if result.rows_in and not result.rows_out:
            names = ", ".join(result.removed)
            skips = " ".join(f"--skip {name}" for name in result.removed)
            raise FailedError(
                Text(
                    f"Every row would be removed ({names}); see {in_line(result.changes_file)}.",
                    f"所有行都会被去掉（{names}），见 {in_line(result.changes_file)}。",
                ),
                Text(
                    f"Look whether the file was imported as meant; to keep such rows: {skips}.",
                    f"请检查文件导入得是否正确；要保留这些行：{skips}。",
                ),
            )
    return result


def _cleaned(
    files: Sequence[Path], cleaner: Cleaner, result: CleanReport, report: Report
) -> Iterator[tuple[Conversation | None, Change | None, Path]]:
    """Each row cleaned, and counted in `result`."""
    for file in files:
        total = size_of(file)
        what = Text(f"Cleaning {in_line(file.name)}", f"正在清洗 {in_line(file.name)}")
        for number, conversation in conversations_of(
            file,
            lambda done, what=what, total=total: report(Progress(what, done, total, "B")),  # type: ignore[misc]
        ):
            kept, change = cleaner.clean(number, conversation)
            result.rows_in += 1
            result.rows_out += kept is not None
            if change is not None:
                if change.removed:
                    result.removed[change.removed] += 1
                else:
                    result.changed += 1
                    result.rules.update(change.rules)
                if len(result.changes) < SHOWN:
                    result.changes.append(change)
            yield kept, change, file
