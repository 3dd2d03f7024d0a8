"""Starting LMDeploy's servers here: what must hold first, their health, and their end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from assistant.errors import BlockedError, FailedError, UsageError
from assistant.hosting import Place, refuse_taken_port
from assistant.words import Text

from .commands import api_server, proxy_server
from .recipes import Fleet

LOOK_SECONDS = 0.5
END_SECONDS = 30.0  # what a server may take to end its answers before it is killed


def refuse_unready(fleet: Fleet) -> None:
    """Raise BlockedError where LMDeploy, a GPU or a port is missing, UsageError for a model that
    TurboMind does not know or that cannot be split so."""
    refuse_without_lmdeploy()
    refuse_too_few_gpus(fleet.servers * fleet.settings.tp)
    _refuse_unknown_architecture(Path(fleet.settings.model))
    for port in ports_of(fleet):
        refuse_taken_port(Place("own", fleet.host, port, "", True, False))


def refuse_without_lmdeploy() -> None:
    """Raise BlockedError where LMDeploy is not installed beside this Python."""
    if importlib.util.find_spec("lmdeploy") is None:
        raise BlockedError(
            Text("LMDeploy is not installed here.", "这里没有安装 LMDeploy。"),
            Text("On a GPU host: pip install -r requirements.txt - or print the commands: --dry-run",
                 "在 GPU 主机上：pip install -r requirements.txt；或只打印命令：--dry-run"),
        )  # fmt: skip


def refuse_too_few_gpus(needed: int) -> None:
    """Raise BlockedError where the driver shows fewer GPUs."""
    found = count_gpus()
    if found < needed:
        raise BlockedError(
            Text(f"{needed} GPU(s) are needed and {found} are here.", f"需要 {needed} 块 GPU，这里有 {found} 块。"),
            Text("Lower [serve.turbomind] tp or --servers, go to a GPU host, or only print: --dry-run",
                 "请调小 [serve.turbomind] tp 或 --servers，换到 GPU 主机，或只打印：--dry-run"),
        )  # fmt: skip


def count_gpus() -> int:
    """GPUs that NVIDIA's driver lists; 0 without a driver. CUDA_VISIBLE_DEVICES is respected."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    done = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    listed = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return listed if visible is None else min(listed, len([one for one in visible.split(",") if one.strip()]))  # fmt: skip


def _refuse_unknown_architecture(model: Path) -> None:
    """LMDeploy itself would go over to its PyTorch engine with no more than a line in its log."""
    from lmdeploy.turbomind.supported_models import is_supported

    if not is_supported(str(model)):
        raise UsageError(
            Text(f"TurboMind does not know the architecture of {model}.", f"TurboMind 不支持 {model} 的结构。"),
            Text("Serve it with the CPU engine, or train on a Llama, Qwen or InternLM base.",
                 "请用 CPU 引擎，或改用 Llama、Qwen、InternLM 系列的基座。"),
        )  # fmt: skip


def ports_of(fleet: Fleet) -> list[int]:
    """The port that the page calls, then those of the copies behind a proxy."""
    if not fleet.behind_proxy:
        return [fleet.port]
    return [fleet.port + number for number in range(fleet.servers + 1)]


def planned(fleet: Fleet) -> list[tuple[list[str], dict[str, str]]]:
    """The processes of this machine in the order they start: command, and what its environment
    has beside ours. Each copy sees its own GPUs."""
    settings, tp = fleet.settings, fleet.settings.tp
    front, *behind = ports_of(fleet)
    if not fleet.behind_proxy:
        return [(api_server(settings, fleet.host, front), {})]
    proxy = f"http://{fleet.host}:{front}"
    return [(proxy_server(settings, fleet.host, front), {})] + [
        (api_server(settings, fleet.host, port, proxy),
         {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(number * tp, number * tp + tp)))})
        for number, port in enumerate(behind)
    ]  # fmt: skip


@contextmanager
def started(
    processes: Sequence[tuple[list[str], dict[str, str]]],
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start them; at the end they are asked to end, and killed after END_SECONDS. What they print
    goes to our stderr: stdout is for the result."""
    with ExitStack() as stack:
        running = []
        for command, more in processes:
            process = subprocess.Popen(
                with_this_python(command), env={**os.environ, **more}, stdout=2
            )
            stack.callback(_end, process)
            running.append(process)
        yield running


def with_this_python(command: list[str]) -> list[str]:
    """The command run by this Python: a virtual environment need not be on the PATH."""
    program, *arguments = command
    return [sys.executable, *(["-m", program] if program != "python" else []), *arguments]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        process.kill()
        process.wait()


def wait_until_healthy(
    fleet: Fleet, running: Sequence[subprocess.Popen[bytes]], seconds: float, say: Callable[[Text], None]
) -> None:  # fmt: skip
    """Wait until every copy says it is well and, behind a proxy, the proxy knows the model.

    Raises FailedError when a process ends or `seconds` pass first.
    """
    front, *behind = ports_of(fleet)
    deadline = time.monotonic() + seconds
    for port in behind or [front]:
        _until(partial(_is_well, fleet, port), running, deadline)
        say(Text(f"Port {port} is well.", f"端口 {port} 正常。"))
    if fleet.behind_proxy:
        _until(lambda: _proxy_knows_all(fleet, front), running, deadline)
        say(Text(f"The proxy on port {front} knows {fleet.servers} copies.",
                 f"端口 {front} 的代理已登记 {fleet.servers} 份模型。"))  # fmt: skip


def _is_well(fleet: Fleet, port: int) -> bool:
    return _status(fleet, port, "/health") == 200


def _until(
    holds: Callable[[], bool], running: Sequence[subprocess.Popen[bytes]], deadline: float
) -> None:
    while not holds():
        refuse_ended(running)
        if time.monotonic() > deadline:
            raise FailedError(
                Text("The servers did not become healthy in time.", "服务没有在限定时间内就绪。"),
                Text("Their log stands above. Give them longer: --wait SECONDS",
                     "日志在上面。可以等久一点：--wait 秒数"),
            )  # fmt: skip
        time.sleep(LOOK_SECONDS)


def refuse_ended(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Raise FailedError where a process has ended by itself."""
    for process in running:
        if process.poll() is not None:
            raise FailedError(
                Text(f"A server ended with code {process.returncode}.", f"服务进程以代码 {process.returncode} 退出。"),
                Text("Its log stands above. Out of memory: lower [serve.turbomind] cache_share.",
                     "日志在上面。若显存不足：调小 [serve.turbomind] cache_share。"),
            )  # fmt: skip


def _status(fleet: Fleet, port: int, path: str) -> int:
    import httpx

    try:
        return httpx.get(f"http://{_reachable(fleet.host)}:{port}{path}", timeout=5).status_code
    except httpx.HTTPError:
        return 0


def _proxy_knows_all(fleet: Fleet, port: int) -> bool:
    import httpx

    try:
        answer = httpx.get(f"http://{_reachable(fleet.host)}:{port}/nodes/status", timeout=5)
        return answer.status_code == 200 and len(answer.json()) >= fleet.servers
    except (httpx.HTTPError, ValueError):
        return False


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host


def url_of(fleet: Fleet) -> str:
    """What the page calls."""
    return f"http://{_reachable(fleet.host)}:{fleet.port}/v1"
