"""`python app.py` in the bundle's own folder, started and talked to before anything is sent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from assistant.errors import BlockedError, FailedError
from assistant.libraries import installing
from assistant.network import environment_without_proxies
from assistant.progress import Progress, Report
from assistant.words import Text

from ..tokens import VARIABLES, hide

PATIENCE = 90.0  # seconds
QUESTION = "ping 你好"


def try_bundle(folder: Path, report: Report) -> float:
    """Start the bundle with the echo engine, ask it once; gives the seconds to its answer.

    Nothing outside the bundle is imported but installed libraries, and it gets no tokens. The real
    weights are not loaded: they were checked before they were shared. Raises FailedError with the
    app's last words where it does not answer, BlockedError where Gradio is not installed here.
    """
    _need_gradio()
    report(Progress(Text("Trying the app here", "在本机试运行应用")))
    port = _free_port()
    begun = time.monotonic()
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "app.py", "--engine", "echo", "--public", "--port", str(port)]
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL,
            stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            answer = _ask(process, port, begun)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if answer is None or QUESTION not in answer:
            said.seek(0)
            raise _failed(said.read().decode(errors="replace"), answer)
    return time.monotonic() - begun


def _ask(process: subprocess.Popen[bytes], port: int, begun: float) -> str | None:
    """What the app answers; None where it ended or did not answer in time."""
    from gradio_client import Client

    while time.monotonic() - begun < PATIENCE and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)):
                time.sleep(0.2)
                continue
        try:
            client = Client(
                f"http://127.0.0.1:{port}", verbose=False, analytics_enabled=False,
                httpx_kwargs={"trust_env": False},  # no proxy stands before this machine
            )  # fmt: skip
            return str(client.predict(QUESTION, api_name="/chat"))
        except (
            Exception
        ):  # the page is up before the engine is; whatever it is, ask again until then
            time.sleep(0.5)
    return None


def _environment() -> dict[str, str]:
    hidden = {name for names in VARIABLES.values() for name in names}
    hidden |= {"PYTHONPATH", "SPACE_ID", "MODELSCOPE_ENVIRONMENT", "ASSISTANT_PASSWORD"}
    kept = {
        key: value for key, value in environment_without_proxies(os.environ).items()
        if key not in hidden and (key == "GRADIO_TEMP_DIR" or not key.startswith("GRADIO_"))
    }  # fmt: skip
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONUTF8": "1",
    }


def _need_gradio() -> None:
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        install = installing("gradio")
        raise BlockedError(
            Text("Gradio is not installed here, so the app cannot be tried.", "本机没有安装 Gradio，无法试运行应用。"),
            Text(f"{install.en} - or send it untried: --no-try",
                 f"{install.zh}；或不试运行直接发送：--no-try"),
        )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _failed(said: str, answer: str | None) -> FailedError:
    lines = [line for line in hide(said).splitlines() if line.strip()][-6:]
    shown = "\n".join(lines) or str(answer)
    return FailedError(
        Text(f"The app does not answer when it is tried here:\n{shown}", f"试运行时应用没有回答：\n{shown}"),
        Text("Nothing was sent. Start it yourself: python app.py --engine echo",
             "没有发送任何内容。请自己启动看看：python app.py --engine echo"),
    )  # fmt: skip
