"""An asyncio loop on a thread of its own: requests can be cancelled wherever they stand."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..base import closed_error

Result = TypeVar("Result")


class Background:
    """Runs coroutines for other threads. `close` cancels all of them."""

    def __init__(self, name: str):
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def start(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Begin `work`; cancelling the future cancels it. Raises EngineError once closed."""
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise closed_error()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for `work`. Raises what it raises, and EngineError("unavailable") if closed."""
        try:
            return self.start(work).result()
        except concurrent.futures.CancelledError:
            raise closed_error() from None

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel everything, then run `last`, then end the thread; again is harmless."""
        with self._lock:
            if self._closed:
                if last is not None:
                    last.close()
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self, last: Coroutine[Any, Any, None] | None) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if last is not None:
            await last
        await self._loop.shutdown_asyncgens()
