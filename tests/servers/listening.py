"""How every stand-in server of the tests is started and stopped, and where one may listen."""

from __future__ import annotations

import random
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_held: list[socket.socket] = []  # the ports that were given out, until this process ends


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
    """The first of `count` ports of 127.0.0.1 in a row that are free, for a program that takes only a
    number. No other test is given them before this process ends.

    They lie below those that the kernel gives to whoever asks for any. On Linux they stay bound here as
    well: what allows it (SO_REUSEADDR or SO_REUSEPORT, as servers do) may listen on them nevertheless.
    """
    while True:
        first = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), ExitStack() as taken:
            sockets = [taken.enter_context(socket.socket()) for _ in range(count)]
            for port, one in enumerate(sockets, first):
                one.bind(("127.0.0.1", port))
            if sys.platform == "linux":
                for one in sockets:  # only now: another holder's port must count as taken
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                taken.pop_all()
                _held.extend(sockets)
            return first


@contextmanager
def ctrl_c_reaches_children() -> Iterator[None]:
    """For the start of a program that a test interrupts: it must not inherit that SIGINT is ignored, as
    it is where the suite was started in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
