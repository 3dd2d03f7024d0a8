"""`train fit`: from data to an adapter. XTuner trains in a process of its own; this one watches."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assistant.artifacts import now, sha256_of
from assistant.config import Config
from assistant.errors import AssistantError, BlockedError, FailedError, UsageError
from assistant.models import fetch
from assistant.persona import Persona, persona_from_config
from assistant.progress import Progress, Report, unreported
from assistant.words import Text

from .adapter import ADAPTER_FOLDER, write_adapter
from .base import TrainingBase, prepare_base
from .dataset import render_file
from .machine import Machine, this_machine
from .plan import Plan, make_plan, refuse_too_big
from .recipes import GIB, Recipe, choose
from .render import load_tokenizer
from .settings import TrainTable
from .status import RUNNING, Point, Status, read_status, write_status
from .trainer.checkpoints import Checkpoint, checkpoints
from .trainer.command import command, environment
from .trainer.config import Job, write_config
from .trainer.identity import RunIdentity, fingerprint
from .trainer.process import TrainingProcess
from .trainer.scalars import read_scalars, recent_seconds
from .weights import measure

TRAIN_FILE = Path("data", "train.jsonl")
WORK_FOLDER = "fit"
LOOK_EVERY = 1.0  # seconds between looks at the training process
Say = Callable[[Text], None]

SAMPLE_QUESTIONS = {
    "en": ("Who are you?", "What is a rainbow?"),
    "zh": ("你是谁？", "给我讲个笑话。"),
}


def _silent(_: Text) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Prepared:
    """A run ready to start: everything checked, nothing written."""

    run: Path
    base: TrainingBase
    recipe: Recipe
    reason: Text
    plan: Plan
    machine: Machine
    persona: Persona
    seed: int
    keep_checkpoints: int

    @property
    def work(self) -> Path:
        return self.run / WORK_FOLDER

    @property
    def adapter(self) -> Path:
        return self.run / ADAPTER_FOLDER

    @property
    def data(self) -> Path:
        return self.run / TRAIN_FILE

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
            keep_checkpoints=self.keep_checkpoints,
            questions=_questions(self.persona),
        )


def prepare(config: Config, run: Path, report: Report = unreported) -> Prepared:
    """Look at data, base and machine, and plan the run. Writes nothing but the cached base.

    Raises UsageError or BlockedError for whatever would make the run fail later.
    """
    table: TrainTable = config.tables["train"]
    data = run / TRAIN_FILE
    if not data.is_file():
        raise UsageError(
            Text(f"There is no training data: {data} is missing.", f"没有训练数据：缺少 {data}。"),
            Text("Make it: python -m train data identity", "先生成：python -m train data identity"),
        )
    base = prepare_base(
        fetch(config.model.base, base_folder=config.folder, report=report), report
    )
    size, machine = measure(base.folder), this_machine()
    recipe, reason = choose(table, machine, size)
    report(Progress(Text("Rendering the data", "渲染数据")))
    _, counts = render_file(data, load_tokenizer(str(base.folder)), recipe.max_length)
    plan = make_plan(recipe, counts, size, machine)
    refuse_too_big(plan, recipe)
    return Prepared(
        run, base, recipe, reason, plan, machine, persona_from_config(config), table.seed,
        table.keep_checkpoints,
    )  # fmt: skip


def fit(
    prepared: Prepared,
    *,
    resume: bool = False,
    force: bool = False,
    report: Report = unreported,
    say: Say = _silent,
) -> Path:
    """Train and write `runs/R/adapter`; returns that folder.

    `resume` goes on from the last whole checkpoint; `force` starts anew over an earlier run.
    Raises UsageError, BlockedError, or FailedError with what to change. Ctrl-C ends the training
    process and leaves a run that can be resumed.
    """
    started = now()
    _refuse_running(prepared.work)
    last = _open_work(prepared, resume, force)
    _refuse_full_disk(prepared)
    job = prepared.job()
    if last is None or last.iteration < job.iterations:
        config = write_config(job)
        start = command(job, config, last.path if last else None)
        last = _train(prepared, start, report, say)
    _note(prepared, "converting")
    write_adapter(
        last, prepared.adapter, base=prepared.base, recipe=prepared.recipe,
        persona=prepared.persona, inputs={"data/train.jsonl": sha256_of(prepared.data)},
        seed=prepared.seed, started=started, force=True,
    )  # fmt: skip
    _note(prepared, "done")
    return prepared.adapter


def _questions(persona: Persona) -> list[list[dict[str, str]]]:
    system = [{"role": "system", "content": persona.system_prompt}] if persona.system_prompt else []
    return [
        [*system, {"role": "user", "content": question}]
        for language in persona.languages
        for question in SAMPLE_QUESTIONS[language]
    ]


def _refuse_running(work: Path) -> None:
    status = read_status(work)
    if status and status.state in RUNNING:
        raise UsageError(
            Text(
                f"This run is being trained already (process {status.pid}).",
                f"这个运行正在训练中（进程 {status.pid}）。",
            ),
            Text("Look at it: python -m train status", "查看进度：python -m train status"),
        )


def _open_work(prepared: Prepared, resume: bool, force: bool) -> Checkpoint | None:
    """Make or open the work folder; the checkpoint to go on from, None to begin."""
    work, identity = prepared.work, prepared.identity()
    if resume and (known := RunIdentity.read(work)):
        known.refuse_other(identity)
        found = checkpoints(work)
        return found[-1] if found else None
    if work.exists() or prepared.adapter.exists():
        if not force:
            raise UsageError(
                Text(
                    f"{prepared.run} has been trained already, or in part.",
                    f"{prepared.run} 已经训练过，或训练了一部分。",
                ),
                Text(
                    "Go on with --resume, or begin again with --force.",
                    "用 --resume 继续，或用 --force 重新开始。",
                ),
            )
        shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True, exist_ok=True)
        identity.write(work)
    except OSError as error:
        raise BlockedError(
            Text(f"Cannot write {work}: {error.strerror}.", f"无法写入 {work}：{error.strerror}。"),
            Text("Choose another run folder with --run.", "请用 --run 换一个运行目录。"),
        ) from error
    return None


def _refuse_full_disk(prepared: Prepared) -> None:
    free = shutil.disk_usage(prepared.work).free
    if free < prepared.plan.disk:
        need = prepared.plan.disk / GIB
        raise BlockedError(
            Text(
                f"The checkpoints of this run need {need:.1f} GB; {free / GIB:.1f} GB are free.",
                f"这次训练的检查点需要 {need:.1f} GB，磁盘只剩 {free / GIB:.1f} GB。",
            ),
            Text(
                "Free some space, or set [train] keep_checkpoints = 1.",
                "请腾出空间，或设 [train] keep_checkpoints = 1。",
            ),
        )


def _train(prepared: Prepared, start: list[str], report: Report, say: Say) -> Checkpoint:
    """Run the training process to its end. Returns the last step's checkpoint."""
    _note(prepared, "starting")
    process = TrainingProcess(start, prepared.work, environment(prepared.machine.cores))
    watch = _Watch(prepared, report, say)
    try:
        while process.running:
            process.wait(LOOK_EVERY)
            watch.look()
    except KeyboardInterrupt:
        raise _stopped(prepared) from None
    finally:
        process.end()
    found = checkpoints(prepared.work)
    if found and found[-1].iteration >= prepared.plan.iterations:
        return found[-1]
    failure = process.failure()
    _note(prepared, "failed", failure)
    raise failure


