"""What an import did, counted."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.artifacts import now
from assistant.outside import in_line
from assistant.words import Text

from .records import CURES, LEFT_AS_IT_IS, NOTES, REASONS, nothing_read

DETAILS_KEPT = 50  # different details of a reason that are counted one by one
SHOWN = 12  # names on a line for people
# Reasons whose detail says what the person must know: a key, a role, a shape.
_TELLING = {
    "role", "judged_bad", "not_to_learn", "below_least", "media", "tools", "not_text", "not_object", "broken",
    "unknown_shape", "plain_text", "ranked", "stepwise", "critique", "summary", "tree", "columnar", "chat_log",
    "single_message", "pair", "triplet", "translation", "intent", "patterns", "choices", "yes_no", "prompt_only", "no_chosen", "tokens", "too_many_cells", "no_answer", "no_question",
    "no_speakers",
}  # fmt: skip
_FIELDS = {
    "question": Text("question", "问题"), "answer": Text("answer", "回答"), "input": Text("input", "输入"),
    "system": Text("system", "系统提示"), "history": Text("history", "历史"), "messages": Text("messages", "消息"),
    "completion": Text("completion", "回答"),
}  # fmt: skip
_DONE = {
    "changed": Text("changed", "行有改动"), "kept": Text("kept as they are", "行原样保留"), "read": Text("read", "行已读取"),
}  # fmt: skip
_DELIMITERS = {"\t": "tab"}
_INDEX = re.compile(r"\[\d+\]")


@dataclass
class FileCounts:
    """What became of the rows of one file.

    `read_as` counts the ways in which keys were read, `not_used` the rows in which a key holds
    something that was not used, `outside` what stands in the file beside its rows, `places` the rows
    of each sheet or array.
    """

    file: str
    format: str = ""
    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_details: dict[str, Counter[str]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    read_as: Counter[tuple[tuple[str, str], ...]] = field(default_factory=Counter)
    not_used: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    details: dict[str, Any] = field(default_factory=dict)
    whole: bool = True  # read to its end
    size: int = 0  # bytes
    share_read: Callable[[], float] = nothing_read

    def read(self) -> int:
        """About how many of its bytes were read so far."""
        return int(self.size * self.share_read())

    def count(self, rows: int, place: str) -> None:
        """Count rows that were met, in a container where the file has several."""
        self.rows_in += rows
        if place:
            self.places[_INDEX.sub("[]", place)] += rows

    def drop(self, reason: str, detail: str, rows: int) -> None:
        """Count rows that are left out."""
        self.dropped[reason] += rows
        if reason in _TELLING and detail:
            counted = self.dropped_details.setdefault(reason, Counter())
            shown = printable(detail)
            if shown in counted or len(counted) < DETAILS_KEPT:
                counted[shown] += rows

    def columns(self) -> dict[str, str]:
        """Field -> the key or column that it was mostly read from."""
        if isinstance(self.details.get("columns"), dict):
            return dict(self.details["columns"])
        votes: dict[str, Counter[str]] = {}
        for pairs, count in self.read_as.items():
            for name, key in pairs:
                votes.setdefault(name, Counter())[printable(key)] += count
        return {name: counted.most_common(1)[0][0] for name, counted in votes.items()}

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file, "format": self.format, **self.details, "rows_in": self.rows_in,
            "rows_out": self.rows_out, "dropped": dict(self.dropped), "notes": dict(self.notes),
            "shapes": dict(self.shapes), "whole": self.whole, "columns": self.columns(),
            "not_used": names(self.not_used), "outside": names(self.outside),
            "places": names(self.places),
            "dropped_details": {
                reason: dict(counted) for reason, counted in self.dropped_details.items()
            },
        }  # fmt: skip

    def text(self) -> Text:
        """One line for people: how it was read, and what of it was not used."""
        en, zh = [self.format], [self.format]
        encoding, delimiter = self.details.get("encoding"), self.details.get("delimiter")
        if encoding:
            words = self.details.get("encoding_guessed")
            shown = printable(", ".join(words or ()))
            en.append(
                str(encoding)
                if words is None
                else f"{encoding} (guessed; if wrong, name it with --encoding: {shown})"
            )
            zh.append(
                str(encoding)
                if words is None
                else f"{encoding}（猜测；若不对，请用 --encoding 指明：{shown}）"
            )
        if delimiter:
            shown = _DELIMITERS.get(delimiter, delimiter)
            en.append(f'delimiter "{shown}"')
            zh.append(f"分隔符“{shown}”")
        if sheet := self.details.get("sheet"):
            shown = listed(self.places) if self.places else printable(sheet)
            en.append(f"sheets {shown}" if self.places else f"sheet {shown}")
            zh.append(f"工作表 {shown}")
        elif self.places:
            en.append(f"rows in {listed(self.places)}")
            zh.append(f"数据行在 {listed(self.places)}")
        for name, column in self.columns().items():
            said = _FIELDS.get(name, Text(name, name))
            en.append(f"{said.en} ← {column}")
            zh.append(f"{said.zh} ← {column}")
        lines = [Text(", ".join(en), "，".join(zh))]
        lines += self._left()
        return Text(
            f"  {in_line(self.file)}: " + "; ".join(line.en for line in lines),
            f"  {in_line(self.file)}：" + "；".join(line.zh for line in lines),
        )

    def _left(self) -> list[Text]:
        """What was not used, not read, or stands beside the rows."""
        said = []
        if self.not_used:
            shown = listed(self.not_used)
            said.append(Text(f"not used: {shown}", f"未使用：{shown}"))
        if self.outside:
            shown = listed(self.outside)
            said.append(Text(f"beside the rows, not used: {shown}", f"数据行之外，未使用：{shown}"))
        if unread := self.details.get("sheets_not_read"):
            shown = ", ".join(f"{name} {rows}" for name, rows in unread.items())
            said.append(
                Text(
                    f"sheets not read: {shown} rows (--sheet NAME reads one)",
                    f"未读的工作表：{shown} 行（用 --sheet 名称 读取）",
                )
            )
        return said


def printable(name: str) -> str:
    """A key as a line can show and UTF-8 hold it."""
    flat = " ".join(str(name).split()).encode("utf-8", "replace").decode("utf-8")
    return flat if len(flat) <= 60 else flat[:59] + "…"


def names(counted: Mapping[str, int]) -> dict[str, int]:
    """Counts by names that JSON and UTF-8 can hold."""
    shown: Counter[str] = Counter()
    for name, count in counted.items():
        shown[printable(name)] += count
    return dict(shown.most_common())


def listed(counted: Mapping[str, int]) -> str:
    """Names and counts on one line, the first ones."""
    shown = list(names(counted).items())
    text = ", ".join(f"{name} {count}" for name, count in shown[:SHOWN])
    return text + (f", … ({len(shown)})" if len(shown) > SHOWN else "")


@dataclass
class ImportReport:
    """What an import did. `out` is the conversations, `dropped_file` what was left out and why."""

    out: Path
    dropped_file: Path
    files: list[FileCounts] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows_in(self) -> int:
        return sum(file.rows_in for file in self.files)

    @property
    def rows_out(self) -> int:
        return sum(file.rows_out for file in self.files)

    @property
    def dropped(self) -> Counter[str]:
        return sum((file.dropped for file in self.files), Counter())

    @property
    def not_used(self) -> Counter[str]:
        """Keys that hold something that was not used -> in how many rows, over all files."""
        return sum((file.not_used for file in self.files), Counter())

    @property
    def whole(self) -> bool:
        """Whether every file could be read to its end."""
        return all(file.whole for file in self.files)

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": "import", "out": str(self.out), "dropped_file": str(self.dropped_file),
            "finished": now(), "seconds": round(self.seconds, 2), "rows_in": self.rows_in,
            "rows_out": self.rows_out, "dropped": dict(self.dropped), "whole": self.whole,
            "not_used": names(self.not_used), "files": [file.as_json() for file in self.files],
        }  # fmt: skip

    def text(self, cures: bool = True) -> Text:
        """For people: a line for the whole, one for each file, one for each reason with what to do."""
        lines = [*self._most_left_out(), self._whole_line()]
        lines += [file.text() for file in self.files if file.rows_in or file.outside]
        for reason, count in self.dropped.most_common():
            lines.append(self._reason_line(reason, count, cures))
        for note, count in sum((file.notes for file in self.files), Counter()).most_common():
            said = NOTES[note]
            done = _DONE[LEFT_AS_IT_IS.get(note, "changed")]
            lines.append(
                Text(f"{count:>8} {done.en}: {said.en}", f"{count:>8} {done.zh}：{said.zh}")
            )
        return Text("\n".join(line.en for line in lines), "\n".join(line.zh for line in lines))

    def _whole_line(self) -> Text:
        return Text(
            f"{self.rows_out} conversations of {self.rows_in} rows -> {in_line(self.out)}",
            f"{self.rows_in} 行中得到 {self.rows_out} 段对话 -> {in_line(self.out)}",
        )

    def _most_left_out(self) -> list[Text]:
        """The warning above all where more than half of the filled rows were left out."""
        blank = self.dropped["blank"]
        filled, left = self.rows_in - blank, self.rows_in - blank - self.rows_out
        if left <= filled / 2 or not self.rows_out:
            return []
        reason = next(name for name, _ in self.dropped.most_common() if name != "blank")
        said, detail = REASONS[reason], self._detail(reason)
        return [
            Text(
                f"MOST ROWS WERE LEFT OUT: {left} of {filled}, above all: {said.en}{detail}",
                f"大部分行未采用：{filled} 行中的 {left} 行，主要原因：{said.zh}{detail}",
            )
        ]

    def _details(self, reason: str) -> list[str]:
        """The details of a reason, the most frequent first."""
        counted: Counter[str] = Counter()
        for file in self.files:
            counted.update(file.dropped_details.get(reason, {}))
        return [name for name, _ in counted.most_common()]

    def _detail(self, reason: str) -> str:
        found = self._details(reason)
        shown = "; ".join(found[:3])
        return f" ({shown}{'; …' if len(found) > 3 else ''})" if shown else ""

    def cure(self, reason: str) -> Text | None:
        """What to do about a reason, with the key that it names."""
        cure = CURES.get(reason)
        first = next(iter(self._details(reason)), "")
        if cure is None or (reason == "role" and (":" in first or " holds " in first)):
            return None
        key = shlex.quote(first.partition(":")[0])
        return Text(cure.en.replace("{key}", key), cure.zh.replace("{key}", key))

    def _reason_line(self, reason: str, count: int, cures: bool) -> Text:
        said, detail = REASONS[reason], self._detail(reason)
        cure = self.cure(reason) if cures else None
        more = (f"\n{'':9}{cure.en}", f"\n{'':9}{cure.zh}") if cure else ("", "")
        return Text(
            f"{count:>8} left out: {said.en}{detail}{more[0]}",
            f"{count:>8} 行未采用：{said.zh}{detail}{more[1]}",
        )
