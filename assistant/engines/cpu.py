"""The CPU engine: OpenVINO GenAI's continuous batching, with its prefix cache.

One scheduler thread owns the pipeline and steps it for all requests together; each answer reads
its own tokens from a queue and turns them into text. Cancelling reaches the pipeline at its next
step. The tokenizer's own chat template renders the prompt.
"""

from __future__ import annotations

import itertools
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..conversation import Message
from ..errors import EngineError
from ..progress import Progress, Report, unreported
from ..words import Text
from .base import Chunk, Engine, EngineInfo, Finish, Generation, Sampling, closed_error
from .prefix import PrefixRecord

if TYPE_CHECKING:
    import openvino_genai

logger = logging.getLogger(__name__)

MAX_BATCHED_TOKENS = 512  # prompt tokens per step: a long prompt must not stall the others' answers
CACHE_BLOCK_TOKENS = 32  # OpenVINO's KV block on the CPU: prefixes are shared in whole blocks
GREETING = "Hi"  # warms the kernels up, so the first visitor does not wait for their compilation


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
            raise EngineError(
                "unavailable",
                Text(
                    f"{name} has no chat template: it is a base model, not a chat model.",
                    f"{name} 没有对话模板：它是基座模型，不是对话模型。",
                ),
                Text(
                    "Choose an instruct or chat model as the base.",
                    "请选用 instruct 或 chat 模型。",
                ),
            )
        self._defaults = pipeline.get_config()
        self._prefixes = PrefixRecord(CACHE_BLOCK_TOKENS)
        self._scheduler = _Scheduler(pipeline)
        report(Progress(Text("Warming up", "正在预热")))
        self._warm_up()

    def _warm_up(self) -> None:
        hello = [Message(role="user", content=GREETING)]
        for _ in self.stream(hello, Sampling(max_tokens=2, temperature=0)):
            pass

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        prompt = self._encode(messages)
        cached = self._prefixes.cached(prompt)
        answer = _Answer(
            prompt,
            self._generation_config(sampling),
            lambda tokens: self._tokenizer.decode(tokens, skip_special_tokens=True),
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
            config.rng_seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
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


class _Answer(Generation):
    """One request: filled by the scheduler thread, read by the caller's."""

    def __init__(
        self,
        prompt: list[int],
        config: Any,
        decode: Callable[[list[int]], str],
        cached_tokens: int,
        finished: Callable[[list[int]], None],
    ):
        self.prompt = prompt
        self.config = config
        self.cancelled = threading.Event()
        self.outbox: queue.SimpleQueue[list[int] | Finish | EngineError] = queue.SimpleQueue()
        self._text = _TextSoFar(decode)
        self._cached_tokens = cached_tokens
        self._finished = finished
        self._ended = False

    def __next__(self) -> Chunk:
        while not self._ended:
            item = self.outbox.get()
            if isinstance(item, EngineError):
                self._ended = True
                raise item
            if isinstance(item, str):
                return self._last(item)
            if text := self._text.add(item):
                return Chunk(text)
        raise StopIteration

    def _last(self, finish: Finish) -> Chunk:
        self._ended = True
        self._finished(self.prompt + self._text.tokens)
        return Chunk(
            self._text.rest(),
            finish,
            prompt_tokens=len(self.prompt),
            new_tokens=len(self._text.tokens),
            cached_tokens=self._cached_tokens,
        )

    def close(self) -> None:
        self.cancelled.set()


class _TextSoFar:
    """Turns tokens into text piece by piece, never inside a character.

    Only the tokens since the last but one piece are decoded again (as vLLM and TGI do), so the
    work per token does not grow with the answer.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        self._decode = decode
        self.tokens: list[int] = []
        self._from = 0
        self._read = 0

    def add(self, tokens: list[int]) -> str:
        """The new whole text that `tokens` bring; empty while a character is incomplete."""
        self.tokens += tokens
        text = self._decode(self.tokens[self._from :])
        return "" if text.endswith("\ufffd") else self._take(text)

    def rest(self) -> str:
        """What is left at the end; an incomplete character is left out."""
        text = self._decode(self.tokens[self._from :]) if self.tokens else ""
        return self._take(text.rstrip("\ufffd"))

    def _take(self, text: str) -> str:
        before = self._decode(self.tokens[self._from : self._read])
        if len(text) <= len(before):
            return ""
        self._from, self._read = self._read, len(self.tokens)
        return text[len(before) :]


class _Scheduler:
    """Steps the pipeline on one thread for all answers, and hands out what it made."""

    def __init__(self, pipeline: openvino_genai.ContinuousBatchingPipeline):
        self._pipeline = pipeline
        self._arrivals: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._running: list[tuple[_Answer, Any]] = []
        self._numbers = itertools.count()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu-engine", daemon=True)
        self._thread.start()

    def add(self, answer: _Answer) -> None:
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
                self._admit()
                self._drop_cancelled()
                if self._running:
                    self._pipeline.step()
                    self._running = [pair for pair in self._running if not _deliver(*pair)]
            except Exception as error:  # the native library failed: each reader must be told
                logger.exception("the CPU engine failed")
                self._give_up(error)
        for answer, handle in self._running:
            handle.cancel()
            answer.outbox.put("cancelled")
        while not self._arrivals.empty():
            if waiting := self._arrivals.get():
                waiting.outbox.put("cancelled")
        del self._pipeline

    def _admit(self) -> None:
        """Take in what has arrived; sleeps here while there is nothing to do."""
        while not self._running or not self._arrivals.empty():
            answer = self._arrivals.get()
            if answer is None:
                return
            if answer.cancelled.is_set():
                answer.outbox.put("cancelled")
                continue
            self._running.append((answer, self._request(answer)))

    def _request(self, answer: _Answer) -> Any:
        import numpy
        import openvino

        tokens = openvino.Tensor(numpy.array([answer.prompt], dtype=numpy.int64))
        return self._pipeline.add_request(next(self._numbers), tokens, answer.config)

    def _drop_cancelled(self) -> None:
        for answer, handle in self._running:
            if answer.cancelled.is_set():
                handle.cancel()
                answer.outbox.put("cancelled")
        self._running = [pair for pair in self._running if not pair[0].cancelled.is_set()]
        if not self._running and self._pipeline.has_non_finished_requests():
            self._pipeline.step()  # lets the pipeline free what the cancelled ones held

    def _give_up(self, error: Exception) -> None:
        for answer, handle in self._running:
            handle.cancel()
            answer.outbox.put(
                EngineError(
                    "internal", Text(f"The CPU engine failed: {error}", f"CPU 引擎出错：{error}")
                )
            )
        self._running = []


def _deliver(answer: _Answer, handle: Any) -> bool:
    """Pass on new tokens; True when the answer has ended."""
    from openvino_genai import GenerationFinishReason

    while handle.can_read():
        for output in handle.read().values():
            if output.generated_ids:
                answer.outbox.put(list(output.generated_ids))
            if output.finish_reason != GenerationFinishReason.NONE:
                length = output.finish_reason == GenerationFinishReason.LENGTH
                answer.outbox.put("length" if length else "stop")
                return True
    if handle.get_status().name == "IGNORED":  # the KV cache can never hold this prompt
        answer.outbox.put(_too_little_memory(len(answer.prompt)))
        return True
    return False


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
            Text("pip install -r requirements-cpu.txt", "pip install -r requirements-cpu.txt"),
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
