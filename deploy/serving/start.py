"""Starting LMDeploy's servers here: what must hold first, their health, and their end."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import BlockedError, FailedError, UsageError
from assistant.gpus import count_gpus
from assistant.libraries import installing
from assistant.serving.listen import ListenAddress, refuse_taken_port
from assistant.words import Text

from .commands import PROXY_ENVIRONMENT, api_server, proxy_server
from .recipes import Fleet

if TYPE_CHECKING:
    import httpx

Planned = tuple[list[str], dict[str, str]]  # a command, and what its environment has beside ours
LOOK_SECONDS = 0.5
UPKEEP_SECONDS = 2.0  # how often a running fleet is looked after
END_SECONDS = 30.0  # what a server may take to end its answers before it is killed


def refuse_unready(fleet: Fleet) -> None:
    """Raise BlockedError where LMDeploy, a GPU or a port is missing, UsageError for a model that
    TurboMind does not know or that cannot be split so."""
    refuse_without_lmdeploy()
    refuse_too_few_gpus(fleet.servers * fleet.settings.tp)
    _refuse_unknown_architecture(Path(fleet.settings.model))
    for port in ports_of(fleet):
        refuse_taken_port(ListenAddress("own", fleet.host, port, "", True, False))


def refuse_without_lmdeploy() -> None:
    """Raise BlockedError where LMDeploy is not installed beside this Python."""
    if importlib.util.find_spec("lmdeploy") is None:
        install = installing("lmdeploy")
        raise BlockedError(
            Text("LMDeploy is not installed here.", "这里没有安装 LMDeploy。"),
            Text(f"On a GPU host: {install.en} - or print the commands: --dry-run",
                 f"在 GPU 主机上：{install.zh}；或只打印命令：--dry-run"),
        )  # fmt: skip


_ELSEWHERE = Text(
    "Go to a GPU host, or only print: --dry-run", "请换到 GPU 主机，或只打印：--dry-run"
)
_FEWER = Text("Lower [serve.turbomind] tp or --servers, go to another host, or only print: --dry-run",
              "请调小 [serve.turbomind] tp 或 --servers，换一台主机，或只打印：--dry-run")  # fmt: skip


def refuse_too_few_gpus(needed: int) -> None:
    """Raise BlockedError where the driver shows fewer GPUs."""
    found = count_gpus()
    if found < needed:
        raise BlockedError(
            Text(f"{needed} GPU(s) are needed and {found} are here.", f"需要 {needed} 块 GPU，这里有 {found} 块。"),
            _FEWER if found else _ELSEWHERE,
        )  # fmt: skip


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


def planned(fleet: Fleet) -> list[Planned]:
    """The processes of this machine in the order they start. Each copy sees its own GPUs."""
    settings, tp = fleet.settings, fleet.settings.tp
    front, *behind = ports_of(fleet)
    if not fleet.behind_proxy:
        return [(api_server(settings, fleet.host, front), {})]
    proxy = f"http://{fleet.host}:{front}"
    return [(proxy_server(settings, fleet.host, front), PROXY_ENVIRONMENT)] + [
        (api_server(settings, fleet.host, port, proxy),
         {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(number * tp, number * tp + tp)))})
        for number, port in enumerate(behind)
    ]  # fmt: skip


@contextmanager
def started(
    processes: Sequence[Planned],
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start them; at the end they are asked to end, and killed after END_SECONDS. What they print
    goes to our stderr: stdout is for the result. A process may be put in another's place."""
    with ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        for number, process in enumerate(processes):
            running.append(_begun(*process))
            stack.callback(_end_at, running, number)
        yield running


def _begun(command: list[str], more: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(with_this_python(command), env={**os.environ, **more}, stdout=2)


def with_this_python(command: list[str]) -> list[str]:
    """The command run by this Python: a virtual environment need not be on the PATH."""
    program, *arguments = command
    return [sys.executable, *(["-m", program] if program != "python" else []), *arguments]


def _end_at(running: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    _end(running[number])


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


def keep_up(
    fleet: Fleet,
    processes: Sequence[Planned],
    running: list[subprocess.Popen[bytes]],
    say: Callable[[Text], None],
) -> None:
    """Look after a running fleet once. Behind a proxy a copy that ended is started again while the
    others go on, and one that is well but that the proxy has dropped is made known to it again:
    a copy announces itself only when it starts.

    Raises FailedError where what the page calls has ended: the proxy, or the only copy.
    """
    refuse_ended(running[:1])
    front, *behind = ports_of(fleet)
    for number, port in enumerate(behind, 1):
        code = running[number].poll()
        if code is not None:
            say(Text(f"The copy on port {port} ended with code {code} and is started again.",
                     f"端口 {port} 的服务以代码 {code} 退出，正在重新启动。"))  # fmt: skip
            running[number] = _begun(*processes[number])
    if fleet.behind_proxy and (known := _nodes(fleet, front)) is not None:
        for port in behind:
            if _address(fleet, port) not in known and _is_well(fleet, port):
                _announce(fleet, front, port)


def _address(fleet: Fleet, port: int) -> str:
    """What a copy announces itself by."""
    return f"http://{fleet.host}:{port}"


def _announce(fleet: Fleet, front: int, port: int) -> None:
    import httpx

    node = {"url": _address(fleet, port), "status": {"models": [fleet.settings.served_as]}}
    with suppress(httpx.HTTPError):
        _http().post(f"http://{_reachable(fleet.host)}:{front}/nodes/add", json=node)


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


@cache
def _http() -> httpx.Client:
    """Return the client for all that is asked of this machine's servers, which no proxy stands
    before. `httpx.get` would read every certificate authority anew, 50 ms each time."""
    import httpx

    limits = httpx.Limits(max_keepalive_connections=0)  # a server may be another one by then
    return httpx.Client(verify=False, trust_env=False, timeout=5, limits=limits)


def _status(fleet: Fleet, port: int, path: str) -> int:
    import httpx

    try:
        url = f"http://{_reachable(fleet.host)}:{port}{path}"
        return _http().get(url).status_code
    except httpx.HTTPError:
        return 0


def _proxy_knows_all(fleet: Fleet, front: int) -> bool:
    known = _nodes(fleet, front)
    return known is not None and len(known) >= fleet.servers


def _nodes(fleet: Fleet, front: int) -> dict[str, object] | None:
    """The copies that the proxy knows, by address; None where it does not say."""
    import httpx

    try:
        url = f"http://{_reachable(fleet.host)}:{front}/nodes/status"
        answer = _http().get(url)
        return answer.json() if answer.status_code == 200 else None
    except (httpx.HTTPError, ValueError):
        return None


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host


def url_of(fleet: Fleet) -> str:
    """What the page calls."""
    return f"http://{_reachable(fleet.host)}:{fleet.port}/v1"
