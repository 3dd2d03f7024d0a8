"""An assistant being made ready in the background while the page is already open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from .engines.base import Engine, EngineInfo
from .errors import AssistantError, EngineError
from .persona import Persona
from .progress import Progress, Report
from .words import Text

logger = logging.getLogger(__name__)

PersonaSource = Literal["config", "weights"]


@dataclass(frozen=True)
class Ready:
    """A loaded assistant: the engine, and who it is."""

    engine: Engine
    persona: Persona
    persona_source: PersonaSource
    note: Text | None = None  # why this engine, or what a person should know of the weights


@dataclass(frozen=True)
class HostState:
    """What the page shows. `progress` while loading, `info` once ready, `error` if it failed."""

    phase: Literal["loading", "ready", "failed"]
    persona: Persona
    persona_source: PersonaSource = "config"
    progress: Progress | None = None
    info: EngineInfo | None = None
    note: Text | None = None
    error: AssistantError | None = None


class Host:
    """Loads an assistant on a thread of its own; `wait` blocks until it can talk.

    `load` does the work and reports its steps. `persona` is shown until the weights are there:
    they may bring their own.
    """

    def __init__(self, load: Callable[[Report], Ready], persona: Persona):
        self._load = load
        self._state = HostState("loading", persona)
        self._ready: Ready | None = None
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin loading; returns at once. After a failure, begin again."""
        if self._thread and self._thread.is_alive():
            return
        self._settled.clear()
        self._state = replace(self._state, phase="loading", error=None, progress=None)
        self._thread = threading.Thread(target=self._run, name="load-assistant", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            ready = self._load(self._report)
        except AssistantError as error:
            self._fail(error)
        except Exception as error:  # a library's own failure must reach the page, not die here
            logger.exception("loading the assistant failed")
            self._fail(
                EngineError(
                    "internal",
                    Text(f"The model could not be loaded: {error}", f"模型加载失败：{error}"),
                )
            )
        else:
            self._ready = ready
            self._state = HostState(
                "ready", ready.persona, ready.persona_source,
                info=ready.engine.describe(), note=ready.note,
            )  # fmt: skip
            self._settled.set()

    def _report(self, progress: Progress) -> None:
        self._state = replace(self._state, progress=progress)

    def _fail(self, error: AssistantError) -> None:
        self._state = replace(self._state, phase="failed", error=error, progress=None)
        self._settled.set()

    def state(self) -> HostState:
        """The present state; cheap, for polling."""
        return self._state

    def wait(self, timeout: float | None = None) -> Ready:
        """Block until the assistant can talk. Raises what loading raised, or EngineError
        "unavailable" when `timeout` seconds pass first."""
        if not self._settled.wait(timeout):
            raise EngineError(
                "unavailable", Text("The model is still being loaded.", "模型仍在加载。")
            )
        if self._ready is None:
            raise self._state.error or EngineError(
                "unavailable", Text("The model is not loaded.", "模型没有加载。")
            )
        return self._ready

    def close(self) -> None:
        """Stop the engine, if there is one."""
        if self._ready is not None:
            self._ready.engine.close()
