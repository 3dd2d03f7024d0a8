"""`app.py` itself, as a process, over an echo engine that can be made to break.

A question's own words say what befalls the engine: BREAK makes every answer fail from then on, HANG
makes every answer stay silent, until the engine is opened again; POISON fails that answer alone;
NEVER also makes each later opening fail.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from assistant import engines, host
from assistant.conversation import Message
from assistant.engines.base import Chunk, Generation, Sampling
from assistant.engines.echo import EchoEngine

opened = 0
never = False


class Breaking(EchoEngine):
    """Broken or silent from the first such question on."""

    def __init__(self) -> None:
        global opened
        opened += 1
        if never:
            raise RuntimeError("the device is gone")
        super().__init__(0.02)
        self.state = "well"

    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        global never
        asked = messages[-1].content
        never = never or "NEVER" in asked
        for word, state in (("BREAK", "broken"), ("NEVER", "broken"), ("HANG", "silent")):
            if word in asked:
                self.state = state
        return _Answer(super()._start(messages, sampling), self, "POISON" in asked)


class _Answer(Generation):
    def __init__(self, inner: Generation, engine: Breaking, poisoned: bool):
        self._inner = inner
        self._engine = engine
        self._poisoned = poisoned
        self._pieces = 0

    def __next__(self) -> Chunk:
        self._pieces += 1
        if self._pieces > 2:
            if self._engine.state == "silent":
                threading.Event().wait()
            if self._poisoned or self._engine.state == "broken":
                raise RuntimeError("native code failed on a secret word")
        return next(self._inner)

    def close(self) -> None:
        self._inner.close()


if __name__ == "__main__":
    host.Host = functools.partial(host.Host, first_pause=0.3, try_seconds=1.0)
    engines._OPENERS["echo"] = lambda model, settings, report: Breaking()
    from app import main

    main(prog_name="python app.py")
