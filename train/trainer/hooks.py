"""What happens between training steps: a watch on the loss, and a look at the answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from assistant.conversation import Message

from ..base.tokenizer import load_tokenizer
from ..data.render import prompt_ids
from .checkpoints import RESUME_POINTS, resume_name, resume_points
from .threads import OtherPrograms, ThreadCount, Threads

WATCHED_VARIABLE = "ASSISTANT_TRAINING_WATCHED"


class LossNotFiniteError(RuntimeError):
    """The loss became NaN or infinite: going on would only write broken weights."""


class WatchLossHook(Hook):
    """Ends training when the loss is no longer a number, or whoever watches it has died."""

    def __init__(self) -> None:
        self.parent = os.getppid() if os.environ.get(WATCHED_VARIABLE) else None

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self.parent is not None and os.getppid() != self.parent:
            raise RuntimeError("the process that watched this training is gone")
        loss = (outputs or {}).get("loss")
        if loss is not None and not torch.isfinite(loss.detach()).all():
            raise LossNotFiniteError(f"loss is {loss.item()} at step {runner.iter + 1}")


class PlainCheckpointHook(Hook):
    """Keeps mmengine's loss history out of checkpoints: what is left are tensors and numbers.

    With it torch (2.6 and later, `weights_only`) refuses to resume, and rightly: reading it would
    mean running what the file says. The losses are in scalars.json.
    """

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}


class ResumePointHook(Hook):
    """Saves a point to go on from every `seconds`, however long a step takes: the last two are
    kept, and no checkpoint is chosen from them."""

    priority = "VERY_LOW"  # after the checkpoints by steps, which are points to go on from too

    def __init__(self, seconds: float, every: int):
        self.seconds = seconds
        self.every = every
        self._saved = time.monotonic()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self.every_n_train_iters(runner, self.every) or self.is_last_train_iter(runner):
            self._saved = time.monotonic()
        elif time.monotonic() - self._saved >= self.seconds:
            work = Path(runner.work_dir)
            runner.save_checkpoint(str(work), resume_name(runner.iter + 1), by_epoch=False)
            for old in resume_points(work)[:-RESUME_POINTS]:
                old.path.unlink(missing_ok=True)
            self._saved = time.monotonic()


class ThreadsHook(Hook):
    """Computes with as many threads as other programs leave cores, looked at before the first step
    (since this was made, while the model loaded) and after each."""

    def __init__(self, cores: int):
        self._count = ThreadCount(cores)
        self._others = OtherPrograms()

    def before_train(self, runner: Any) -> None:
        self._look(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._look(runner)

    def _look(self, runner: Any) -> None:
        others = self._others.cores()
        if others is None:
            return
        threads = self._count.after(others)
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
            chosen = Threads(threads, self._count.cores, round(others, 1))
            chosen.write(Path(runner.work_dir))
            runner.logger.info(str(chosen))


class SamplesHook(Hook):
    """At every save, answers a few questions and appends the answers to `file` as JSON lines.

    Bounded: greedy, all questions in one batch, `max_new_tokens`, and at most `seconds` a time.
    """

    priority = "LOW"

    def __init__(
        self,
        file: str,
        tokenizer: str,
        questions: Sequence[Sequence[dict[str, str]]],
        every: int,
        max_new_tokens: int = 32,
        seconds: float = 10.0,
    ):
        self.file = Path(file)
        self.tokenizer = load_tokenizer(tokenizer)
        self.questions = [[Message(**message) for message in asked] for asked in questions]
        self.every = every
        self.max_new_tokens = max_new_tokens
        self.seconds = seconds

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        due = self.every_n_train_iters(runner, self.every) or self.is_last_train_iter(runner)
        if due and self.questions and is_main_process():
            self._write(runner.iter + 1, self._answers(runner.model))

    def _answers(self, model: Any) -> list[str]:
        model = getattr(model, "module", model)
        prompts = [prompt_ids(self.tokenizer, asked) for asked in self.questions]
        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        pad = self.tokenizer.eos_token_id if pad is None else pad
        device = next(model.llm.parameters()).device
        ids = torch.tensor([[pad] * (width - len(one)) + one for one in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts]).to(ids)
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), model._precision():
                out = model.llm.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=self.max_new_tokens,
                    max_time=self.seconds, do_sample=False, use_cache=True, pad_token_id=pad,
                )  # fmt: skip
        finally:
            model.train(training)
        return self.tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)

    def _write(self, step: int, answers: list[str]) -> None:
        with self.file.open("a", encoding="utf-8") as out:
            for asked, answer in zip(self.questions, answers, strict=True):
                row = {
                    "step": step,
                    "time": round(time.time(), 1),
                    "question": asked[-1].content,
                    "answer": answer,
                }
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
