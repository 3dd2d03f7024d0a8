"""llama.cpp's own server on a GGUF file, as a process: a server that nobody here wrote.

python tests/servers/llama.py MODEL.gguf      prints its address; ends with its standard input
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SLOTS = 4
CONTEXT_OF_A_SLOT = 1024


@contextmanager
def llama_server(model: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address (`http://…/v1`) and its process."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, __file__, str(model)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address.startswith("http://"):
                said.seek(0)
                raise AssertionError(f"llama.cpp's server did not start: {said.read()[-4000:]}")
            yield f"{address}/v1", process
        finally:
            process.kill()
            process.wait()


def main(model: str) -> None:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_parallel = SLOTS
    settings.n_ctx = SLOTS * CONTEXT_OF_A_SLOT
    settings.cpuparams.n_threads = 1
    settings.warmup = settings.ui = False
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
