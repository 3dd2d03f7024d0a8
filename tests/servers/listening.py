"""How every stand-in server of the tests is started and stopped, and where one may listen."""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

# For all that tests ask servers of this machine: httpx.get reads every certificate authority anew
# (54 ms), twenty times a second where a test waits. No connection is kept: servers come and go.
LOCAL = httpx.Client(
    verify=False, trust_env=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
)  # fmt: skip


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The handler on a free port of 127.0.0.1, stopped at the end; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_FIRST, _LAST, _WORKERS = 10_000, 32_000, 16
_given: set[int] = set()


def free_port(count: int = 1) -> int:
    """The first of `count` ports of 127.0.0.1 in a row that are free. They lie below those that the
    kernel gives to whoever asks for any, and each of pytest's workers gives its own, each once, so
    that none of them is taken before it is used."""
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % _WORKERS
    room = (_LAST - _FIRST) // _WORKERS
    while True:
        first = _FIRST + worker * room + random.SystemRandom().randrange(room - count)
        ports = set(range(first, first + count))
        if ports & _given:
            continue
        with suppress(OSError), ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            _given.update(ports)
            return first


@contextmanager
def nobody_listens() -> Iterator[str]:
    """An address where nothing listens and, until the end, nothing can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def wait_until(
    true: Callable[[], object], said: Callable[[], str] = str, seconds: float = 120
) -> None:
    """Wait for what must come to be; where it does not, fail with what `said` tells."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not come to that in {seconds:.0f} s: {said()}"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether something listens on that port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
