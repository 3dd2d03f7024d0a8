"""The llama.cpp engine: llama.cpp's own server on loopback, asked as any other server is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...conversation import Message
from ...models.gguf import read_fields
from ...progress import Progress, Report, unreported
from ...words import Text
from ..base import EngineInfo, Generation, Sampling, closed_error, no_chat_template
from ..remote import RemoteEngine, RemoteSettings
from .process import ServerProcess
from .settings import LlamaCppSettings, room

TEMPLATE = "tokenizer.chat_template"
SILENT_SECONDS = 600.0  # that a long prompt may take on a slow processor


class LlamaCppEngine(RemoteEngine):
    """Answers on the CPU from a GGUF of any architecture that llama.cpp knows: mapped, not converted.

    Raises EngineError("unavailable") where llama.cpp is missing, does not take the file, or the file
    has no chat template (llama.cpp would take another model's).
    """

    def __init__(
        self,
        weights: Path,
        name: str,
        trained_length: int,
        settings: LlamaCppSettings = LlamaCppSettings(),
        report: Report = unreported,
        shown_as: str = "llamacpp",
    ):
        if not read_fields(weights, TEMPLATE).get(TEMPLATE):
            raise no_chat_template(name)
        report(Progress(Text("Loading the model", "正在加载模型")))
        there = room(weights, trained_length, settings)
        self._process = ServerProcess(weights, there)
        self._closed = False
        try:
            super().__init__(
                RemoteSettings(
                    urls=(self._process.address,),
                    key=self._process.key,
                    context_length=there.context_length,
                    timeout_seconds=SILENT_SECONDS,
                )
            )
        except BaseException:
            self._process.close()
            raise
        details = {"library": "llama.cpp", "at once": str(there.slots)}
        self._info = EngineInfo(shown_as, "CPU", name, there.context_length, details)
        self._warm_up(report)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        if self._closed:
            raise closed_error()
        return super().stream(messages, sampling)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            super().close()
            self._process.close()
