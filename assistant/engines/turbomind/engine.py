"""The TurboMind engine: LMDeploy's pipeline, kept to the engine contract.

Every request carries the whole conversation; LMDeploy's sessions live as long as one answer. The
prompt is rendered and tokenised here, once, as training does it, and LMDeploy is given the ids:
its own way from messages to ids adds a BOS that the template did not write, where the tokenizer would.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...conversation import Message
from ...errors import EngineError
from ...progress import Progress, Report, unreported
from ...words import Text
from ..base import Engine, EngineInfo, Generation, Sampling, closed_error
from ..token_text import transformers_decoder
from .answer import TurbomindGeneration, refused
from .opening import backend_of, open_pipeline
from .settings import TurbomindSettings, generation_config

if TYPE_CHECKING:
    from lmdeploy import GenerationConfig
    from lmdeploy.pipeline import Pipeline

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0  # how long closing waits for the engine to let go of the answers under way


class TurbomindEngine(Engine):
    """Answers on NVIDIA GPUs. `weights` is a folder with safetensors, AWQ ones too.

    `may_fall_back`: accept LMDeploy's PyTorch engine where it starts that one instead; `note`
    then says so. Raises EngineError("unavailable") where it cannot run, with what mends it.
    """

    keeps_forms = True

    def __init__(
        self,
        weights: Path,
        name: str,
        settings: TurbomindSettings = TurbomindSettings(),
        report: Report = unreported,
        may_fall_back: bool = False,
    ):
        report(Progress(Text("Loading the model", "正在加载模型")))
        pipeline = open_pipeline(weights, settings, may_fall_back)
        self._pipeline: Pipeline | None = pipeline
        self._engine = pipeline.async_engine
        self._loop: asyncio.AbstractEventLoop = pipeline.session_mgr.loop
        self._tokenizer = pipeline.async_engine.tokenizer.model.model
        self._tokenizing = threading.Lock()  # a fast tokenizer lends itself to one thread at a time
        self._lock = threading.Lock()
        self._answers: set[TurbomindGeneration] = set()
        self.note, self._info = _described(pipeline, name, settings)
        self._warm_up(report)

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        answer = TurbomindGeneration(self.encode(messages), transformers_decoder(self._tokenizer))
        config = generation_config(sampling)
        with self._lock:
            if self._pipeline is None:
                raise closed_error()
            answer.work = asyncio.run_coroutine_threadsafe(self._work(answer, config), self._loop)
            self._answers.add(answer)
        answer.work.add_done_callback(lambda _: self._forget(answer))
        return answer

    def _forget(self, answer: TurbomindGeneration) -> None:
        with self._lock:
            self._answers.discard(answer)

    async def _work(self, answer: TurbomindGeneration, config: GenerationConfig) -> None:
        """Compute one answer. A cancelled one ends here when the engine has let go of it.

        Cancelling the task, not `session.abort()`: that one does nothing while the request waits
        for its place in the batch, and the request would then run unseen to its end.
        """
        from lmdeploy.serve.core.exceptions import RequestError

        task = asyncio.current_task()
        assert task is not None
        if not answer.begin(task):
            return
        sessions = self._engine.session_mgr
        session = sessions.get()
        try:
            request = await self._engine.preprocess(
                None, session, gen_config=config, input_ids=answer.prompt
            )
            async for output in self._engine.generate(request):
                answer.take(output)
        except RequestError as error:
            answer.fail(refused(error, len(answer.prompt)))
        except Exception as error:  # a fault of LMDeploy's or ours: the reader must be told
            logger.exception("the TurboMind engine failed")
            answer.fail(
                EngineError(
                    "internal",
                    Text(f"The TurboMind engine failed: {error}", f"TurboMind 引擎出错：{error}"),
                )
            )
        finally:
            sessions.remove(session)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self.encode(messages))

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt text: the tokenizer's own template with the opening of the answer."""
        return self._tokenizer.apply_chat_template(
            [message.model_dump() for message in messages],
            tokenize=False,
            add_generation_prompt=True,
        )

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's token ids; the template has written all special tokens there are."""
        with self._tokenizing:
            return self._tokenizer.encode(self.render(messages), add_special_tokens=False)

    def describe(self) -> EngineInfo:
        return self._info

    def close(self) -> None:
        with self._lock:
            pipeline, self._pipeline = self._pipeline, None
            answers = list(self._answers)
        if pipeline is None:
            return
        for answer in answers:
            answer.close()
        works = [answer.work for answer in answers if answer.work is not None]
        if concurrent.futures.wait(works, CLOSE_SECONDS).not_done:
            logger.warning("TurboMind did not let go of its answers in %.0f s", CLOSE_SECONDS)
            # Its event loop must not end under the device, which will still signal to it: not now, nor when
            # the process ends. Where the device comes back its memory is freed then.
            atexit.unregister(pipeline.internal_thread.close)
            threading.Thread(target=_close_after, args=(works, pipeline), daemon=True).start()
        else:
            pipeline.close()
        self._engine = None


def _close_after(works: list[concurrent.futures.Future[None]], pipeline: Pipeline) -> None:
    concurrent.futures.wait(works)
    pipeline.close()


def _described(
    pipeline: Pipeline, name: str, settings: TurbomindSettings
) -> tuple[Text | None, EngineInfo]:
    """What really runs, and a note where it is not TurboMind."""
    import lmdeploy

    engine, config = pipeline.async_engine, pipeline.backend_config
    backend = backend_of(pipeline)
    note = None
    if backend != "turbomind":
        note = Text(
            f"LMDeploy runs this model on its {backend} engine, not on TurboMind.",
            f"LMDeploy 用它的 {backend} 引擎运行这个模型，而不是 TurboMind。",
        )
    details = {
        "backend": backend,
        "lmdeploy": lmdeploy.__version__,
        "precision": str(config.dtype),
        "weights": str(getattr(config, "model_format", None) or "hf"),
        "KV cache": f"{settings.kv_bits} bit, {settings.cache_share:.0%} of the free memory",
        "batch": str(config.max_batch_size),
    }
    return note, EngineInfo(
        "turbomind", _device_name(settings.tp), name, engine.session_len, details
    )


def _device_name(tp: int) -> str:
    import torch

    gpu: Any = torch.cuda.get_device_name(0)
    return f"{tp} × {gpu}" if tp > 1 else str(gpu)
