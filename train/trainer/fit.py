"""`train fit`: from data to an adapter. XTuner trains in a process of its own; this one watches."""

from __future__ import annotations

import shutil
from pathlib import Path

from assistant.artifacts import now, sha256_of
from assistant.errors import BlockedError, FailedError, UsageError
from assistant.progress import Report, unreported
from assistant.records.training_status import RUNNING, read_status
from assistant.words import Text

from ..recipes import GIB
from .adapter import write_adapter
from .checkpoints import Checkpoint, checkpoints, last_saved, resume_points
from .command import command, environment
from .config import Job, write_config
from .identity import RunIdentity
from .prepare import Prepared, prepare
from .process import TrainingProcess
from .watch import Say, Watch, note

__all__ = ["Prepared", "fit", "prepare"]

LOOK_EVERY = 1.0  # seconds between looks at the training process


def _silent(_: Text) -> None:
    """Says nothing."""


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
        last = _train(prepared, job, start, report, say)
    note(prepared, "converting")
    write_adapter(
        last, prepared.adapter, base=prepared.base, recipe=prepared.recipe,
        persona=prepared.persona, inputs={"data/train.jsonl": sha256_of(prepared.data)},
        seed=prepared.seed, started=started, force=True,
    )  # fmt: skip
    note(prepared, "done")
    return prepared.adapter


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
        return last_saved(work)
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


def _train(prepared: Prepared, job: Job, start: list[str], report: Report, say: Say) -> Checkpoint:
    """Run the training process to its end. Returns the last step's checkpoint."""
    note(prepared, "starting")
    environ = environment(job, prepared.machine.cores, report)
    process = TrainingProcess(start, prepared.work, environ)
    watch = Watch(prepared, report, say)
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
        for point in resume_points(prepared.work):  # nothing to go on with any more
            point.path.unlink(missing_ok=True)
        return found[-1]
    failure = process.failure()
    note(prepared, "failed", failure)
    raise failure


def _stopped(prepared: Prepared) -> FailedError:
    last = last_saved(prepared.work)
    step = last.iteration // prepared.recipe.accumulation if last else 0
    stopped = FailedError(
        Text(
            f"Stopped; saved up to step {step} of {prepared.plan.steps}.",
            f"已停止；保存到第 {step} 步（共 {prepared.plan.steps} 步）。",
        ),
        Text("Go on with: python -m train fit --resume", "继续：python -m train fit --resume"),
    )
    note(prepared, "stopped", stopped)
    return stopped
