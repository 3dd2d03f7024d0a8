"""LMDeploy's own proxy, as `deploy serve` starts it, before several servers; and the page through it.

What stands behind it: two of llama.cpp's servers, which really compute, and two of LMDeploy's own on
the stand-in for its native module.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from chat_folders import chat_folder
from servers.api_server import KEY_VARIABLE, NAME, on_the_stand_in, settings_for, states_in
from servers.listening import LOCAL, free_port, wait_until
from servers.llama import llama_server
from servers.page import answers_of, page
from turbomind_native import CANCELLED, FINISHED

from assistant.conversation import Message
from assistant.engines.base import Generation, Sampling
from assistant.engines.remote import RemoteEngine, RemoteSettings
from assistant.errors import EngineError
from deploy.serving import start
from deploy.serving.recipes import Fleet

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("lmdeploy")
KEY = "sk-very-secret-0123456789"
STORY = "Tell me a very long story about a dragon, a knight and their journey over ten rivers."


class Proxy:
    """A running proxy and what it knows of its nodes."""

    def __init__(self, root: str):
        self.root = root

    def add(self, url: str) -> None:
        answer = LOCAL.post(self.root + "/nodes/add", json={"url": url})
        assert answer.json() == "Added successfully"

    def nodes(self) -> dict[str, dict]:
        return LOCAL.get(self.root + "/nodes/status").json()

    def running(self) -> list[int]:
        """How many answers each node gives at present."""
        return [node["unfinished"] for node in self.nodes().values()]

    def is_there(self) -> bool:
        try:
            return LOCAL.get(self.root + "/nodes/status").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def proxy(folder: Path) -> Iterator[Proxy]:
    """The proxy of a fleet, with no server of the fleet behind it yet."""
    port = free_port()
    fleet = Fleet(settings_for(Path("any")), 2, "127.0.0.1", port, "")
    command, more = start.planned(fleet)[0]
    log = folder / "proxy.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            start.with_this_python(command), env={**os.environ, **more}, stdout=out, stderr=out
        )
    found = Proxy(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: found.is_there() or process.poll() is not None, log.read_text, 240)
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        process.kill()
        process.wait(10)


def test_the_page_talks_on_when_a_server_behind_the_proxy_is_killed(embedded_model, tmp_path):
    with (
        llama_server(embedded_model.path) as (one, dying),
        llama_server(embedded_model.path) as (other, _),
        proxy(tmp_path) as front,
    ):
        for url in (one, other):
            front.add(url.removesuffix("/v1"))
        urls = f'serve.remote.urls=["{front.root}/v1"]'
        with page(tmp_path, "--engine", "remote", "--set", urls) as shown:
            shown.ready()
            long = {"max_tokens": 400, "temperature": 0, "repetition_penalty": 1.2}
            *tellers, asker = [shown.client() for _ in range(3)]
            stories = [answers_of(teller, STORY, **long) for teller in tellers]
            shown.until(
                lambda: front.running() == [1, 1] and all(len(got) > 3 for got, _ in stories)
            )
            dying.kill()
            # The living one still tells its story; the dead one is never busy, and the proxy prefers it.
            for number in range(3):
                assert asker.predict(f"Say {number}.", api_name="/chat", max_tokens=5)
            for _, telling in stories:
                telling.join(300)
            broken = [got[-1] for got, _ in stories if got[-1].startswith("ERROR")]
            assert len(broken) == 1
            assert "The answer broke off" in broken[0]
            shown.until(lambda: list(front.nodes()) == [other.removesuffix("/v1")])


class Served:
    """A running fleet, and what is asked of its members."""

    def __init__(self, fleet: Fleet, processes: list[start.Planned], folder: Path):
        self.fleet = fleet
        self.processes = processes
        self.running: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self.proxy = Proxy(start.url_of(fleet).removesuffix("/v1"))
        self.ports = start.ports_of(fleet)[1:]

    def ends(self) -> list[list[int]]:
        """How the requests ended on each copy's device."""
        return [states_in(self._folder / str(port)) for port in self.ports]

    def engine(self, key: str = KEY) -> RemoteEngine:
        return RemoteEngine(RemoteSettings(urls=(start.url_of(self.fleet),), key=key))


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """What `deploy serve --servers 2` starts, with a key; both copies are well."""
    folder = tmp_path_factory.mktemp("fleet")
    settings = settings_for(chat_folder(folder / NAME, "smollm2"), KEY)
    fleet = Fleet(settings, 2, "127.0.0.1", free_port(3), "")
    front, *copies = start.planned(fleet)
    copies = [
        (on_the_stand_in(command, 0.04, folder / str(port)), {"PYTHONPATH": str(ROOT)})
        for (command, _), port in zip(copies, start.ports_of(fleet)[1:], strict=True)
    ]
    made = Served(fleet, [front, *copies], folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        with start.started(made.processes) as made.running:
            start.wait_until_healthy(fleet, made.running, 400, lambda _: None)
            yield made


def greedy(text: str) -> tuple[list[Message], Sampling]:
    return [Message(role="user", content=text)], Sampling(temperature=0, max_tokens=400)


def test_a_fleet_shares_the_work_and_a_closed_answer_ends_on_the_device(served):
    before = [len(states) for states in served.ends()]
    ends = lambda: [states[n:] for n, states in zip(before, served.ends(), strict=True)]  # noqa: E731
    engine = served.engine()
    questions = [f"This is number {number}." for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda text: list(engine.stream(*greedy(text))), questions))
    for question, chunks in zip(questions, answers, strict=True):
        assert question in "".join(chunk.text for chunk in chunks)
    assert sorted(state for states in ends() for state in states) == [FINISHED] * 12
    assert min(len(states) for states in ends()) >= 3
    generation = engine.stream(*greedy("a long story " * 20))
    next(generation)
    generation.close()
    assert list(generation)[-1].finish == "cancelled"
    wait_until(lambda: sum(states.count(CANCELLED) for states in ends()) == 1)
    wait_until(lambda: served.proxy.running() == [0, 0])
    engine.close()


