"""`runs/R/fit/status.json`: how a training run stands, for the terminal and for a page."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from assistant.artifacts import whole_file
from assistant.words import Text

STATUS_FILE = "status.json"

State = Literal["starting", "running", "converting", "done", "failed", "stopped"]
RUNNING: tuple[State, ...] = ("starting", "running", "converting")


class Point(BaseModel):
    """One point of the loss curve."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    loss: float
    rate: float


class Status(BaseModel):
    """How a run stands. Seconds are wall time; `pid` is the process that watches the training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State
    recipe: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    seconds_per_step: float | None = None
    seconds_left: float | None = None
    seconds_expected: float = 0.0
    started: float
    updated: float
    pid: int = 0
    checkpoints: tuple[int, ...] = ()  # steps
    curve: tuple[Point, ...] = ()
    message: str = ""

    def text(self) -> Text:
        """One line for people."""
        words = _STATE_WORDS[self.state]
        loss = f", loss {self.loss:.3f}" if self.loss is not None else ""
        loss_zh = f"，损失 {self.loss:.3f}" if self.loss is not None else ""
        running = self.state == "running" and self.seconds_left is not None
        left = f", about {self.seconds_left:.0f} s left" if running else ""
        left_zh = f"，约剩 {self.seconds_left:.0f} 秒" if running else ""
        message = f"\n{self.message}" if self.message else ""
        return Text(
            f"{words.en}: step {self.step} of {self.steps}{loss}{left}{message}",
            f"{words.zh}：第 {self.step} 步，共 {self.steps} 步{loss_zh}{left_zh}{message}",
        )


_STATE_WORDS: dict[State, Text] = {
    "starting": Text("starting", "正在启动"),
    "running": Text("running", "训练中"),
    "converting": Text("converting", "正在转换"),
    "done": Text("done", "已完成"),
    "failed": Text("failed", "失败"),
    "stopped": Text("stopped", "已停止"),
}


def write_status(status: Status, work: Path) -> None:
    """Write it whole, stamped with the present time."""
    stamped = status.model_copy(update={"updated": time.time()})
    with whole_file(work / STATUS_FILE) as out:
        out.write(stamped.model_dump_json() + "\n")


def read_status(work: Path) -> Status | None:
    """The status of a run, None where there is none. A run whose process died is "stopped"."""
    try:
        status = Status.model_validate_json((work / STATUS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    if status.state in RUNNING and not _alive(status.pid):
        return status.model_copy(update={"state": "stopped"})
    return status


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
