"""What a person sees when something goes wrong, on the real page: `app.py` as a process, Gradio's own
client, the CPU engine with the embedded base. What breaks the engine itself is in test_operations.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers.openai_server import stand_in
from servers.page import Page, answers_of, page

from assistant.engines.echo import EchoEngine

pytestmark = pytest.mark.xdist_group("operations")
KEY = "sk-very-secret-0123456789"
MEGABYTE = 1_000_000
CONTEXT = 1024
TOKENS_READ = 'assistant_tokens_total{direction="in"}'
SHORT = {"max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def real(embedded_model, tmp_path_factory) -> Iterator[Page]:
    """The page on the CPU engine. The limit of a message is the owner's to raise: here it is raised."""
    folder = tmp_path_factory.mktemp("page")
    sets = [f"serve.limits.message_chars={3 * MEGABYTE}", f"serve.context_length={CONTEXT}"]
    with page(folder, "--engine", "cpu", "--set", sets[0], "--set", sets[1]) as opened:
        opened.ready()
        yield opened
        # No question of these tests is the engine's fault: none may make the page doubt or restart it.
        assert opened.health() == (200, {"state": "ready", "engine": "cpu", "restarts": 0})
        assert "the engine is well" not in opened.said()
        assert "Traceback" not in opened.said()


def megabyte() -> str:
    """Words of no language, as a pasted log has them."""
    chooser = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz      0123456789\n"
    return "".join(chooser.choices(letters, k=MEGABYTE))


def test_a_megabyte_where_the_owner_allows_it_does_not_disturb_the_others(real):
    got, reading = answers_of(real.client(), "Tell me a long story about rivers.",
                              max_tokens=200, temperature=0)  # fmt: skip
    real.until(lambda: len(got) > 3)
    said = real.refused(megabyte())
    assert f"characters; this model reads at most {CONTEXT} tokens" in said
    reading.join(300)
    assert not got[-1].startswith("ERROR")
    assert real.ask("Hello", system_prompt="", **SHORT)


@pytest.mark.parametrize("field", ["system_prompt", "history"])
def test_a_megabyte_elsewhere_than_in_the_message(real, field):
    if field == "system_prompt":
        assert "this model reads at most" in real.refused("Hello", system_prompt=megabyte())
    else:  # what does not fit of a history is left out
        turns = [{"role": "user", "content": megabyte()}, {"role": "assistant", "content": "Long."}]
        assert real.ask("Hello", history=turns, **SHORT)


def test_ten_thousand_turns_are_cut_to_what_fits(real):
    before = real.metrics()[TOKENS_READ]
    history = [
        {"role": role, "content": f"{role} says {number}: the river flows on to the sea."}
        for number in range(10_000)
        for role in ("user", "assistant")
    ]
    assert real.ask("What did I say last?", history=history, **SHORT)
    read = real.metrics()[TOKENS_READ] - before
    assert CONTEXT / 2 < read < CONTEXT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 2.5), ("temperature", -1), ("temperature", "hot"), ("temperature", None),
        ("temperature", True), ("top_p", 0), ("top_p", 1.5), ("top_p", [0.5]), ("top_k", -1),
        ("top_k", 1.5), ("top_k", 2**40), ("max_tokens", 0), ("max_tokens", "many"),
        ("max_tokens", 0.5), ("repetition_penalty", 0), ("repetition_penalty", {}), ("seed", -1),
        ("seed", "lucky"),
    ],
    ids=str,
)  # fmt: skip
def test_an_impossible_value_is_named_with_what_is_possible(real, field, value):
    invalid = 'assistant_requests_total{outcome="invalid"}'
    before = real.metrics().get(invalid, 0)
    said = real.refused("Hello", **{field: value})
    assert f"{field} = {value!r} is out of range (expected " in said
    assert real.metrics()[invalid] == before + 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_k", 2**31 - 1), ("seed", 2**64 + 1), ("repetition_penalty", 2)],
    ids=str,
)
def test_a_large_value_is_taken(real, field, value):
    assert real.ask("Hello", **{"max_tokens": 4, "temperature": 1.0, field: value})


@pytest.mark.parametrize(
    ("message", "more", "says"),
    [
        (5, {}, "message is not text"), (None, {}, "message is not text"),
        ("Hi", {"style": ["a"]}, "style is not text"),
        ("Hi", {"system_prompt": 7}, "system_prompt is not text"),
        ("Hi", {"history": 5}, "not a list of messages"), ("Hi", {"history": "abc"}, "not a list of messages"),
        ("Hi", {"history": [{"role": "king", "content": "x"}]}, "not a list of messages"),
        ("Hi", {"history": [{"role": "user"}]}, "not a list of messages"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_question_is_said(real, message, more, says):
    assert says in real.refused(message, **more)


def test_one_who_leaves_in_the_middle_costs_nothing_more(real):
    cancelled = 'assistant_requests_total{outcome="cancelled"}'
    before = real.metrics().get(cancelled, 0)
    story = ["Tell me a long story.", [], None, None, 2000, 0, 1, 0, 1.2, None]
    joined = httpx.post(real.url + "/gradio_api/call/chat", json={"data": story}, timeout=60).json()
    address = f"{real.url}/gradio_api/call/chat/{joined['event_id']}"
    with httpx.stream("GET", address, timeout=60) as stream:
        texts = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert next(text for text in texts if text and text[0])
        assert real.metrics()["assistant_running"] >= 1
    real.until(lambda: real.metrics()["assistant_running"] == 0)
    assert real.metrics()[cancelled] >= before + 1


def with_key(folder: Path, url: str) -> Any:
    urls = f'serve.remote.urls=["{url}"]'
    return page(folder, "--engine", "remote", "--set", urls)


def test_a_wrong_key_is_said_with_the_variable_and_a_right_one_mends_it(tmp_path, monkeypatch):
    with stand_in(EchoEngine(0.01)) as server:
        server.key = KEY
        monkeypatch.setenv("ASSISTANT_API_KEY", "sk-wrong")
        with with_key(tmp_path, server.url) as one:
            one.until(lambda: one.health()[1]["state"] == "failed")
            assert one.health() == (503, {"state": "failed", "engine": None, "restarts": 0})
            assert one.get().status_code == 200
            said = one.refused("Hello")
            assert "refuses the key (HTTP 401" in said and "ASSISTANT_API_KEY" in said
        monkeypatch.setenv("ASSISTANT_API_KEY", KEY)
        with with_key(tmp_path, server.url) as one:
            one.ready()
            assert one.ask("Hello") == "Hello"
            server.key = "another"
            assert "refuses the key" in one.refused("Hello")
            server.key = KEY
            assert one.ask("Hello again") == "Hello again"
            assert one.health()[1]["restarts"] == 0
            assert KEY not in one.said() and "sk-wrong" not in one.said()


def test_in_public_neither_the_servers_address_nor_the_variable_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_API_KEY", KEY)
    with stand_in(EchoEngine(0.01)) as server:
        urls = f'serve.remote.urls=["{server.url}"]'
        with page(tmp_path, "--public", "--engine", "remote", "--set", urls) as one:
            one.ready()
            server.key = "another"
            said = one.refused("Hello")
            assert "cannot answer at the moment" in said
            assert "127.0.0.1" not in said and "ASSISTANT_API_KEY" not in said
            assert "refuses the key" in one.said()  # the log of who runs it
