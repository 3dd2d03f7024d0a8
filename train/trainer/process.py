"""The training process seen from outside: started, watched, ended, and its end explained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from assistant.errors import AssistantError, BlockedError, FailedError
from assistant.libraries import not_installed
from assistant.words import Text

from .child import FAILURE_FILE

LOG_FILE = "train.log"
SHOWN = 600  # characters of the log's end that go into a message
PATIENCE = 15.0  # seconds between asking a process to end and ending it


class TrainingProcess:
    """XTuner in a process group of its own; what it prints goes to `train.log`."""

    def __init__(self, command: Sequence[str], work: Path, environment: dict[str, str]):
        self._work = work
        (work / FAILURE_FILE).unlink(missing_ok=True)
        with (work / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most so long."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def end(self) -> None:
        """End it and all that it started; whole checkpoints stay."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.running:
                return
            os.killpg(self._process.pid, number)
            self.wait(PATIENCE)

    def failure(self) -> AssistantError:
        """Why it ended without its last checkpoint, and what to change."""
        code = self._process.returncode
        kind, said = _word(self._work)
        if code is not None and code < 0 and not said:
            kind = "memory" if code == -signal.SIGKILL else "killed"
            said = f"ended by signal {-code}"
        said = said or _end_of_log(self._work / LOG_FILE)
        return explain(kind, said, self._work / LOG_FILE)


def _word(work: Path) -> tuple[str, str]:
    try:
        word = json.loads((work / FAILURE_FILE).read_text(encoding="utf-8"))
        return str(word["kind"]), str(word["error"])
    except (OSError, ValueError, KeyError):
        return "other", ""


def _end_of_log(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace").strip()[-SHOWN:]
    except OSError:
        return ""


def explain(kind: str, said: str, log: Path) -> AssistantError:
    """A failure of the training process as a plain message with what to change."""
    if kind == "library":
        return not_installed(said)
    if kind == "memory":
        return BlockedError(
            Text(f"Training ran out of memory ({said}).", f"训练内存不足（{said}）。"),
            Text(
                "Set [train] batch_size to half, or max_length lower, or gradient_checkpointing = "
                "true, or a qlora recipe; then train again with --resume.",
                "请把 [train] batch_size 减半，或调低 max_length，或设 gradient_checkpointing = "
                "true，或用 qlora 配方；然后加 --resume 继续训练。",
            ),
        )
    if kind == "nan":
        return FailedError(
            Text(
                f"Training broke down: the loss is no longer a number ({said}).",
                f"训练发散：损失不再是数字（{said}）。",
            ),
            Text(
                "Set [train] learning_rate to a third of what it was, and train again with --force.",
                "请把 [train] learning_rate 降到三分之一，加 --force 重新训练。",
            ),
        )
    if kind == "disk":
        return BlockedError(
            Text(f"The disk refused a checkpoint ({said}).", f"磁盘无法写入检查点（{said}）。"),
            Text(
                "Free some space, then train again with --resume.",
                "请腾出空间，再用 --resume 继续。",
            ),
        )
    if kind == "killed":
        return FailedError(
            Text(f"Training was ended from outside ({said}).", f"训练被外部终止（{said}）。"),
            Text("Go on with --resume.", "用 --resume 继续。"),
        )
    return FailedError(
        Text(f"Training failed: {said}", f"训练失败：{said}"),
        Text(f"The whole story is in {log}.", f"完整记录见 {log}。"),
    )
