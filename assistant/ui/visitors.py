"""Which running answer is whose page's."""

from __future__ import annotations

import threading

from ..serving.running import Running


class Sessions:
    """The running answer of each open page, found by its session hash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}

    def begin(self, session: str | None) -> Running:
        """A new Running of this page; one still under way there is stopped."""
        running = Running()
        with self._lock:
            previous = self._running.get(session or "")
            if session:
                self._running[session] = running
        if session and previous:
            previous.stop()
        return running

    def end(self, session: str | None, running: Running) -> None:
        with self._lock:
            if session and self._running.get(session) is running:
                del self._running[session]

    def stop(self, session: str | None) -> None:
        """Stop what runs in this page, if anything does."""
        with self._lock:
            running = self._running.get(session or "")
        if running:
            running.stop()
