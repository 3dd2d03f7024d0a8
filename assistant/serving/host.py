"""An assistant being made ready in the background while the page is already open, and opened
again where its engine broke."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ..conversation import Message
from ..engines.base import Engine, EngineInfo, Sampling
from ..errors import AssistantError, EngineError
from ..libraries import missing_library
from ..persona import Persona
from ..progress import Progress, Report
from ..words import Text

logger = logging.getLogger(__name__)

PersonaSource = Literal["config", "weights"]
MOST_RESTARTS = 5  # in a row, without an answer between them: then a person must look
FIRST_PAUSE = 1.0  # seconds before an engine is opened again; doubled each time in a row
LONGEST_PAUSE = 30.0
TRY_SECONDS = 30.0
INTERRUPTED = 130  # the exit status that shells give a program after Ctrl-C
CLOSE_SECONDS = 10.0  # how long a broken engine may take to let go of its memory


@dataclass(frozen=True)
class Ready:
    """A loaded assistant: the engine, and who it is."""

    engine: Engine
    persona: Persona
    persona_source: PersonaSource
    note: Text | None = None  # why this engine, or what a person should know of the weights


@dataclass(frozen=True)
class HostState:
    """What the page shows. `progress` while loading, `info` once ready, `error` if it failed.

    "restarting" is a loading that follows a broken engine. `restarts` counts them all.
    """

    phase: Literal["loading", "restarting", "ready", "failed"]
    persona: Persona
    persona_source: PersonaSource = "config"
    progress: Progress | None = None
    info: EngineInfo | None = None
    note: Text | None = None
    error: AssistantError | None = None
    restarts: int = 0


class Host:
    """Loads an assistant on a thread of its own; `wait` blocks until it can talk.

    `load` does the work and reports its steps. `persona` is shown until the weights are there:
    they may bring their own. An engine that broke is closed and opened again after a pause of
    `first_pause` seconds, twice as long each time in a row; after MOST_RESTARTS without an answer
    between them the phase is "failed". `try_seconds` are what one token may take where an engine
    is in doubt.
    """

    def __init__(
        self,
        load: Callable[[Report], Ready],
        persona: Persona,
        first_pause: float = FIRST_PAUSE,
        try_seconds: float = TRY_SECONDS,
    ):
        self._load = load
        self._first_pause = first_pause
        self._try_seconds = try_seconds
        self._doubted: Ready | None = None
        self._state = HostState("loading", persona)
        self._ready: Ready | None = None
        self._settled = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._left_behind = False

    def start(self) -> None:
        """Begin loading; returns at once. After a failure, begin again."""
        with self._lock:
            if self._ready is not None or (self._thread and self._thread.is_alive()):
                return
            self._in_a_row = 0
            self._begin("loading", self._run)

    def load_now(self) -> None:
        """Load on the calling thread; comes back when the assistant is ready or has failed."""
        self._run()

    def _begin(self, phase: Literal["loading", "restarting"], run: Callable[[], None]) -> None:
        self._settled.clear()
        self._state = replace(self._state, phase=phase, error=None, progress=None)
        self._thread = threading.Thread(target=run, name="load-assistant", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if error := self._open():
            self._fail(error)

    def _open(self) -> AssistantError | None:
        """Load; the state is "ready" afterwards, or what went wrong is given back."""
        try:
            ready = self._load(self._report)
        except AssistantError as error:
            return error
        except Exception as error:  # a library's own failure must reach the page, not die here
            if isinstance(error, ImportError) and (missing := missing_library(error)):
                return missing
            logger.exception("loading the assistant failed")
            return EngineError(
                "internal",
                Text(f"The model could not be loaded: {error}", f"模型加载失败：{error}"),
            )
        with self._lock:
            closed = self._closed.is_set()
            self._ready = None if closed else ready
        if closed:
            ready.engine.close()
            return None
        info = ready.engine.describe()
        self._state = HostState(
            "ready", ready.persona, ready.persona_source,
            info=info, note=ready.note, restarts=self._state.restarts,
        )  # fmt: skip
        self._settled.set()
        logger.info("the engine is ready", extra={"fields": {"engine": info.name}})
        return None

    def _report(self, progress: Progress) -> None:
        self._state = replace(self._state, progress=progress)

    def _fail(self, error: AssistantError) -> None:
        error.for_operators = True
        self._state = replace(self._state, phase="failed", error=error, progress=None)
        self._settled.set()
        logger.error("the engine failed", extra={"fields": {"error": error.message.en}})

    def doubt(self, suspect: Ready) -> None:
        """Look in the background whether the engine still answers; open it again if it does not.

        Called where an answer failed for no fault of its question, or gave no sign of life. One
        bad answer must not end the others', so the engine is tried first, where it may be.
        """
        if not suspect.engine.may_be_tried:
            return
        with self._lock:
            if self._ready is not suspect or self._doubted is suspect or self._closed.is_set():
                return
            self._doubted = suspect
        threading.Thread(target=self._try, args=(suspect,), name="try-engine", daemon=True).start()

    def _try(self, suspect: Ready) -> None:
        if answers_within(suspect.engine, self._try_seconds):
            logger.warning("an answer failed, the engine is well")
        else:
            self._restart(suspect)
        with self._lock:
            self._doubted = None

    def _restart(self, broken: Ready) -> None:
        with self._lock:
            if self._ready is not broken or self._closed.is_set():
                return
            self._ready = None
            self._in_a_row += 1
            self._state = replace(self._state, restarts=self._state.restarts + 1, info=None)
            self._begin("restarting", lambda: self._run_again(broken))

    def worked(self) -> None:
        """An answer was given: the next break is not one in a row."""
        self._in_a_row = 0

    def _run_again(self, broken: Ready) -> None:
        fields = {"in_a_row": self._in_a_row, "restarts": self._state.restarts}
        logger.warning("the engine broke and is opened again", extra={"fields": fields})
        if not _close_within(broken.engine, CLOSE_SECONDS):
            self._left_behind = True
        error: AssistantError = _keeps_breaking()
        while self._in_a_row <= MOST_RESTARTS:
            pause = min(LONGEST_PAUSE, self._first_pause * 2 ** (self._in_a_row - 1))
            if self._closed.wait(pause):
                return
            failed = self._open()
            if failed is None:
                return
            error = failed
            self._in_a_row += 1
        self._fail(error)

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
        ready = self._ready
        if ready is None:
            raise self._state.error or EngineError(
                "unavailable", Text("The model is not loaded.", "模型没有加载。")
            )
        return ready

    def close(self) -> bool:
        """Stop the engine, if there is one. False where a library still loads, or an engine hangs
        or was left hanging: the interpreter must not be taken down under it (OpenVINO's threads
        then end in SIGSEGV)."""
        with self._lock:
            self._closed.set()
            ready = self._ready
            loading = self._thread is not None and self._thread.is_alive()
        closed = ready is None or _close_within(ready.engine, CLOSE_SECONDS)
        return closed and not loading and not self._left_behind


@contextlib.contextmanager
def closed_at_the_end(host: Host) -> Iterator[None]:
    """Close `host` after the block, however it ends. Where that cannot be waited for, the process
    ends here: exit status 0, 1 after an exception (said on stderr), 130 after Ctrl-C.

    Raises SystemExit(130) after Ctrl-C in the block."""
    failed: BaseException | None = None
    all_ended = False
    try:
        yield
    except KeyboardInterrupt as error:
        failed = error
        raise SystemExit(INTERRUPTED) from None
    except BaseException as error:
        failed = error
        raise
    finally:
        try:
            all_ended = host.close()
        finally:  # also where one more Ctrl-C cut the closing short
            if not all_ended:
                _end_process(failed)


def _end_process(failed: BaseException | None) -> None:
    interrupted = isinstance(failed, KeyboardInterrupt)
    if failed and not interrupted:
        sys.excepthook(type(failed), failed, failed.__traceback__)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(INTERRUPTED if interrupted else int(failed is not None))


def answers_within(engine: Engine, seconds: float) -> bool:
    """Whether the engine gives one token in that time."""
    answered = threading.Event()

    def ask() -> None:
        try:
            hello = [Message(role="user", content="Hello")]
            for _ in engine.stream(hello, Sampling(max_tokens=1, temperature=0)):
                pass
        except Exception:  # whatever a library raises: the caller opens the engine again
            logger.exception("the engine does not answer")
        else:
            answered.set()

    thread = threading.Thread(target=ask, name="ask-engine", daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def _close_within(engine: Engine, seconds: float) -> bool:
    """Close an engine that may hang: after `seconds` it is left to itself, and that is False."""

    def close() -> None:
        try:
            engine.close()
        except Exception:  # it is left behind either way; the log keeps why
            logger.exception("the engine did not close")

    thread = threading.Thread(target=close, name="close-engine", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def _keeps_breaking() -> EngineError:
    return EngineError(
        "internal",
        Text(
            f"The engine broke {MOST_RESTARTS} times in a row.",
            f"引擎连续 {MOST_RESTARTS} 次出错。",
        ),
        Text("Look at the log, then start the page again.", "请查看日志，然后重新启动页面。"),
    )
