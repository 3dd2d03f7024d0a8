"""The CPU engine: OpenVINO GenAI's continuous batching, with its prefix cache.

One scheduler thread owns the pipeline and steps it for all requests together; each answer reads
its own tokens from a queue and turns them into text. Cancelling reaches the pipeline at its next
step. The tokenizer's own chat template renders the prompt.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...conversation import Message
from ...errors import EngineError
from ...libraries import installing
from ...progress import Progress, Report, unreported
from ...words import Text
from ..base import (
    Chunk,
    Engine,
    EngineInfo,
    Finish,
    Generation,
    QueuedGeneration,
    Sampling,
    closed_error,
    no_chat_template,
)
from ..token_text import DecodeMany, TextSoFar, next_pieces, openvino_decoder
from .prefix import PrefixRecord

if TYPE_CHECKING:
    import openvino_genai

logger = logging.getLogger(__name__)

MAX_BATCHED_TOKENS = 512  # prompt tokens per step: a long prompt must not stall the others' answers
GATHER_SECONDS = 0.03  # less than one step of a full batch
GIVEN_SHARE = 0.5  # of a step's time, at most, goes to the other threads before the next one
NAP_SECONDS = 0.0002
LOOK_AGAIN_SECONDS = 0.002  # for the next of a burst; one person waits this long once an answer
CACHE_BLOCK_TOKENS = 32  # OpenVINO's KV block on the CPU: prefixes are shared in whole blocks
SEEDS = 2**64  # OpenVINO takes no larger one


@dataclass(frozen=True)
class CpuSettings:
    """`context_length` None: the model's own. `precision` "auto" leaves it to OpenVINO (bf16 where
    the processor has it); f32 decodes faster for one person and stays nearest to the weights."""

    context_length: int | None = None
    cache_gb: int = 1
    concurrent: int = 16
    precision: Literal["f32", "bf16", "auto"] = "f32"

    def properties(self) -> dict[str, Any]:
        """What OpenVINO is told."""
        return {} if self.precision == "auto" else {"INFERENCE_PRECISION_HINT": self.precision}


class CpuEngine(Engine):
    """Answers on the CPU. `weights` is a GGUF file or a folder with an OpenVINO model.

    Raises EngineError("unavailable") where OpenVINO GenAI is missing or refuses the weights.
    """

    keeps_forms = True

    def __init__(
        self,
        weights: Path,
        name: str,
        context_length: int,
        settings: CpuSettings = CpuSettings(),
        report: Report = unreported,
    ):
        self._info = EngineInfo(
            "cpu",
            _device_name(),
            name,
            min(context_length, settings.context_length or context_length),
        )
        report(Progress(Text("Loading the model", "正在加载模型")))
        pipeline = open_pipeline(weights, settings)
        self._tokenizer = pipeline.get_tokenizer()
        if not self._tokenizer.chat_template:
            raise no_chat_template(name)
        self._defaults = pipeline.get_config()
        self._prefixes = PrefixRecord(CACHE_BLOCK_TOKENS)
        self._scheduler = _Scheduler(pipeline, openvino_decoder(self._tokenizer))
        self._warm_up(report)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        with self._scheduler.arriving():
            return super().stream(messages, sampling)

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        prompt = self._encode(messages)
        cached = self._prefixes.cached(prompt)
        answer = _CpuGeneration(
            prompt,
            self._generation_config(sampling),
            cached,
            self._prefixes.add,
        )
        self._scheduler.add(answer)
        return answer

    def _generation_config(self, sampling: Sampling) -> openvino_genai.GenerationConfig:
        import openvino_genai

        config = openvino_genai.GenerationConfig()
        config.apply_chat_template = False
        config.eos_token_id = self._tokenizer.get_eos_token_id()
        config.stop_token_ids = {token for token in self._defaults.stop_token_ids if token >= 0} | {
            config.eos_token_id
        }
        config.max_new_tokens = sampling.max_tokens
        config.repetition_penalty = sampling.repetition_penalty
        config.do_sample = sampling.temperature > 0
        if config.do_sample:
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            if sampling.top_k:
                config.top_k = sampling.top_k
            seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
            config.rng_seed = seed % SEEDS
        if sampling.form:
            form = openvino_genai.StructuredOutputConfig(json_schema=sampling.form.schema)
            config.structured_output_config = form
        return config

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self._encode(messages))

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt text: the tokenizer's own template with the opening of the answer."""
        return self._tokenizer.apply_chat_template(
            [message.model_dump() for message in messages], add_generation_prompt=True
        )

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        encoded = self._tokenizer.encode(self.render(messages), add_special_tokens=False)
        return encoded.input_ids.data[0].tolist()

    def describe(self) -> EngineInfo:
        return self._info

    def close(self) -> None:
        self._scheduler.close()


