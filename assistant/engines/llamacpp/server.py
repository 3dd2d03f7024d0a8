"""llama.cpp's own server as a process: python server.py, told on standard input.

One line of JSON says what to serve: {"model", "slots", "context_length", "threads", "key"}. It prints
its address once the model is loaded, and ends when its standard input does, so with who started it.
A process of its own: a fault in native code does not end the page, and ending it frees all memory.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = wanted["model"]
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.api_keys = [wanted["key"]]
    settings.n_parallel = wanted["slots"]
    settings.n_ctx = wanted["slots"] * wanted["context_length"]
    settings.cpuparams.n_threads = wanted["threads"]
    settings.warmup = settings.ui = settings.endpoint_slots = False
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads know no other end


if __name__ == "__main__":
    main()