def test_a_fleet_refuses_a_wrong_key(served):
    with pytest.raises(EngineError, match=r"refuses the key \(HTTP 401"):
        served.engine("sk-wrong")


def test_a_copy_that_is_killed_is_started_again_and_the_talk_goes_on_meanwhile(served):
    engine = served.engine()
    direct = RemoteEngine(RemoteSettings(urls=(f"http://127.0.0.1:{served.ports[0]}/v1",), key=KEY))
    story = greedy("a long story " * 20)
    answers = [direct.stream(*story), *(engine.stream(*story) for _ in range(2))]
    wait_until(lambda: served.proxy.running() == [1, 1])
    for answer in answers:
        next(answer)
    served.running[1].kill()
    served.running[1].wait()
    outcomes = [outcome(answer) for answer in answers]
    assert outcomes[0] == "truncated"
    assert sorted(outcomes[1:]) == ["stop", "truncated"]
    assert outcome(engine.stream(*greedy("Who are you?"))) == "stop"
    wait_until(lambda: len(served.proxy.nodes()) == 1)
    said: list[str] = []
    start.keep_up(served.fleet, served.processes, served.running, lambda text: said.append(text.en))
    assert said == [f"The copy on port {served.ports[0]} ended with code -9 and is started again."]
    start.wait_until_healthy(served.fleet, served.running, 400, lambda _: None)
    assert outcome(direct.stream(*greedy("Who are you?"))) == "stop"
    for opened in (engine, direct):
        opened.close()


def test_a_copy_that_the_proxy_has_dropped_is_made_known_again(served):
    dropped = f"http://127.0.0.1:{served.ports[1]}"
    LOCAL.post(served.proxy.root + "/nodes/remove", json={"url": dropped})
    assert dropped not in served.proxy.nodes()
    start.keep_up(served.fleet, served.processes, served.running, lambda _: None)
    assert served.proxy.nodes()[dropped]["models"] == [NAME]


def outcome(answer: Generation) -> str:
    """How an answer ends: its finish, or the code of its failure."""
    try:
        return str(list(answer)[-1].finish)
    except EngineError as error:
        return error.code
