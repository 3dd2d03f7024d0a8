"""The transformers engine: PyTorch on a GPU, on ZeroGPU, or on the CPU.

For hosts that neither LMDeploy nor OpenVINO fits. One answer at a time; on ZeroGPU, where each has a
GPU and a process of its own, as many as `concurrent`. The tokenizer's own chat template renders the
prompt.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import secrets
import shutil
import tempfile
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ...conversation import Message
from ...errors import EngineError
from ...progress import Progress, Report, unreported
from ...words import Text
from ..base import (
    Chunk,
    Engine,
    EngineInfo,
    Finish,
    Generation,
    Sampling,
    SettledGeneration,
    closed_error,
)
from ..cpu.weights import folder_context_length
from ..token_text import DecodeMany, TextSoFar, next_pieces, transformers_decoder
from . import zero_gpu
from .loading import load
from .tokens import Made, Order

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransformersSettings:
    """`context_length` None: the model's own. `concurrent`: answers at once, on ZeroGPU only."""

    context_length: int | None = None
    concurrent: int = 16


class TransformersEngine(Engine):
    """Answers by transformers' `generate`. `weights` is a folder with safetensors.

    Raises EngineError("unavailable") where PyTorch or transformers is missing or refuses the
    weights.
    """

    def __init__(
        self,
        weights: Path,
        name: str,
        settings: TransformersSettings = TransformersSettings(),
        report: Report = unreported,
    ):
        report(Progress(Text("Loading the model", "正在加载模型")))
        own = folder_context_length(weights)
        loaded = load(weights, name)
        self._tokenizer, self._ends, self._make = loaded.tokenizer, loaded.ends, loaded.make
        self._info = EngineInfo(
            "transformers",
            loaded.device,
            name,
            min(own, settings.context_length or own),
            {"precision": loaded.precision},
        )
        # There a process is forked for each answer, in the context of its visitor's request only.
        self.may_be_tried = not zero_gpu.here()
        places = settings.concurrent if zero_gpu.here() else 1
        self._pool = ThreadPoolExecutor(places, "transformers-engine")
        self._flags = Path(tempfile.mkdtemp(prefix="assistant-cancelled-"))
        self._numbers = itertools.count()
        self._answers: set[_TransformersGeneration] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._tokenizing = threading.Lock()  # a fast tokenizer lends itself to one thread at a time
        if not zero_gpu.here():  # there a GPU is only lent to visitors
            self._warm_up(report)

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        flag = self._flags / str(next(self._numbers))
        order = _order(self.encode(messages), sampling, flag)
        answer = _TransformersGeneration(
            order, flag, self._ends, transformers_decoder(self._tokenizer)
        )
        # ZeroGPU looks there for the visitor, whose quota it is.
        context = contextvars.copy_context()
        with self._lock:
            if self._closed:
                raise closed_error()
            self._answers.add(answer)
            self._pool.submit(context.run, self._work, answer)
        return answer

    def _work(self, answer: _TransformersGeneration) -> None:
        try:
            if not answer.order.is_cancelled:
                for made in self._make(answer.order):
                    answer.take(made)
            answer.end()
        except Exception as error:  # of PyTorch, or of the platform: the reader must be told
            logger.exception("the transformers engine failed")
            answer.fail(_failed(error))
        finally:
            with self._lock:
                self._answers.discard(answer)
            answer.flag.unlink(missing_ok=True)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self.encode(messages))

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt text: the tokenizer's own template with the opening of the answer."""
        text: str = self._tokenizer.apply_chat_template(
            [message.model_dump() for message in messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        return text

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's token ids; the template has written all special tokens there are."""
        with self._tokenizing:
            tokens: list[int] = self._tokenizer.encode(
                self.render(messages), add_special_tokens=False
            )
        return tokens

    def describe(self) -> EngineInfo:
        return self._info

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            answers = list(self._answers)
        for answer in answers:
            answer.close()
        self._pool.shutdown()
        shutil.rmtree(self._flags, ignore_errors=True)
        del self._make


class _TransformersGeneration(SettledGeneration):
    """One answer: filled by a thread of the engine's, read by the caller's."""

    def __init__(self, order: Order, flag: Path, ends: Collection[int], decode: DecodeMany):
        super().__init__()
        self.order = order
        self.flag = flag
        self._ends = ends
        self._decode = decode
        self._text = TextSoFar()
        self._cached = 0

    def take(self, made: Made) -> None:
        """Hand over the text of new tokens."""
        tokens = self._text.tokens
        tokens += made.tokens
        self._cached = made.cached
        finish: Finish | None = None
        if tokens[-1] in self._ends:
            finish = "stop"
        elif len(tokens) >= self.order.max_tokens:
            finish = "length"
        piece = next_pieces([(self._text, finish is not None)], self._decode)[0]
        if finish:
            self._settle(self._last(finish, piece))
        else:
            self._put(piece)

    def end(self) -> None:
        """No more tokens come: without an end of its own the answer was cancelled."""
        self._settle(self._last("cancelled"))

    def fail(self, error: EngineError) -> None:
        """End with an error."""
        self._settle(error)

    def close(self) -> None:
        if self._settle(self._last("cancelled")):
            self.flag.touch()

    def _last(self, finish: Finish, text: str = "") -> Chunk:
        return Chunk(text, finish, len(self.order.prompt), len(self._text.tokens), self._cached)


def _order(prompt: list[int], sampling: Sampling, flag: Path) -> Order:
    """A seed always: a process that is forked anew would draw what the last one drew."""
    return Order(
        prompt,
        sampling.max_tokens,
        sampling.temperature,
        sampling.top_p,
        sampling.top_k,
        sampling.repetition_penalty,
        secrets.randbits(32) if sampling.seed is None else sampling.seed,
        str(flag),
    )


def _failed(error: Exception) -> EngineError:
    """On ZeroGPU it is the platform's word (no GPU free, the visitor's quota used up) or the end of
    a process of its own: the engine here is as good as before."""
    said = str(getattr(error, "message", error))
    if zero_gpu.here():
        return EngineError(
            "unavailable",
            Text(f"The GPU did not answer: {said}", f"GPU 没有回答：{said}"),
            Text("Ask again later, or sign in to Hugging Face for a larger quota.",
                 "请稍后再问；登录 Hugging Face 可以获得更多额度。"),
        )  # fmt: skip
    return EngineError(
        "internal",
        Text(f"The transformers engine failed: {said}", f"transformers 引擎出错：{said}"),
    )
