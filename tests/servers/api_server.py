"""LMDeploy's own api_server as a process, on the stand-in for its native module: its HTTP layer, template
and tokenizer are the real ones, started by the command that `deploy serve` starts them with.

python -m tests.servers.api_server SECONDS_PER_TOKEN STATES COMMAND…

How each request ended on the device is appended to the file STATES.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.serving.commands import Settings, api_server
from deploy.serving.start import with_this_python

from .listening import LOCAL, free_port

ROOT = Path(__file__).resolve().parents[2]
KEY_VARIABLE = "ASSISTANT_API_KEY"
NAME = "small"
BATCH = 8


@dataclass
class ApiServer:
    """A running server; `url` is its base address (`…/v1`)."""

    url: str
    states: Path

    def ends(self) -> list[int]:
        """How each request ended on the device so far: TurboMind's states."""
        return states_in(self.states)


def states_in(file: Path) -> list[int]:
    """What a server has written of how its requests ended."""
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def settings_for(model: Path, key: str = "") -> Settings:
    """What a server of that model is told; with a `key`, that it asks for one."""
    variable = KEY_VARIABLE if key else ""
    return Settings(str(model), NAME, 1, 0.5, BATCH, 16, None, True, "auto", False, variable)


def on_the_stand_in(command: list[str], seconds_per_token: float, states: Path) -> list[str]:
    """An `lmdeploy serve api_server` command as one that runs here."""
    module = "tests.servers.api_server"
    return ["python", "-m", module, str(seconds_per_token), str(states), *command]


@contextmanager
def api_server_of(
    model: Path, folder: Path, key: str = "", seconds_per_token: float = 0.01
) -> Iterator[ApiServer]:
    """A server that is well; what it prints goes into `folder`."""
    port = free_port()
    command = api_server(settings_for(model, key), "127.0.0.1", port)
    log, states = folder / "log", folder / "states"
    with log.open("wb") as out:
        process = subprocess.Popen(
            with_this_python(on_the_stand_in(command, seconds_per_token, states)), cwd=ROOT,
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, KEY_VARIABLE: key},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 400
        while not _is_well(port):
            said = log.read_text("utf-8", "replace")
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.2)
        yield ApiServer(f"http://127.0.0.1:{port}/v1", states)
    finally:
        process.kill()
        process.wait(10)


def _is_well(port: int) -> bool:
    try:
        return LOCAL.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


class _Told(list):
    """States that are also appended to a file, for the test in the other process."""

    def __init__(self, file: Path):
        super().__init__()
        self._file = file

    def append(self, state: int) -> None:
        super().append(state)
        with self._file.open("a") as out:
            out.write(f"{state}\n")


def main(seconds_per_token: str, states: str, command: list[str]) -> None:
    from tests import turbomind_native

    native = turbomind_native.install()
    native.seconds_per_token = float(seconds_per_token)
    native.ends = _Told(Path(states))
    with turbomind_native.device(native):
        if command[0] == "python":  # with keys: a line of Python that puts them in, then runs it
            sys.argv = ["-c", *command[3:]]
            exec(command[2], {"__name__": "__main__"})
        else:
            from lmdeploy.cli.entrypoint import run

            sys.argv = command
            run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
