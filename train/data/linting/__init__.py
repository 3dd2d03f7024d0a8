"""`train data lint`: is this data fit to train on, and if not, why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from assistant.conversation import Conversation, Message
from assistant.errors import UsageError
from assistant.persona import Persona
from assistant.progress import Report, unreported
from assistant.run import VALID_FILE
from assistant.words import Text

from ..keys import cell
from ..text.language import language_of
from ..text.near import near_groups, normalised
from . import whole
from .codes import CODES, is_error
from .content import ContentChecks
from .lengths import BATCH, TokenCounter, histogram
from .report import KEPT, Finding, Lengths, LintReport, RowRef
from .rows import LooseRow, loose_rows

__all__ = ["CODES", "Finding", "LintReport", "TokenCounter", "lint"]


def lint(
    files: Sequence[Path],
    persona: Persona | None = None,
    counter: TokenCounter | None = None,
    max_length: int | None = None,
    ignore: Iterable[str] = (),
    report: Report = unreported,
    sound: Callable[[Conversation], None] | None = None,
) -> LintReport:
    """Check files of conversations, all together; files of other shapes are imported on the way.

    `persona` is who the answers may say they are. `counter` counts tokens (None: an estimate);
    rows longer than `max_length` tokens would be cut in training. `ignore` leaves codes out. `sound`
    is given each row that has no error of its own.
    Raises UsageError for a file that cannot be read or an unknown code.
    """
    left_out = tuple(code.upper() for code in ignore)
    unknown = [code for code in left_out if code not in CODES]
    if unknown:
        raise UsageError(
            Text(f"There is no code {unknown[0]}.", f"没有代码 {unknown[0]}。"),
            Text(f"The codes are {', '.join(CODES)}.", f"可用的代码：{', '.join(CODES)}。"),
        )
    started = time.monotonic()
    work = _Work(persona, counter or TokenCounter(str(Text("estimate", "估算"))), max_length)
    for file in files:
        for row in loose_rows(file, report):
            found = work.row(row)
            if sound and not any(is_error(code) for code in found.difference(left_out)):
                sound(_conversation(row))
    return work.finish(tuple(map(str, files)), left_out, started, report)


def _conversation(row: LooseRow) -> Conversation:
    turns = (Message.model_validate({"role": role, "content": text}) for role, text in row.turns)
    return Conversation(messages=tuple(turns), meta=dict(row.meta))


class _Work:
    """The findings under way."""

    def __init__(self, persona: Persona | None, counter: TokenCounter, max_length: int | None):
        self._persona = persona
        self._counter = counter
        self._max_length = max_length
        self._checks = ContentChecks(persona)
        self._counts: Counter[str] = Counter()
        self._places: dict[str, list[RowRef]] = {}
        self._notes: dict[str, Text] = {}
        self._rows = 0
        self._imported: set[str] = set()
        self._files: list[str] = []
        self._systems: dict[str, str] = {}  # each text once: all rows may carry the same one
        self._gathered = whole.Gathered()
        self._languages: Counter[str] = Counter()
        self._waiting: list[LooseRow] = []
        self._tokens: list[int] = []
        self._chars: list[int] = []
        self._cut_tokens = 0

    def row(self, row: LooseRow) -> set[str]:
        """Check one row; returns the codes of what is wrong with it alone."""
        self._rows += 1
        if row.imported:
            self._imported.add(row.file)
        if row.code:
            self._found(row.code, row.file, row.row, row.detail)
        seen = {row.code} - {""}
        if not row.turns:
            return seen
        for code, detail in self._checks.findings(row.turns):
            if code not in seen:
                seen.add(code)
                self._found(code, row.file, row.row, detail)
        if row.code:
            return seen
        answers = [text for role, text in row.turns if role == "assistant"]
        self._languages[language_of(answers[0]) or "?"] += 1
        self._chars += map(len, answers)
        self._remember(row)
        self._waiting.append(row)
        if len(self._waiting) >= BATCH:
            self._measure()
        return seen

    def _remember(self, row: LooseRow) -> None:
        if not self._files or self._files[-1] != row.file:
            self._files.append(row.file)
        said = [(role, text) for role, text in row.turns if role != "system"]
        asked = question = said[0][1]
        if len(said) > 2:
            asked = "\n".join(text for _, text in said[:-1])
            question = "\n".join(text for role, text in said if role == "user")
        first = row.turns[0]
        system = self._systems.setdefault(first[1], first[1]) if first[0] == "system" else ""
        style = str(row.meta.get("style") or "")
        short = whole.Said(
            len(self._files) - 1,
            row.row,
            system,
            asked,
            question,
            said[-1][1],
            style,
            cell(row.meta),
        )
        self._gathered.add(short, row.meta, self._persona)

    def _found(self, code: str, file: str, row: int, detail: str = "") -> None:
        self._counts[code] += 1
        places = self._places.setdefault(code, [])
        if len(places) < KEPT:
            places.append(RowRef(file=file, row=row, detail=detail))

    def _measure(self) -> None:
        """Tokens of the waiting rows, and what training would cut of them."""
        counter, limit = self._counter, self._max_length
        counts = iter(counter.count([text for row in self._waiting for _, text in row.turns]))
        for row in self._waiting:
            each = [next(counts) + counter.around for _ in row.turns]
            total = sum(each) + counter.template(row.turns[0][0] == "system")
            self._tokens.append(total)
            if limit is not None and total > limit:
                self._cut_tokens += total - limit
                prompt = total - sum(each[1:])
                for (role, _), size in zip(row.turns[1:], each[1:], strict=True):
                    if role == "assistant":
                        break
                    prompt += size
                code = "W212" if prompt >= limit else "W207"
                self._found(code, row.file, row.row, f"{total} > {limit}")
        self._waiting.clear()

    def _problem(self, problem: whole.Problem) -> None:
        rows = self._gathered.rows
        details = problem.details or [""] * len(problem.places)
        for place, detail in list(zip(problem.places, details, strict=True))[:KEPT]:
            said = rows[place]
            self._places.setdefault(problem.code, []).append(
                RowRef(file=self._files[said.file], row=said.row, detail=detail)
            )
        self._counts[problem.code] += (
            problem.total if problem.total is not None else len(problem.places)
        )
        self._notes[problem.code] = problem.note

    def finish(
        self, files: tuple[str, ...], ignored: tuple[str, ...], started: float, report: Report
    ) -> LintReport:
        """The report, after the checks of the whole."""
        self._measure()
        rows = self._gathered.rows
        asked = [normalised(row.asked) for row in rows]
        problems, same = whole.repeated(rows, asked)
        problems += whole.one_answer(rows, same)
        problems += whole.contradictions(rows, asked, same)
        covered = whole.coverage(self._gathered.cells)
        problems += whole.uneven(covered)
        problems += whole.balance(self._gathered.identity, len(rows))
        firsts = self._near(same, report)
        alike, largest = whole.near(rows, same, firsts)
        problems += alike
        held = [at for at, file in enumerate(self._files) if Path(file).name == VALID_FILE]
        if held and len(self._files) > 1:
            problems += whole.leaked(rows, held[0], report)
        for problem in problems:
            self._problem(problem)
        return LintReport(
            files=files,
            rows=self._rows,
            findings=tuple(self._findings(files, ignored)),
            lengths=self._lengths(),
            coverage=covered,
            languages=dict(self._languages.most_common()),
            identity_rows=self._gathered.identity,
            ordinary_rows=len(rows) - self._gathered.identity,
            exact_duplicates=self._counts["W201"],
            near_duplicates=self._counts["W202"],
            largest_group=largest,
            seconds=round(time.monotonic() - started, 2),
            ignored=ignored,
        )

    def _near(self, same: list[int], report: Report) -> list[int]:
        """For each row the first one of its kind: the same pair, or a near duplicate."""
        rows = self._gathered.rows
        different = [place for place, first in enumerate(same) if first == place]
        texts = [rows[place].asked + "\n" + rows[place].answer for place in different]
        groups = near_groups(texts, report=report)
        firsts = list(same)
        for number, first in enumerate(groups.first.tolist()):
            firsts[different[number]] = different[first]
        return [firsts[first] for first in same]

    def _findings(self, files: tuple[str, ...], ignored: tuple[str, ...]) -> Iterable[Finding]:
        for code in CODES:
            if self._counts[code] and code not in ignored:
                places = tuple(self._places.get(code, ()))
                first = places[0].file if places else files[0]
                concerned = files if "FILES" in CODES[code].cure.en else (first,)
                yield Finding(
                    code=code,
                    count=self._counts[code],
                    share=min(1.0, self._counts[code] / max(1, self._rows)),
                    note=self._notes.get(code, Text("", "")),
                    rows=places,
                    files=files,
                    imported=not self._imported.isdisjoint(concerned),
                )

    def _lengths(self) -> Lengths:
        cut = self._counts["W207"] + self._counts["W212"]
        return Lengths(
            tokens=histogram(self._tokens), answer_chars=histogram(self._chars),
            total_tokens=sum(self._tokens), max_length=self._max_length, cut_rows=cut,
            cut_tokens=self._cut_tokens, counted_with=self._counter.name, exact=self._counter.exact,
        )  # fmt: skip
