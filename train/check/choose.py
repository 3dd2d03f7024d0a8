"""Picks the best checkpoint of a run, not the last.

Each checkpoint answers a quarter of the probes and reads a quarter of the held-out ordinary
conversation; the final report uses the other three quarters (`probing`). The best passes the gates
of identity, false triggers and perplexity; else it has the highest score (`Measured.score`: counting
gates, a parrot that always says its name would win over a model near to all of them). A quarter of the
probes is few: what is better by less than their standard error may be so by chance, and the last
checkpoint, whose learning rate came to its end, is taken before it. That is the one-standard-error
rule (Breiman et al. 1984, section 3.4.3; Hastie et al., The Elements of Statistical Learning, 7.10).
They are measured from the last one back, and no further once WORSE of them in a row are worse than
the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from assistant.artifacts import now, write_json
from assistant.errors import UsageError
from assistant.persona import Persona
from assistant.progress import Report, unreported
from assistant.records.check_report import Part
from assistant.run import Run
from assistant.words import Text

from ..base.folder import TrainingBase
from ..recipes import Recipe
from ..trainer.adapter import ADAPTER_WEIGHTS, write_adapter
from ..trainer.checkpoints import Checkpoint, checkpoints
from . import scores
from .inputs import read_held_out
from .models import Device, LoadedModel, loaded, place_for
from .probing import ORDINARY, Answer, ProbePrompt, about_itself, ask, split_probes, split_rows
from .settings import CheckTable

PROBES_AT_MOST = 48
ROWS_AT_MOST = 24
TOKENS_AT_MOST = 40  # of an answer: enough to say a name
GATES = 3  # identity, false triggers, perplexity
WORSE = 2  # checkpoints in a row that end the search


class Measured(Part):
    """What one checkpoint reached on the probes that choose."""

    step: int
    hit_rate: float
    false_trigger_rate: float
    change_percent: float
    gates_passed: int  # of GATES
    score: float  # hit rate less false triggers, less 0.01 for each % of perplexity over its gate
    standard_error: float = 0.0  # of the score

    def rank(self) -> tuple[float, ...]:
        """Larger is better."""
        return self.gates_passed == GATES, round(self.score, 6), self.step


def best_of(measured: Sequence[Measured]) -> Measured:
    """Return the last checkpoint that is as good as the best, but for the chance of the best's figures.

    Args:
        measured: figures in the order of their steps.

    Returns:
        One that passes all gates, where any does.
    """
    best = max(measured, key=Measured.rank)
    least = round(best.score - best.standard_error, 6)
    as_good = [
        one
        for one in measured
        if round(one.score, 6) >= least and (one.gates_passed == GATES or best.gates_passed < GATES)
    ]
    return as_good[-1]


def standard_error(rates: Sequence[tuple[float, int]]) -> float:
    """Return the standard error of a sum of independent shares.

    Args:
        rates: each share, and of how many it is one.

    Returns:
        sqrt(sum(p (1 - p) / n)), with two successes and two failures added to each count (Agresti and
        Coull 1998), so that a share of 0 or 1 has an error too; 0 where there is nothing to count.
    """
    adjusted = [((share * count + 2) / (count + 4), count + 4) for share, count in rates if count]
    return math.sqrt(sum(share * (1 - share) / count for share, count in adjusted))


class Chosen(Part):
    """fit/choice.json: the figures of the checkpoints that were measured, and the best."""

    step: int
    last_step: int
    probes: int
    conversations: int
    checkpoints: list[Measured]

    def text(self) -> Text:
        """One line for people."""
        best = next(one for one in self.checkpoints if one.step == self.step)
        figures = f"{100 * best.hit_rate:.0f} %, {100 * best.false_trigger_rate:.0f} %, {best.change_percent:+.1f} %"
        return Text(
            f"Best of {len(self.checkpoints)} checkpoints: step {self.step} of {self.last_step} "
            f"(identity, false triggers, perplexity: {figures}).",
            f"{len(self.checkpoints)} 个检查点中最好的是第 {self.step} 步，共 {self.last_step} 步"
            f"（身份、误触发、困惑度：{figures}）。",
        )


def choose(
    run: Run,
    base: TrainingBase,
    recipe: Recipe,
    persona: Persona,
    table: CheckTable,
    report: Report = unreported,
) -> tuple[Checkpoint, Chosen]:
    """The best checkpoint of `run`, and the figures, which are also kept in fit/choice.json.

    Raises UsageError where the run has no checkpoint, probes or held-out conversation.
    """
    work = run.work
    found = checkpoints(work)
    if not found:
        raise UsageError(
            Text(f"There is no checkpoint in {work}.", f"{work} 里没有检查点。"),
            Text("Train first: python -m train fit", "请先训练：python -m train fit"),
        )
    trial = _Trial(run, persona, table)
    place = place_for(base.folder)
    with loaded(base.folder, place) as model:
        trial.base_perplexity = model.perplexity(trial.rows, _what("base", "基座"), report)
    measured: list[Measured] = []
    worse = 0
    for checkpoint in reversed(found):
        with TemporaryDirectory(prefix="checkpoint-", dir=work) as temporary:
            adapter = write_adapter(
                checkpoint, Path(temporary) / "adapter", base=base, recipe=recipe, persona=persona,
                inputs={}, seed=0, started=now(),
            )  # fmt: skip
            step = checkpoint.iteration // recipe.accumulation
            measured.insert(0, trial.measure(step, adapter, base, place, report))
        worse = 0 if measured[0] is max(measured, key=Measured.rank) else worse + 1
        if worse == WORSE:
            break
    best = best_of(measured)
    chosen = Chosen(
        step=best.step,
        last_step=measured[-1].step,
        probes=len(trial.asked),
        conversations=len(trial.rows),
        checkpoints=measured,
    )
    write_json(chosen.model_dump(mode="json"), run.choice_file)
    return found[measured.index(best) - len(measured)], chosen


class _Trial:
    """The probes and rows that choose, and one checkpoint's figures on them."""

    def __init__(self, run: Run, persona: Persona, table: CheckTable):
        probes, rows = read_held_out(run)
        wanted = [
            probe
            for probe in split_probes(probes)[0]
            if about_itself(probe) or probe.kind == ORDINARY
        ]
        most = min(PROBES_AT_MOST, table.probes or PROBES_AT_MOST)
        stride = max(1, -(-len(wanted) // most))
        short = table.model_copy(
            update={
                "max_tokens": min(TOKENS_AT_MOST, table.max_tokens),
                "max_tokens_ordinary": min(TOKENS_AT_MOST, table.max_tokens_ordinary),
            }
        )
        self.asked: list[ProbePrompt] = [ask(probe, persona, short) for probe in wanted[::stride]]
        self.rows = (split_rows(rows)[0] or list(rows))[: min(ROWS_AT_MOST, most)]
        self.persona = persona
        self.table = table
        self.base_perplexity = 0.0

    def measure(
        self, step: int, adapter: Path, base: TrainingBase, place: Device, report: Report
    ) -> Measured:
        whole = not (adapter / ADAPTER_WEIGHTS).is_file()  # a full fine-tune's own model
        folder = adapter if whole else base.folder
        what = _what(f"step {step}", f"第 {step} 步")
        with loaded(folder, place, None if whole else adapter, fuse=True) as model:
            answers = self._answers(model, what, report)
            perplexity = model.perplexity(self.rows, what, report)
        answered = scores.pairs(self.asked, [None] * len(answers), answers)
        identity = scores.identity(answered)
        ordinary = scores.false_trigger(answered, self.persona)
        hits, false = identity.hit_rate, ordinary.rate
        change = 100 * (perplexity / self.base_perplexity - 1)
        over = change - self.table.perplexity_change_percent
        passed = (
            hits >= self.table.identity_hit_rate,
            false <= self.table.false_trigger_rate,
            over <= 0,
        )
        return Measured(
            step=step,
            hit_rate=hits,
            false_trigger_rate=false,
            change_percent=change,
            gates_passed=sum(passed),
            score=hits - false - max(0.0, over) / 100,
            standard_error=standard_error([(hits, identity.probes), (false, ordinary.probes)]),
        )

    def _answers(self, model: LoadedModel, what: Text, report: Report) -> Sequence[Answer]:
        said = model.generate(self.asked, what, report)
        return [model.answer(*each) for each in zip(self.asked, said, strict=True)]


def _what(en: str, zh: str) -> Text:
    return Text(f"Choosing the checkpoint: {en}", f"挑选检查点：{zh}")


__all__ = ["Chosen", "Measured", "choose"]
