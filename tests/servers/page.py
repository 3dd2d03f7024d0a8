"""`app.py` as a process, and what its clients see of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from failures import kept_if_it_fails
from gradio_client import Client
from gradio_client.exceptions import AppError

from .listening import LOCAL

ROOT = Path(__file__).resolve().parents[2]


class Page:
    """A running app.py and what it says. `url` is known once it is visible."""

    def __init__(self, process: subprocess.Popen[str], out: Path, err: Path):
        self.process = process
        self.url = ""
        self._asker: Client | None = None
        self._out = out
        self._err = err

    def is_visible(self) -> bool:
        """Whether it listens; then its `url` is known. The system tells: it may speak to nobody."""
        try:
            sockets = psutil.Process(self.process.pid).net_connections("tcp")
        except psutil.Error:  # it has just ended
            return False
        ports = [one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN]
        if ports:
            self.url = f"http://127.0.0.1:{ports[0]}"
        return bool(ports)

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        return LOCAL.get(self.url + path, headers=headers)

    def health(self) -> tuple[int, dict]:
        answer = self.get("/healthz")
        return answer.status_code, answer.json()

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        answer = self.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def client(self) -> Client:
        return Client(self.url, verbose=False, httpx_kwargs={"timeout": 120}, ssl_verify=False)

    def ask(self, text: Any, **more: Any) -> str:
        """The whole answer to one question; all of them come from one visitor."""
        self._asker = self._asker or self.client()
        return self._asker.predict(text, api_name="/chat", **more)

    def refused(self, text: Any, **more: Any) -> str:
        """What the person is told instead of an answer."""
        with pytest.raises(AppError) as caught:
            self.ask(text, **more)
        return str(caught.value)

    def let_answers_end(self) -> None:
        """Those that breaking_page.py holds."""
        self.process.send_signal(signal.SIGUSR1)

    def until(self, holds: Callable[[], bool], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None  # first: what it said last may hold
            if holds():
                return
            assert not ended and time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def ready(self) -> None:
        self.until(lambda: self.health()[0] == 200)

    def has_loaded(self, library: str) -> bool:
        """Whether a native library of that name is in the process."""
        return any(library in one.path for one in psutil.Process(self.process.pid).memory_maps())

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        self.until(lambda: self.process.poll() is not None)
        return self.process.returncode

    def out(self) -> str:
        return self._out.read_text("utf-8")

    def said(self) -> str:
        return self.out() + self._err.read_text("utf-8")


@contextmanager
def ctrl_c_reaches_children() -> Iterator[None]:
    """For the start of a program that a test interrupts: it must not inherit that SIGINT is ignored, as
    it is where the suite was started in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def page(
    folder: Path, *arguments: str, script: str = "app.py", unheard: bool = False
) -> Iterator[Page]:
    """A page on a port of its own choice, visible but perhaps still loading; killed at the end.
    `unheard`: what it says goes to a pipe that nobody reads."""
    out, err = folder / "out", folder / "err"
    with out.open("w") as stdout, err.open("w") as stderr, ctrl_c_reaches_children():
        if unheard:
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, stdout.fileno())
            os.dup2(writing, stderr.fileno())
            os.close(writing)
        process = subprocess.Popen(
            [sys.executable, script, "--engine", "echo", "--port", "0", *arguments],
            cwd=ROOT, stdout=stdout, stderr=stderr, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    found = Page(process, out, err)
    try:
        with kept_if_it_fails("page.log", found.said):
            found.until(found.is_visible)
            yield found
    finally:
        process.kill()
        process.wait()


def answers_of(client: Client, text: str, **more: Any) -> tuple[list[str], threading.Thread]:
    """The growing answer to `text`, filled by a thread; a failure is its last, "ERROR …"."""
    got: list[str] = []

    def read() -> None:
        try:
            job = client.submit(text, api_name="/chat", **more)
            got.extend(job)
            job.result()  # iterating ends quietly on a failure; this raises it
        except Exception as error:
            got.append(f"ERROR {error}")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return got, thread
