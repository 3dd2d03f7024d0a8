"""A Space on ZeroGPU without a GPU: the real package `spaces`, before a device API of our own, and the
CPU in place of the GPU that a forked process gets.

python tests/servers/zero_gpu.py app.py ARGUMENTS…    runs an app so; SPACES_ZERO_GPU must be set
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class DeviceApi:
    """What the platform was asked, in order: path and arguments."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    no_quota: bool = False

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def last(self, path: str) -> dict[str, str]:
        """The arguments of the newest request for `path`."""
        return [arguments for asked, arguments in self.asked if asked == path][-1]

    def environment(self, folder: Path) -> dict[str, str]:
        """What the platform sets; `folder` is for files of its own."""
        group = folder / "cgroup"
        group.write_text("0::/space\n", encoding="utf-8")
        return {
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": self.url,
            "ZEROGPU_PROC_SELF_CGROUP_PATH": str(group),
            "HOME": str(folder),
        }


@contextmanager
def device_api() -> Iterator[DeviceApi]:
    """The platform's API for Spaces, with one GPU that is always free."""
    from .listening import listening

    api = DeviceApi()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return

        def do_POST(self) -> None:
            split = urlsplit(self.path)
            api.asked.append((split.path, {k: v[0] for k, v in parse_qs(split.query).items()}))
            if split.path != "/schedule":
                return self._answer(200, {})
            if api.no_quota:
                return self._answer(429, {"left": 3, "wait": "PT1H"})
            gpu = {"nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": f"t{len(api.asked)}"}
            return self._answer(200, {"idle": True, **gpu})

        def _answer(self, status: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as api.url:
        yield api


def main(script: str, *arguments: str) -> None:
    """Run `script` with the CPU behind `spaces`: where it would take the weights to a GPU they are
    taken out of its keeping, and nothing is put aside on the disk before."""
    import spaces.zero.torch as device
    from spaces.zero.torch import patching

    def move(callback: object = None) -> None:
        for fake, original in patching.cuda_aliases.items():
            fake.data = original

    device.pack, device.init, device.move = lambda: 0, lambda uuid: None, move
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