def _stopped(prepared: Prepared) -> FailedError:
    found = checkpoints(prepared.work)
    step = found[-1].iteration // prepared.recipe.accumulation if found else 0
    stopped = FailedError(
        Text(
            f"Stopped; saved up to step {step} of {prepared.plan.steps}.",
            f"已停止；保存到第 {step} 步（共 {prepared.plan.steps} 步）。",
        ),
        Text("Go on with: python -m train fit --resume", "继续：python -m train fit --resume"),
    )
    _note(prepared, "stopped", stopped)
    return stopped


def _note(prepared: Prepared, state: str, error: AssistantError | None = None) -> None:
    write_status(current_status(prepared, state, error.message.en if error else ""), prepared.work)


def current_status(prepared: Prepared, state: str, message: str = "") -> Status:
    """How the run stands by what lies in its work folder."""
    import os

    scalars, accumulation = read_scalars(prepared.work), prepared.recipe.accumulation
    each = recent_seconds(scalars)
    done = scalars[-1].iteration // accumulation if scalars else 0
    earlier = read_status(prepared.work)
    return Status(
        state=state,
        recipe=prepared.recipe.name,
        step=done,
        steps=prepared.plan.steps,
        loss=scalars[-1].loss if scalars else None,
        seconds_per_step=each * accumulation if each else None,
        seconds_left=each * accumulation * (prepared.plan.steps - done) if each else None,
        seconds_expected=prepared.plan.seconds,
        started=earlier.started if earlier and state != "starting" else time.time(),
        updated=time.time(),
        pid=os.getpid(),
        checkpoints=tuple(one.iteration // accumulation for one in checkpoints(prepared.work)),
        curve=tuple(
            Point(step=max(1, one.iteration // accumulation), loss=one.loss, rate=one.rate)
            for one in scalars
        ),
        message=message,
    )


class _Watch:
    """Looks at what training leaves on disk: progress for the terminal, the status for a page."""

    def __init__(self, prepared: Prepared, report: Report, say: Say):
        self._prepared = prepared
        self._report = report
        self._say = say
        self._saved = len(checkpoints(prepared.work))

    def look(self) -> None:
        status = current_status(self._prepared, "running")
        write_status(status, self._prepared.work)
        self._report(Progress(Text("Training", "训练"), status.step, status.steps))
        if len(status.checkpoints) > self._saved and status.loss is not None:
            self._saved = len(status.checkpoints)
            self._say(
                Text(
                    f"Step {status.checkpoints[-1]} saved, loss {status.loss:.3f}.",
                    f"第 {status.checkpoints[-1]} 步已保存，损失 {status.loss:.3f}。",
                )
            )
