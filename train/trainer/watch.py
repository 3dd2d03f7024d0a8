"""Looks at what a training process leaves on disk, and tells the terminal and the status file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from assistant.errors import AssistantError
from assistant.progress import Progress, Report
from assistant.records.training_status import Point, State, Status, read_status, write_status
from assistant.words import Text

from .checkpoints import checkpoints
from .prepare import Prepared
from .scalars import read_scalars, recent_seconds
from .threads import Threads

Say = Callable[[Text], None]
TOLD_EVERY = 60.0  # seconds at least between two words about threads


def note(prepared: Prepared, state: State, error: AssistantError | None = None) -> None:
    """Write the status file: how the run stands, and why if it failed."""
    write_status(current_status(prepared, state, error.message.en if error else ""), prepared.work)


def current_status(prepared: Prepared, state: State, message: str = "") -> Status:
    """How the run stands by what lies in its work folder."""
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


class Watch:
    """Looks at what training leaves on disk: progress for the terminal, the status for a page."""

    def __init__(self, prepared: Prepared, report: Report, say: Say):
        self._prepared = prepared
        self._report = report
        self._say = say
        self._saved = len(checkpoints(prepared.work))
        self._threads = Threads.read(prepared.work)
        self._told = -math.inf

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
        self._tell_of_threads(status)

    def _tell_of_threads(self, status: Status) -> None:
        """Say why training is slower or quicker than it was, once in a while."""
        now = Threads.read(self._prepared.work)
        quiet = time.monotonic() - self._told < TOLD_EVERY
        if now is None or now == self._threads or quiet:
            return
        self._threads, self._told = now, time.monotonic()
        minutes = max(1, round((status.seconds_left or 0) / 60))
        left = Text("", "")
        if status.seconds_left is not None:
            left = Text(f" About {minutes} min left.", f"约剩 {minutes} 分钟。")
        self._say(
            Text(
                f"Other programs use {now.others:g} of {now.cores} cores: training goes on with "
                f"{now.threads}.{left.en}",
                f"其他程序占用 {now.others:g} 个核（共 {now.cores} 个）：训练改用 {now.threads} 个。{left.zh}",
            )
        )
