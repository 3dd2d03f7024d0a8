"""The bundle for ZeroGPU as it runs there: the real package `spaces`, no GPU (see servers/zero_gpu.py)."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers import zero_gpu as platform
from servers.listening import free_port, listens, wait_until
from servers.zero_gpu import DeviceApi, device_api

from assistant.config import ServeTable, read_config
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Engine, Sampling
from assistant.engines.echo import EchoEngine
from assistant.engines.transformers import zero_gpu
from assistant.engines.transformers.tokens import Order
from assistant.engines.transformers.zero_gpu import LONGEST_SECONDS, seconds_for
from assistant.errors import EngineError
from assistant.models import LocalModel, parse
from assistant.persona import persona_from_config
from assistant.progress import unreported
from assistant.serving.host import Host, Ready
from deploy.apps.bundle import make_bundle
from deploy.apps.profiles import PROFILES
from deploy.target import parse_target

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("engines")
QUESTION = "What is the capital of France?"
VISITOR = f"x.{base64.urlsafe_b64encode(b'{}').decode()}.x"  # the platform's token of a visitor
GREEDY = {"max_tokens": 8, "temperature": 0, "system_prompt": ""}


@dataclass
class Space:
    """A running Space: its process, what it printed, its address, and what the platform was asked."""

    process: subprocess.Popen[bytes]
    said: Path
    url: str
    api: DeviceApi

    def client(self, **headers: str) -> Any:
        from gradio_client import Client

        return Client(
            self.url, headers=headers, verbose=False, analytics_enabled=False, ssl_verify=False
        )


@contextmanager
def running(profile: str, engine: str, model: LocalModel, home: Path) -> Iterator[Space]:
    """A bundle of that profile, started as the platform starts it."""
    folder = home / "app"
    config = read_config(ROOT / "assistant.toml")
    weights, target = parse("hf:me/bei", home), parse_target("hf:me/app", "app")
    make_bundle(config, weights, PROFILES[profile], target, folder, "apache-2.0")
    port = free_port()
    command = [
        sys.executable, platform.__file__, "app.py", "--engine", engine, "--port", str(port), "--public",
        "--host", "127.0.0.1", "--model", str(model.path),
    ]  # fmt: skip
    said = home / "said"
    with device_api() as api, said.open("wb") as out:
        environment = {**os.environ, **api.environment(home), "ASSISTANT_LANG": "en"}
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: listens(port) or process.poll() is not None, said.read_text, 400)
            yield Space(process, said, f"http://127.0.0.1:{port}", api)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # those that it forked, too
            process.wait()


@pytest.fixture(scope="module")
def space(embedded_folder: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The bundle of hf-zerogpu on the embedded base, its engine left to choose itself."""
    with running("hf-zerogpu", "auto", embedded_folder, tmp_path_factory.mktemp("space")) as found:
        yield found


def test_the_platform_finds_a_function_for_its_gpu_before_the_page_opens(space):
    assert space.process.poll() is None, space.said.read_text()
    assert space.api.asked[0] == ("/startup-report", {})
    assert space.api.paths().count("/startup-report") == 1
    assert "transformers engine (ZeroGPU)" in space.said.read_text()


def test_a_visitor_is_answered_on_a_gpu_of_the_visitors_own_quota(
    space, transformers_engine: Engine
):
    client = space.client(**{"x-ip-token": VISITOR})
    answer = client.predict(QUESTION, **GREEDY, api_name="/chat")
    asked = [Message(role="user", content=QUESTION)]
    sampling = Sampling(max_tokens=8, temperature=0)
    assert answer == "".join(chunk.text for chunk in transformers_engine.stream(asked, sampling))
    scheduled = space.api.last("/schedule")
    assert (scheduled["token"], scheduled["durationSeconds"]) == (VISITOR, "10")
    assert space.api.last("/allow")["pid"] != str(space.process.pid)
    assert space.api.last("/release")["fail"] == "false"


def test_stopping_gives_the_gpu_back(space):
    released = space.api.paths().count("/release")
    job = space.client().submit(
        "Tell me a very long story.",
        **{**GREEDY, "max_tokens": 4000, "repetition_penalty": 1.0},
        api_name="/chat",
    )
    wait_until(lambda: any(job.outputs()), space.said.read_text)
    written = job.outputs()[-1]
    job.cancel()
    wait_until(lambda: space.api.paths().count("/release") > released, space.said.read_text)
    # 4000 tokens take several times as long as was waited.
    assert written and space.api.paths().count("/release") == released + 1
    assert space.api.last("/release")["fail"] == "false"


def test_a_visitor_without_quota_is_told_and_the_next_one_is_answered(space):
    space.api.no_quota = True
    try:
        with pytest.raises(Exception, match="quota"):
            space.client(**{"x-ip-token": VISITOR}).predict(QUESTION, **GREEDY, api_name="/chat")
    finally:
        space.api.no_quota = False
    assert space.client().predict(QUESTION, **GREEDY, api_name="/chat")
    assert "restart" not in space.said.read_text()


def test_a_space_whose_processor_answers_is_started_and_uses_no_gpu(embedded_model, tmp_path):
    with running("hf-zerogpu-cpu", "cpu", embedded_model, tmp_path) as space:
        assert space.process.poll() is None, space.said.read_text()
        assert space.client().predict(QUESTION, **GREEDY, api_name="/chat")
        assert space.api.paths() == [
            "/startup-report"
        ]  # which is sent where a function asks for one


# ---- without the package


@pytest.mark.parametrize(
    ("value", "here"), [("true", True), ("1", True), ("", False), ("0", False)]
)
def test_the_platform_is_known_by_its_variable(value, here):
    assert zero_gpu.here({"SPACES_ZERO_GPU": value}) is here
    assert not zero_gpu.here({})


def test_more_tokens_ask_for_more_time_up_to_a_limit():
    seconds = [
        seconds_for(Order([1], tokens, 0.0, 1.0, 0, 1.0, 7, "")) for tokens in (1, 512, 10**5)
    ]
    assert seconds == [10, 35, LONGEST_SECONDS]


def test_elsewhere_nothing_is_wrapped():
    def make(order: Order) -> Iterator[Any]:
        yield from ()

    assert zero_gpu.on_gpu(make) is make


def test_auto_is_the_transformers_engine_there_and_says_what_is_missing(
    monkeypatch, embedded_folder
):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.delenv("SPACES_ZERO_DEVICE_API_URL", raising=False)
    monkeypatch.setitem(sys.modules, "spaces", None)
    with pytest.raises(EngineError, match="package spaces does not load") as caught:
        open_engine("auto", embedded_folder, ServeTable(), unreported)
    assert caught.value.code == "unavailable"


def test_no_visitors_quota_is_spent_to_try_the_engine():
    asked = []

    class Lent(EchoEngine):
        may_be_tried = False

        def _start(self, messages, sampling):
            asked.append(messages)
            return super()._start(messages, sampling)

    persona = persona_from_config(read_config(ROOT / "assistant.toml"))
    ready = Ready(Lent(0), persona, "config")
    host = Host(lambda report: ready, persona)
    host.load_now()
    host.doubt(host.wait(0))
    assert asked == [] and not [one for one in threading.enumerate() if one.name == "try-engine"]
    assert host.state().phase == "ready"
