"""`make clients`: every client of docs/clients.md, as printed there, against the real server.

    python tests/clients/run.py CLIENTS_VENV [options of `python -m assistant serve`]

Prints a table of what each said; exit code 1 where one failed.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "clients.md"
PRINTED_PORT = "7860"
PATIENCE = 300  # seconds for one client; lm-eval imports for long
SHOWN = 60  # characters of an answer in the table


@dataclass(frozen=True)
class Example:
    """A block of the page: the client's name, `python` or `sh`, and what is run."""

    name: str
    language: str
    text: str

    @property
    def package(self) -> str:
        """As it is installed: the heading up to its comma."""
        return self.name.split(",")[0]


def examples(page: str) -> list[Example]:
    """Every block of the page, named by the heading above it."""
    blocks = re.findall(r"^## (.+?)$(?:(?!^## ).)*?^```(python|sh)\n(.*?)^```", page, re.M | re.S)
    return [Example(*block) for block in blocks]


def main(arguments: Sequence[str]) -> int:
    venv, options = Path(arguments[0]).resolve(), arguments[1:]
    versions = _versions(venv)
    failed = 0
    print("| client | version | said | seconds |\n|---|---|---|---|")
    with served(options) as port:
        for example in examples(PAGE.read_text("utf-8")):
            started = time.monotonic()
            done = run(example, venv, port)
            seconds = time.monotonic() - started
            said = _said(done)
            failed += done.returncode != 0 or not said
            version = versions.get(example.package, "?")
            print(f"| {example.name} | {version} | {said} | {seconds:.1f} |", flush=True)
            if done.returncode:
                print(done.stderr[-2000:], file=sys.stderr)
    return 1 if failed else 0


def run(example: Example, venv: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Run one block in a folder of its own, with the clients' programs before all others."""
    text = example.text.replace(PRINTED_PORT, str(port))
    program = (
        [str(venv / "bin" / "python"), "-c"] if example.language == "python" else ["sh", "-ec"]
    )
    with tempfile.TemporaryDirectory() as folder:
        own = {
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": folder,
            "LLM_USER_PATH": folder,  # where llm keeps its models
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the internet for prices
            "HF_HUB_OFFLINE": "1",
            "no_proxy": "localhost,127.0.0.1",
        }
        return subprocess.run(
            [*program, text], cwd=folder, env=os.environ | own, text=True, capture_output=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip


@contextmanager
def served(options: Sequence[str]) -> Iterator[int]:
    """The API alone on a free port, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "assistant", "serve", "--mcp", "--port", str(port), *options]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            for said in server.stderr:
                print(said, end="", file=sys.stderr)
                if said.startswith(("Ready", "就绪")):
                    break
            else:
                raise SystemExit("The server did not start.")
            yield port
        finally:
            server.terminate()


def _said(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        return f"**failed** ({done.returncode})"
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    table = [line for line in lines if line.startswith("|who")]  # lm-eval prints a table
    said = " ".join((table or lines or [""])[0].replace("|", " ").split())
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}…"


def _versions(venv: Path) -> dict[str, str]:
    where = [str(folder) for folder in venv.glob("lib/python*/site-packages")]
    return {
        one.metadata["Name"].lower().replace("_", "-"): one.version
        for one in distributions(path=where)
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
