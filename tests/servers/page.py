"""`app.py` as a process, and what its clients see of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client

from .listening import free_port, listens

ROOT = Path(__file__).resolve().parents[2]


class Page:
    """A running app.py and what it says."""

    def __init__(self, process: subprocess.Popen[str], url: str, out: Path, err: Path):
        self.process = process
        self.url = url
        self._out = out
        self._err = err

    def health(self) -> tuple[int, dict]:
        answer = httpx.get(self.url + "/healthz", timeout=30)
        return answer.status_code, answer.json()

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        answer = httpx.get(self.url + "/metrics", timeout=30)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def client(self) -> Client:
        return Client(self.url, verbose=False)

    def ask(self, text: str, **more: Any) -> str:
        return self.client().predict(text, api_name="/chat", **more)

    def until(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None  # first: what it said last may hold
            if holds():
                return
            assert not ended and time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def ready(self) -> None:
        self.until(lambda: self.health()[0] == 200)

    def out(self) -> str:
        return self._out.read_text("utf-8")

    def said(self) -> str:
        return self.out() + self._err.read_text("utf-8")


@contextmanager
def page(
    folder: Path, *arguments: str, script: str = "app.py", unheard: bool = False
) -> Iterator[Page]:
    """A page on a free port, visible but perhaps still loading; killed at the end. `unheard`:
    what it says goes to a pipe that nobody reads."""
    port = free_port()
    out, err = folder / "out", folder / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        if unheard:
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, stdout.fileno())
            os.dup2(writing, stderr.fileno())
            os.close(writing)
        process = subprocess.Popen(
            [sys.executable, script, "--engine", "echo", "--port", str(port), *arguments],
            cwd=ROOT, stdout=stdout, stderr=stderr, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    found = Page(process, f"http://127.0.0.1:{port}", out, err)
    try:
        found.until(lambda: listens(port), 240)
        yield found
    finally:
        process.kill()
        process.wait(10)


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
