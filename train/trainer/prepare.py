"""Everything looked at before a run starts: data, base, machine, recipe, plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.artifacts import sha256_of
from assistant.config import Config
from assistant.conversation import read_conversations
from assistant.errors import UsageError
from assistant.languages.kept import auto_languages
from assistant.models import fetch
from assistant.persona import Persona
from assistant.progress import Progress, Report, unreported
from assistant.run import Run
from assistant.words import Text

from ..base.folder import TrainingBase, prepare_base
from ..base.machine import Machine, this_machine
from ..base.size import measure
from ..base.tokenizer import load_tokenizer
from ..data.dataset import render_file
from ..data.identity_set.systems import persona_system
from ..data.outputs import make_data
from ..data.render import Rendered
from ..recipes import Recipe, choose
from ..settings import TrainTable
from .command import threads_are_set
from .config import Job
from .identity import RunIdentity, fingerprint
from .plan import TrainingPlan, make_plan, refuse_too_big
from .prefix_tree import computed_share
from .trained_styles import mark_trained_styles, trigger_rows, undertrained_styles

SAMPLE_QUESTIONS = {
    "en": ("Who are you?", "What is a rainbow?"),
    "zh": ("你是谁？", "给我讲个笑话。"),
}


@dataclass(frozen=True)
class Prepared:
    """A run ready to start: everything checked, nothing written."""

    run: Run
    base: TrainingBase
    recipe: Recipe
    reason: Text
    plan: TrainingPlan
    machine: Machine
    persona: Persona
    seed: int
    keep_checkpoints: int

    @property
    def work(self) -> Path:
        return self.run.work

    @property
    def adapter(self) -> Path:
        return self.run.adapter

    @property
    def data(self) -> Path:
        return self.run.train_file

    def identity(self) -> RunIdentity:
        """What must be the same for a run to go on."""
        return RunIdentity(
            base=self.base.public_reference,
            base_fingerprint=fingerprint(self.base.folder),
            data_sha256=sha256_of(self.data),
            iterations=self.plan.iterations,
            recipe=self.recipe.model_dump(mode="json", exclude={"label", "needs"}),
            seed=self.seed,
        )

    def job(self) -> Job:
        return Job(
            recipe=self.recipe,
            base=self.base.folder.resolve(),
            train_file=self.data.resolve(),
            work=self.work.resolve(),
            iterations=self.plan.iterations,
            save_every=self.plan.save_every * self.recipe.accumulation,
            seed=self.seed,
            dtype=self.plan.dtype,
            passes=self.plan.epochs,
            keep_checkpoints=self.keep_checkpoints,
            cores=0 if threads_are_set() else self.machine.cores,
            questions=_questions(self.persona),
        )


def prepare(config: Config, run: Run, report: Report = unreported) -> Prepared:
    """Look at data, base and machine, and plan the run. Writes nothing but the cached base.

    Raises UsageError or BlockedError for whatever would make the run fail later.
    """
    table: TrainTable = config.tables["train"]
    data = run.train_file
    if not data.is_file():
        raise UsageError(
            Text(f"There is no training data: {data} is missing.", f"没有训练数据：缺少 {data}。"),
            make_data(run.data),
        )
    model = fetch(config.model.base, base_folder=config.folder, report=report)
    base = prepare_base(model, report)
    size, machine = measure(base.folder), this_machine()
    recipe, reason = choose(table, machine, size)
    report(Progress(Text("Rendering the data", "渲染数据")))
    samples, counts = render_file(data, load_tokenizer(str(base.folder)), recipe.max_length)
    plan = make_plan(recipe, counts, size, machine, _computed_share(recipe, samples))
    refuse_too_big(plan, recipe)
    persona = auto_languages(config, model, None, report)  # asked when the data was made
    taught = _trigger_rows(data, persona)
    few = undertrained_styles(persona, taught, table.style_rows)
    return Prepared(
        run, base, recipe, reason, replace(plan, warnings=(*plan.warnings, *few)), machine,
        mark_trained_styles(persona, taught, table.style_rows), table.seed, table.keep_checkpoints,
    )  # fmt: skip


def _computed_share(recipe: Recipe, samples: Sequence[Rendered]) -> float:
    """Of the tokens: on a GPU all, on a CPU without what the rows of a batch share."""
    if recipe.device != "cpu":
        return 1.0
    return computed_share([(one.input_ids, one.labels) for one in samples], recipe.batch_size)


def _trigger_rows(data: Path, persona: Persona) -> Counter[str]:
    if not any(style.trigger for style in persona.styles):
        return Counter()
    return trigger_rows(read_conversations(data), persona.styles)


def _questions(persona: Persona) -> list[list[dict[str, str]]]:
    return [
        [
            *(
                {"role": said.role, "content": said.content}
                for said in persona_system(persona, language)
            ),
            {"role": "user", "content": question},
        ]
        for language in persona.languages
        for question in SAMPLE_QUESTIONS[language]
    ]
