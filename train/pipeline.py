"""`train all`: every stage in order, each begun only where its result is missing or stale.

data → lint → fit → choose the checkpoint → merge → check. A stage that stands is not done again, so a
killed `train all` goes on where it stopped; `--force` begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assistant.config import Config
from assistant.progress import Report
from assistant.run import Run
from assistant.words import Text

if TYPE_CHECKING:
    from assistant.records.check_report import CheckReport

Say = Callable[[Text], None]


@dataclass
class StageResults:
    """What `train all` did: seconds of each stage (0 where its result stood already)."""

    run: Run
    seconds: dict[str, float] = field(default_factory=dict)
    report: CheckReport | None = None

    def made(self, stage: str) -> bool:
        """Whether `stage` was done anew: what the stages after it left is stale then."""
        return self.seconds.get(stage, 0.0) > 0


def train_all(config: Config, run: Run, *, force: bool, report: Report, say: Say) -> StageResults:
    """Go from assistant.toml to a checked model in `run`.

    Raises what the stages raise; a check that did not pass is in the result, not an error.
    """
    done = StageResults(run)
    for name, stage in _STAGES.items():
        started = time.monotonic()
        made = stage(config, run, force, report, say, done)
        done.seconds[name] = time.monotonic() - started if made else 0.0
        taken = f"{done.seconds[name]:.0f} s"
        say(Text(f"{name}: {taken if made else 'stands already'}",
                 f"{name}：{taken if made else '已有，跳过'}"))  # fmt: skip
    return done


def _data(
    config: Config, run: Run, force: bool, report: Report, say: Say, done: StageResults
) -> bool:
    from .data.identity_set.identity import (
        corrected_since,
        make_identity_data,
        what_is_left_out,
    )
    from .settings import TrainTable

    table: TrainTable = config.tables["train"]
    if run.has_data and not force:
        if said := corrected_since(config, run):
            say(said)
        return False
    folder = make_identity_data(config, run, table.data, table.seed, force=True, report=report)
    if said := what_is_left_out(folder):
        say(said)
    return True


def _lint(
    config: Config, run: Run, force: bool, report: Report, say: Say, done: StageResults
) -> bool:
    """Refuse data that is not fit to train on."""
    from .data.linting.run import lint_run

    if run.is_fitted and not force and not done.made("data"):
        return False
    lint_run(config, run, report=report)
    return True


def _fit(
    config: Config, run: Run, force: bool, report: Report, say: Say, done: StageResults
) -> bool:
    from .trainer.fit import fit, prepare

    prepared = prepare(config, run, report)
    if run.is_fitted and not force and not done.made("data"):
        return False
    say(prepared.plan.text())
    for warning in prepared.plan.warnings:
        say(warning)
    begun = run.is_begun and not force and not done.made("data")
    fit(prepared, resume=begun, force=not begun, report=report, say=say)
    return True


def _choose(
    config: Config, run: Run, force: bool, report: Report, say: Say, done: StageResults
) -> bool:
    """Let `adapter` be the best checkpoint's, which need not be the last."""
    from assistant.artifacts import read_manifest

    from .check.choose import choose
    from .check.settings import CheckTable
    from .trainer.adapter import write_adapter
    from .trainer.prepare import prepare

    if run.is_chosen and not done.made("fit"):
        return False
    table: CheckTable = config.tables["train"].check
    prepared = prepare(config, run, report)
    best, chosen = choose(run, prepared.base, prepared.recipe, prepared.persona, table, report)
    say(chosen.text())
    last = read_manifest(prepared.adapter)
    if last.notes["iteration"] != best.iteration:
        write_adapter(
            best, prepared.adapter, base=prepared.base, recipe=prepared.recipe,
            persona=prepared.persona, inputs=last.inputs, seed=prepared.seed,
            started=last.started, force=True,
        )  # fmt: skip
    return True


def _merge(
    config: Config, run: Run, force: bool, report: Report, say: Say, done: StageResults
) -> bool:
    from .merge import merge, openvino_export

    if run.is_merged and not force and not done.made("choose"):
        return False
    merge(config, run, force=True, export=openvino_export, report=report)
    return True


def _check(
    config: Config, run: Run, force: bool, report: Report, say: Say, done: StageResults
) -> bool:
    from .check.run import check

    done.report = check(config, run, force=True, report=report)
    return True


_STAGES = {
    "data": _data, "lint": _lint, "fit": _fit, "choose": _choose, "merge": _merge, "check": _check,
}  # fmt: skip
