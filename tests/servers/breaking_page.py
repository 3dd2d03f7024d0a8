"""`app.py` itself, as a process, over an echo engine that does what a test tells it.

A question's own words say what befalls the engine: BREAK makes every answer fail from then on, HANG
makes every answer stay silent, until the engine is opened again; POISON fails that answer alone;
NEVER also makes each later opening fail. HOLD keeps that answer from ending until the process next
gets SIGUSR1, or until its visitor leaves.

TRY_SECONDS in the environment: how long an engine in doubt may take for a token.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from assistant import engines
from assistant.conversation import Message
from assistant.engines.base import Chunk, Generation, Sampling
from assistant.engines.echo import EchoEngine
from assistant.serving import host

PIECES = 1  # that come before anything befalls an answer
never = False
releases = 0


class Breaking(EchoEngine):
    """Broken or silent from the first such question on."""

    def __init__(self) -> None:
        if never:
            raise RuntimeError("the device is gone")
        super().__init__(0.002)
        self.state = "well"

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        global never
        asked = messages[-1].content
        never = never or "NEVER" in asked
        for word, state in (("BREAK", "broken"), ("NEVER", "broken"), ("HANG", "silent")):
            if word in asked:
                self.state = state
        return _Answer(super()._start(messages, sampling), self, asked)


class _Answer(Generation):
    def __init__(self, inner: Generation, engine: Breaking, asked: str):
        self._inner = inner
        self._engine = engine
        self._poisoned = "POISON" in asked
        self._held_since = releases if "HOLD" in asked else None
        self._closed = threading.Event()
        self._pieces = 0

    def __next__(self) -> Chunk:
        self._pieces += 1
        if self._pieces > PIECES:
            while self._held_since == releases and not (self._breaks or self._closed.is_set()):
                self._closed.wait(0.02)
            if self._engine.state == "silent":
                threading.Event().wait()
            if self._breaks:
                raise RuntimeError("native code failed on a secret word")
        return next(self._inner)

    @property
    def _breaks(self) -> bool:
        return self._poisoned or self._engine.state == "broken"

    def close(self) -> None:
        self._closed.set()
        self._inner.close()


def release(*_: object) -> None:
    """Let the answers that are held now end."""
    global releases
    releases += 1


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, release)
    try_seconds = float(os.environ.get("TRY_SECONDS", "60"))
    host.Host = functools.partial(host.Host, first_pause=0.3, try_seconds=try_seconds)
    engines._OPENERS["echo"] = lambda model, settings, report: Breaking()
    from app import main

    main(prog_name="python app.py")
