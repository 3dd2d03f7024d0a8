"""The stage: from a plan (or documents, or rows) to a file of rows, and a report beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.artifacts import library_versions, now, sha256_of, write_json
from assistant.conversation import Conversation, write_conversations
from assistant.engines.base import Engine
from assistant.errors import UsageError
from assistant.progress import Report
from assistant.words import Text

from ..outputs import side_file
from .ask import Asker, Outcome
from .budget import Budget, Spent, at_most, spent
from .jobs import Job, Unfit, Work
from .journal import Entry, Journal, open_journal, read_entries
from .settings import GenerateTable

Say = Callable[[Text], None]


@dataclass(frozen=True)
class Prepared:
    """A generation before it begins: what is left to ask, and what that takes at most."""

    work: Work
    table: GenerateTable
    out: Path
    left: list[Job]
    estimate: Spent
    before: Spent  # what was spent before, on the same journal

    @property
    def journal(self) -> Path:
        return side_file(self.out, "journal.jsonl")

    @property
    def report(self) -> Path:
        return side_file(self.out, "report.json")


@dataclass(frozen=True)
class Generated:
    """What came of it."""

    rows: int
    filled: int
    jobs: int
    spent: Spent
    outcome: Outcome


def prepare(work: Work, table: GenerateTable, out: Path, *, resume: bool, force: bool) -> Prepared:
    """What there is to do. Raises UsageError where earlier work would be lost."""
    journal = side_file(out, "journal.jsonl")
    if any(out.exists() and out.samefile(file) for file in work.inputs):
        raise UsageError(
            Text(f"{out} is an input: it is never touched.", f"{out} 是输入文件，不会改动它。"),
            Text("Name another place with --out.", "请用 --out 指定别的位置。"),
        )
    mine = journal.exists()
    if not force and (not resume if mine else out.exists()):
        kept = journal if mine else out
        raise UsageError(
            Text(f"An earlier result is there: {kept}.", f"已有之前的结果：{kept}。"),
            Text(
                f"{'Go on with --resume, or b' if mine else 'B'}egin anew with --force.",
                f"{'用 --resume 继续，或' if mine else ''}用 --force 重新开始。",
            ),
        )
    entries = read_entries(journal) if resume else []
    answered = fit_answers(work, entries)
    left = [job for job in work.jobs if job.id not in answered]
    return Prepared(work, table, out, left, at_most(left, table), spent(entries, table))


def generate(
    prepared: Prepared, engine: Engine | None, *, resume: bool, report: Report
) -> Generated:
    """Ask what is left and write the rows. `engine` None only where nothing is left.

    Raises EngineError (or the error that ended the work) after everything that came was kept.
    """
    started = now()
    table, work = prepared.table, prepared.work
    with open_journal(prepared.journal, keep=resume) as journal:
        outcome = Outcome({})
        if prepared.left:
            assert engine is not None
            budget = Budget(table, prepared.before)
            asker = Asker(engine, table, journal, budget, report)
            outcome = asker.run(prepared.left, len(work.jobs) - len(prepared.left))
        answers = fit_answers(work, journal.entries)
        rows = rows_of(work, answers)
        write_conversations(rows, prepared.out)
        generated = Generated(
            len(rows), len(answers), len(work.jobs), spent(journal.entries, table), outcome
        )
        write_json(_report(prepared, generated, journal, rows, started), prepared.report)
    return generated


def fit_answers(work: Work, entries: Iterable[Entry]) -> dict[str, Entry]:
    """The first answer taken for each job; one that would not be taken today is none."""
    jobs = {job.id: job for job in work.jobs}
    found: dict[str, Entry] = {}
    for entry in entries:
        job = jobs.get(entry.job)
        if job is None or entry.unfit or entry.job in found:
            continue
        with suppress(Unfit):
            job.read(entry.answer)
            found[entry.job] = entry
    return found


def rows_of(work: Work, answers: Mapping[str, Entry]) -> list[Conversation]:
    """The rows of the answers, in the order of the plan."""
    return [
        row
        for job in work.jobs
        if (entry := answers.get(job.id))
        for row in job.rows(entry.answer, entry.model)
    ]


def _report(
    prepared: Prepared, done: Generated, journal: Journal, rows: list[Conversation], started: str
) -> dict[str, Any]:
    work = prepared.work
    unfit = Counter(entry.unfit for entry in journal.entries if entry.unfit)
    return {
        "stage": "generate",
        "name": work.name,
        "inputs": {str(file): sha256_of(file) for file in work.inputs},
        **work.account,
        "settings": prepared.table.model_dump(),
        "libraries": library_versions("openai", "openvino-genai"),
        "started": started,
        "finished": now(),
        "rows": done.rows,
        "jobs": done.jobs,
        "filled": done.filled,
        "unfilled": done.outcome.unfilled,
        "estimated_at_most": prepared.estimate.as_json(),
        "spent": done.spent.as_json(),
        "asked_again_because": dict(unfit.most_common()),
        "coverage": {
            place: dict(sorted(Counter(str(row.meta[place]) for row in rows).items()))
            for place in ("role", "scene", "style")
            if rows and place in rows[0].meta
        },
    }
