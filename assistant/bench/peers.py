"""The bare libraries, used the way their own documentation shows: what our engine is held against."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..conversation import Message
from ..engines.cpu.engine import CpuSettings, open_pipeline
from ..engines.llamacpp.process import cores


class BareOpenVino:
    """OpenVINO GenAI's continuous batching pipeline, stepped by hand in the calling thread."""

    def __init__(self, weights: Path, settings: CpuSettings):
        self._pipeline = open_pipeline(weights, settings)
        self._tokenizer = self._pipeline.get_tokenizer()
        self._numbers = itertools.count()

    def decode(self, prompts: Sequence[Sequence[Message]], tokens: int) -> tuple[float, float]:
        """Seconds to the first token, and tokens a second of all prompts together after it."""
        import openvino_genai

        started = time.perf_counter()
        handles = []
        for prompt in prompts:
            text = self._tokenizer.apply_chat_template(
                [message.model_dump() for message in prompt], add_generation_prompt=True
            )
            config = openvino_genai.GenerationConfig(
                max_new_tokens=tokens, ignore_eos=True, apply_chat_template=False
            )
            ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids
            handles.append(self._pipeline.add_request(next(self._numbers), ids, config))
        made, first = 0, 0.0
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            for handle in handles:
                while handle.can_read():
                    made += sum(len(out.generated_ids) for out in handle.read().values())
            first = first or (time.perf_counter() - started if made else 0.0)
        return first, made / (time.perf_counter() - started)


class BareLlamaCpp:
    """llama.cpp in this process, one slot, as xllamacpp's own examples open it."""

    def __init__(self, weights: Path, context_length: int):
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(weights)
        settings.n_ctx = context_length
        settings.n_parallel = 1
        settings.cpuparams.n_threads = cores()
        settings.warmup = False
        self._server = xllamacpp.Server(settings)

    def decode(self, prompt: Sequence[Message], tokens: int) -> float:
        """Tokens a second over the whole answer, greedy."""
        started = time.perf_counter()
        answer: Any = self._server.handle_chat_completions({
            "messages": [message.model_dump() for message in prompt],
            "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
        })  # fmt: skip
        return int(answer["usage"]["completion_tokens"]) / (time.perf_counter() - started)


class BareTransformers:
    """transformers' own `generate` on the same weights, fp32, as most demos do it."""

    def __init__(self, weights: Path):
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        where: dict[str, Any] = {"gguf_file": weights.name} if weights.suffix == ".gguf" else {}
        folder = weights.parent if weights.suffix == ".gguf" else weights
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, **where
        )

    def decode(self, prompt_tokens: list[int], tokens: int) -> float:
        """Tokens a second, greedy."""
        import torch

        ids = torch.tensor([prompt_tokens])
        started = time.perf_counter()
        with torch.inference_mode():
            self._model.generate(  # type: ignore[misc]
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens,
                min_new_tokens=tokens, do_sample=False,
            )  # fmt: skip
        return tokens / (time.perf_counter() - started)
