"""How every stand-in server of the tests is started and stopped, and where one may listen."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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


def free_port(count: int = 1) -> int:
    """The first of `count` ports of 127.0.0.1 in a row that are free. They lie below those that the
    kernel gives to whoever asks for any, so that none of them is taken before it is used."""
    while True:
        first = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


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