class _CpuGeneration(QueuedGeneration):
    """One request: filled by the scheduler thread, read by the caller's."""

    def __init__(
        self,
        prompt: list[int],
        config: Any,
        cached_tokens: int,
        finished: Callable[[list[int]], None],
    ):
        super().__init__()
        self.prompt = prompt
        self.config = config
        self.cancelled = threading.Event()
        self.text = TextSoFar()
        self._cached_tokens = cached_tokens
        self._finished = finished

    def put(self, text: str) -> None:
        """Hand over a piece of text; an empty one is not worth waking the reader."""
        if text:
            self._outbox.put(Chunk(text))

    def end(self, finish: Finish, text: str = "") -> None:
        """Hand over the last piece and the counts."""
        self._finished(self.prompt + self.text.tokens)
        self._outbox.put(
            Chunk(text, finish, len(self.prompt), len(self.text.tokens), self._cached_tokens)
        )

    def fail(self, error: EngineError) -> None:
        """End with an error."""
        self._outbox.put(error)

    def close(self) -> None:
        self.cancelled.set()


class _Scheduler:
    """Steps the pipeline on one thread for all answers, and hands out the text it made.

    Tokens become text here, for all answers in a few calls: sixteen readers who each decode their
    own would hold the interpreter's lock while the next step waits (a third of the throughput).
    """

    def __init__(self, pipeline: openvino_genai.ContinuousBatchingPipeline, decode: DecodeMany):
        self._pipeline = pipeline
        self._decode = decode
        self._arrivals: queue.SimpleQueue[_CpuGeneration | None] = queue.SimpleQueue()
        self._running: list[tuple[_CpuGeneration, Any]] = []
        self._numbers = itertools.count()
        self._closed = threading.Event()
        self._coming = 0
        self._step_seconds = 0.0
        self._coming_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="cpu-engine", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """Around the work that ends in `add`: the next step waits a moment for it."""
        with self._coming_lock:
            self._coming += 1
        try:
            yield
        finally:
            with self._coming_lock:
                self._coming -= 1

    def add(self, answer: _CpuGeneration) -> None:
        """Put an answer in line. Raises EngineError("unavailable") once closed."""
        if self._closed.is_set():
            raise closed_error()
        self._arrivals.put(answer)

    def close(self) -> None:
        """Cancel everything and free the pipeline."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._arrivals.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                joined = not self._running
                if joined:
                    self._admit_one(self._arrivals.get())  # sleeps while there is nothing to do
                self._let_others_in(joined)
                self._drop_cancelled()
                if self._running:
                    began = time.perf_counter()
                    self._pipeline.step()
                    self._step_seconds = time.perf_counter() - began
                    self._deliver()
            except Exception as error:  # the native library failed: each reader must be told
                logger.exception("the CPU engine failed")
                self._give_up(error)
        for answer, handle in self._running:
            handle.cancel()
            answer.end("cancelled")
        while not self._arrivals.empty():
            if waiting := self._arrivals.get():
                waiting.end("cancelled")
        del self._pipeline

    def _let_others_in(self, joined: bool) -> None:
        """Give the interpreter away and admit who arrives; after one has `joined`, look for more.

        OpenVINO's `step` holds the interpreter's lock (its binding has no gil_scoped_release:
        openvino.genai, src/python/py_continuous_batching_pipeline.cpp), so other threads run only
        between steps: without this a burst of visitors joins one by one, a long step apart.
        """
        deadline = time.monotonic() + GATHER_SECONDS
        self._give_way()
        while True:
            while not self._arrivals.empty():
                self._admit_one(self._arrivals.get())
                joined = True
            if not (joined or self._coming) or time.monotonic() > deadline:
                return
            joined = False
            time.sleep(LOOK_AGAIN_SECONDS)

    def _give_way(self) -> None:
        """Let the other threads run for as long as they want to, at most a share of the last step.

        A nap that takes longer than it should is one in which others ran. A single one is not enough:
        the page's event loop gives the lock away at every turn, and would get one turn a step.
        """
        until = time.perf_counter() + GIVEN_SHARE * self._step_seconds
        nap = 0.0
        while True:
            began = time.perf_counter()
            time.sleep(nap)
            now = time.perf_counter()
            if now - began < nap + NAP_SECONDS or now > until:
                return
            nap = NAP_SECONDS

    def _admit_one(self, answer: _CpuGeneration | None) -> None:
        if answer is None:  # closing
            return
        if answer.cancelled.is_set():
            answer.end("cancelled")
            return
        try:
            self._running.append((answer, self._request(answer)))
        except Exception as error:  # the native library refused this one: the others go on
            logger.exception("the CPU engine refused a request")
            answer.fail(_failed(error))

    def _request(self, answer: _CpuGeneration) -> Any:
        import numpy
        import openvino

        tokens = openvino.Tensor(numpy.array([answer.prompt], dtype=numpy.int64))
        return self._pipeline.add_request(next(self._numbers), tokens, answer.config)

    def _drop_cancelled(self) -> None:
        for answer, handle in self._running:
            if answer.cancelled.is_set():
                handle.cancel()
                answer.end("cancelled")
        self._running = [pair for pair in self._running if not pair[0].cancelled.is_set()]
        if not self._running and self._pipeline.has_non_finished_requests():
            self._pipeline.step()  # lets the pipeline free what the cancelled ones held

    def _deliver(self) -> None:
        """Pass on what the last step made, and let go of the answers that ended."""
        finishes: dict[int, Finish] = {}
        written = []
        for number, (answer, handle) in enumerate(self._running):
            tokens, finish = _read(handle)
            if finish:
                finishes[number] = finish
            if tokens or finish:
                answer.text.tokens += tokens
                written.append(number)
            elif handle.get_status().name == "IGNORED":  # the KV cache can never hold the prompt
                answer.fail(_too_little_memory(len(answer.prompt)))
                answer.cancelled.set()
        pieces = next_pieces(
            [(self._running[number][0].text, number in finishes) for number in written],
            self._decode,
        )
        for number, piece in zip(written, pieces, strict=True):
            answer = self._running[number][0]
            if number in finishes:
                answer.end(finishes[number], piece)
            else:
                answer.put(piece)
        self._running = [
            pair
            for number, pair in enumerate(self._running)
            if number not in finishes and pair[1].get_status().name != "IGNORED"
        ]

    def _give_up(self, error: Exception) -> None:
        for answer, handle in self._running:
            handle.cancel()
            answer.fail(_failed(error))
        self._running = []


def _read(handle: Any) -> tuple[list[int], Finish | None]:
    """New tokens of a request, and how it ended if it did."""
    from openvino_genai import GenerationFinishReason

    tokens: list[int] = []
    while handle.can_read():
        for output in handle.read().values():
            tokens += output.generated_ids
            if output.finish_reason == GenerationFinishReason.LENGTH:
                return tokens, "length"
            if output.finish_reason != GenerationFinishReason.NONE:
                return tokens, "stop"
    return tokens, None


def open_pipeline(
    weights: Path, settings: CpuSettings
) -> openvino_genai.ContinuousBatchingPipeline:
    """OpenVINO's continuous batching pipeline for `weights`. Raises EngineError("unavailable")."""
    try:
        import openvino_genai
    except ImportError as error:
        raise EngineError(
            "unavailable",
            Text(
                f"OpenVINO GenAI is not installed: {error}.", f"没有安装 OpenVINO GenAI：{error}。"
            ),
            installing("openvino_genai"),
        ) from None
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.cache_size = settings.cache_gb
    scheduler.max_num_batched_tokens = MAX_BATCHED_TOKENS
    scheduler.max_num_seqs = settings.concurrent
    try:
        return openvino_genai.ContinuousBatchingPipeline(
            str(weights), scheduler, "CPU", settings.properties()
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EngineError(
            "unavailable",
            Text(
                f"OpenVINO cannot load {weights}: {reason}",
                f"OpenVINO 无法加载 {weights}：{reason}",
            ),
            Text(
                "If the file was cut or changed, fetch it again; see: python -m assistant models",
                "若文件不完整或被改动，请重新下载；参见：python -m assistant models",
            ),
        ) from None


def _device_name() -> str:
    import openvino

    return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()


def _failed(error: Exception) -> EngineError:
    return EngineError(
        "internal", Text(f"The CPU engine failed: {error}", f"CPU 引擎出错：{error}")
    )


def _too_little_memory(prompt_tokens: int) -> EngineError:
    return EngineError(
        "context_length",
        Text(
            f"The engine's cache cannot hold a prompt of {prompt_tokens} tokens.",
            f"引擎的缓存放不下 {prompt_tokens} 个 token 的提示。",
        ),
        Text(
            "Raise [serve] cache_gb, or shorten the message.",
            "请调大 [serve] cache_gb，或缩短消息。",
        ),
    )
