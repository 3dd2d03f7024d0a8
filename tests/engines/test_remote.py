"""The remote engine before a stand-in with every fault, and before the servers of others: llama.cpp's
own, and LMDeploy's api_server on the stand-in for its native module."""

import email.utils
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chat_folders import chat_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.api_server import NAME, ApiServer, api_server_of
from servers.listening import nobody_listens, wait_until
from servers.openai_server import MODEL, StandIn, stand_in
from turbomind_native import CANCELLED, FINISHED

from assistant.config import ServeTable
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Chunk, Sampling
from assistant.engines.echo import EchoEngine
from assistant.engines.remote import RemoteEngine, RemoteSettings
from assistant.engines.remote.answer import WholeText
from assistant.engines.remote.failures import retry_after
from assistant.engines.remote.settings import Address
from assistant.engines.remote.tokens import estimate
from assistant.errors import EngineError

ROOT = Path(__file__).resolve().parents[2]
LMDEPLOY = pytest.mark.xdist_group("lmdeploy")  # one server for those that ask it
KEY = "sk-very-secret-0123456789"
QUESTION = [Message(role="user", content="Hello there")]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
def opened() -> Iterator:
    """Opens engines with little patience, and closes them."""
    engines = []

    def open_remote(*servers: StandIn | str, **settings) -> RemoteEngine:
        urls = tuple(one if isinstance(one, str) else one.url for one in servers)
        quick = {"first_wait_seconds": 0.01, "recheck_seconds": 0.1, "timeout_seconds": 120.0}
        engines.append(RemoteEngine(RemoteSettings(urls=urls, **(quick | settings))))
        return engines[-1]

    yield open_remote
    for engine in engines:
        engine.close()


def ask(engine: RemoteEngine, text: str = "Hello there", **sampling) -> tuple[str, Chunk]:
    chunks = list(engine.stream([Message(role="user", content=text)], Sampling(**sampling)))
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def test_the_request_says_all_that_was_asked(server, opened):
    engine = opened(server)
    ask(engine, max_tokens=5, temperature=0.25, top_p=0.5, top_k=7, repetition_penalty=1.5, seed=3,
        stop=("aa", "b"))  # fmt: skip
    assert server.requests == [
        {
            "model": MODEL, "messages": [{"role": "user", "content": "Hello there"}],
            "max_tokens": 5, "temperature": 0.25, "top_p": 0.5, "top_k": 7,
            "repetition_penalty": 1.5, "seed": 3, "stop": ["aa", "b"],
            "stream": True, "stream_options": {"include_usage": True},
        }
    ]  # fmt: skip


def test_llama_cpp_is_told_the_penalty_by_its_own_name(server, opened):
    server.owner, server.context = "llamacpp", 2048
    ask(opened(server), top_k=7, repetition_penalty=1.5)
    sent = server.requests[0]
    told = {name: sent.get(name) for name in ("top_k", "repeat_penalty", "repeat_last_n", "min_p")}
    assert told == {"top_k": 7, "repeat_penalty": 1.5, "repeat_last_n": 2048, "min_p": 0.0}
    assert "repetition_penalty" not in sent


def test_counts_come_from_the_server(server, opened):
    text, last = ask(opened(server))
    counted = server.engine.count_tokens(QUESTION)
    assert (text, last) == (
        "Hello there",
        Chunk(finish="stop", prompt_tokens=counted, new_tokens=11),
    )


def test_counts_of_a_server_without_usage_are_our_own(server, opened):
    server.always = "no_usage"
    engine = opened(server)
    assert ask(engine)[1] == Chunk(
        finish="stop", prompt_tokens=engine.count_tokens(QUESTION), new_tokens=11
    )


@pytest.mark.parametrize(
    "rejects",
    [("top_k",), ("top_k", "repetition_penalty"), ("stream_options",), ("seed",)],
    ids=" ".join,
)
def test_fields_that_a_server_rejects_are_left_out_from_then_on(server, opened, rejects):
    server.rejects = rejects
    engine = opened(server)
    assert ask(engine, seed=1)[0] == "Hello there"
    assert len(server.requests) == 1 + len(rejects)
    assert ask(engine, seed=1)[0] == "Hello there"
    assert len(server.requests) == 2 + len(rejects)
    optional = {"top_k", "repetition_penalty", "stream_options", "seed"}
    assert optional - server.requests[-1].keys() == set(rejects)


@pytest.mark.parametrize("fault", ["429", "500", "503", "empty", "proxy", "html", "cut_first"])
def test_before_the_first_token_it_is_tried_again(server, opened, fault):
    server.faults.extend([fault, fault])
    assert ask(opened(server))[0] == "Hello there"
    assert len(server.requests) == 3


def test_retry_after_is_honoured(server, opened):
    server.retry_after = "0.5"  # without it the first wait is a hundredth of a second
    server.faults.append("429")
    ask(opened(server))
    assert server.times[1] - server.times[0] >= 0.5


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(server, opened):
    server.retry_after = "3600"
    server.always = "429"
    with pytest.raises(EngineError, match="429") as caught:
        ask(opened(server))
    assert caught.value.code == "unavailable"
    assert len(server.requests) == 1


def test_retry_after_as_seconds_milliseconds_and_date():
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert 3000 < retry_after({"retry-after": date}) <= 3600
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is retry_after(None) is None


@pytest.mark.parametrize("fault", ["429", "500", "empty", "proxy", "html", "cut_first"])
def test_what_never_gets_better_ends_as_unavailable(server, opened, fault):
    server.always = fault
    server.retry_after = "0"
    with pytest.raises(EngineError) as caught:
        ask(opened(server, attempts=3))
    assert caught.value.code == "unavailable"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "fault", ["cut", "quiet_cut", "malformed", "choices_none", "error_event", "no_finish"]
)
def test_after_the_first_token_a_fault_is_told_and_never_tried_again(server, opened, fault):
    server.always = fault
    chunks = []
    with pytest.raises(EngineError) as caught:
        for chunk in opened(server).stream(QUESTION, Sampling()):
            chunks.append(chunk)
    assert caught.value.code == "truncated"
    assert "".join(chunk.text for chunk in chunks) == (
        "Hello there" if fault == "no_finish" else "Hel"
    )
    assert len(server.requests) == 1
    assert server.always == fault


def test_a_silent_server_is_given_up(server, opened):
    engine = opened(server, timeout_seconds=2.0)  # the server itself is silent for 600 s
    for fault, code in (("hang", "unavailable"), ("mid_hang", "truncated")):
        server.always = fault
        with pytest.raises(EngineError, match="no answer in time") as caught:
            ask(engine)
        assert caught.value.code == code
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["hang", "mid_hang", "429", ""])
def test_close_ends_the_request_wherever_it_stands(opened, fault):
    with stand_in(EchoEngine(seconds_per_token=0.05)) as server:
        server.always, server.retry_after = fault, "20"
        generation = opened(server).stream(
            [Message(role="user", content="word " * 100)], Sampling(max_tokens=400)
        )
        if fault == "429" or fault == "hang":  # it waits for the 20 s that the server asks for
            wait_until(lambda: server.requests)
        else:
            wait_until(lambda: server.running)
        started = time.monotonic()
        threading.Timer(0.1, generation.close).start()
        chunks = list(generation)
        assert time.monotonic() - started < 20  # a request that is not ended waits as long at least
        assert chunks[-1].finish == "cancelled"
        assert chunks[-1].new_tokens == len(chunks) - 1
        assert list(generation) == []
        wait_until(lambda: server.running == 0)
        assert server.cancelled == (0 if fault in ("hang", "429") else 1)
        assert len(server.requests) == 1


def test_stop_strings_end_the_request(opened):
    with stand_in(EchoEngine(seconds_per_token=0.02)) as server:
        text, last = ask(opened(server), "one two three " * 20, stop=("two",))
        assert (text, last.finish) == ("one ", "stop")
        wait_until(lambda: server.running == 0 and server.cancelled == 1)


def test_closing_the_engine_ends_its_answers(opened):
    with stand_in(EchoEngine(seconds_per_token=0.05)) as server:
        engine = opened(server)
        generation = engine.stream([Message(role="user", content="word " * 100)], Sampling())
        next(generation)
        engine.close()
        engine.close()
        assert list(generation)[-1].finish == "cancelled"
        wait_until(lambda: server.running == 0)
        for refused in (
            lambda: engine.stream(QUESTION, Sampling()),
            lambda: ask(engine, "Another"),
        ):
            with pytest.raises(EngineError, match="closed") as caught:
                refused()
            assert caught.value.code == "unavailable"


def test_thirty_at_once(opened):
    with stand_in() as server:
        server.together = 11
        engine = opened(server)
        with ThreadPoolExecutor(30) as threads:
            answers = list(threads.map(lambda n: ask(engine, f"This is number {n}")[0], range(30)))
        assert answers == [f"This is number {n}" for n in range(30)]
        assert server.most_running > 10


def test_a_wrong_key_names_the_variable_and_nothing_shows_the_key(server, opened, caplog):
    server.key = "another"
    caplog.set_level(logging.DEBUG)
    with pytest.raises(EngineError) as caught:
        opened(server, key=KEY, key_variable="MY_KEY")
    assert caught.value.code == "unavailable"
    assert "MY_KEY" in str(caught.value)
    assert "401" in str(caught.value)
    server.key = KEY
    engine = opened(server, key=KEY)
    assert ask(engine)[0] == "Hello there"
    server.key = "changed"
    with pytest.raises(EngineError, match="refuses the key") as again:
        ask(engine)
    server.key = KEY
    shown = f"{caught.value} {again.value} {caplog.text} {engine.describe()} {engine._settings!r}"
    assert KEY not in shown
    assert len(server.requests) == 1


def test_a_model_that_the_server_does_not_have(server, opened):
    with pytest.raises(
        EngineError, match=r"no-such-model.*does not exist[\s\S]*serve.remote"
    ) as caught:
        ask(opened(server, model="no-such-model"))
    assert caught.value.code == "unavailable"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "code"), [("too_long", "context_length"), ("400", "invalid_request")]
)
def test_a_request_that_the_server_refuses(server, opened, fault, code):
    server.always = fault
    with pytest.raises(EngineError) as caught:
        ask(opened(server))
    assert caught.value.code == code
    assert len(server.requests) == 1


def test_without_addresses_it_says_what_to_set():
    with pytest.raises(EngineError) as caught:
        open_engine("remote", None, ServeTable(), lambda _: None)
    assert caught.value.code == "unavailable"
    assert "[serve.remote]\nurls = [" in str(caught.value)


def test_living_servers_take_turns_a_dead_one_is_left_out_and_comes_back(opened):
    with stand_in() as one, stand_in() as other:
        engine = opened(one, other)
        for _ in range(6):
            ask(engine)
        assert (len(one.requests), len(other.requests)) == (3, 3)
        other.stop()
        for _ in range(6):
            assert ask(engine)[0] == "Hello there"
        assert len(one.requests) == 9
        risen = StandIn(port=other.port).start()
        wait_until(lambda: all(server.alive for server in engine._servers.all))
        for _ in range(4):
            ask(engine)
        assert len(risen.requests) == 2
        risen.stop()
        assert ask(engine)[0] == "Hello there"


def test_a_busy_server_is_not_waited_for_where_another_is_free(opened):
    with stand_in() as one, stand_in() as other:
        one.always, one.retry_after = "429", "20"
        engine = opened(one, other)
        started = time.monotonic()
        assert [ask(engine)[0] for _ in range(4)] == ["Hello there"] * 4
        assert time.monotonic() - started < 20  # what the busy one asks for


def test_a_hanging_server_is_left_out(opened):
    with stand_in() as one, stand_in() as other:
        one.always = "hang"
        engine = opened(one, other, timeout_seconds=2.0, recheck_seconds=600)
        assert [ask(engine)[0] for _ in range(6)] == ["Hello there"] * 6
        assert (len(one.requests), len(other.requests)) == (1, 6)


def test_a_server_dead_from_the_start_is_left_out_and_all_dead_is_an_error(server, opened):
    with nobody_listens() as root:
        dead = f"{root}/v1"
        assert ask(opened(dead, server))[0] == "Hello there"
        server.healthy = False
        with pytest.raises(EngineError) as caught:
            opened(dead, server)
    assert caught.value.code == "unavailable"
    assert root.removeprefix("http://") in str(caught.value)
    assert f"127.0.0.1:{server.port}" in str(caught.value)


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_cannot_list_its_models_is_used_where_the_model_is_named(
    server, opened, status
):
    server.models_status = status
    assert ask(opened(server, model=MODEL))[0] == "Hello there"
    with pytest.raises(EngineError, match="Name one"):
        opened(server)


def test_the_context_is_the_servers_or_the_configured_or_assumed(server, opened):
    server.context = 1234
    assert opened(server).describe().context_length == 1234
    assert opened(server, context_length=99).describe().context_length == 99
    server.context = None
    info = opened(server).describe()
    assert info.context_length == 4096
    assert "serve.remote" in info.details["context length"]


def test_who_counted_the_tokens_is_said(server, opened):
    engine = opened(server)
    assert engine.describe().details == {"token counts": "by the server"}
    assert engine.count_tokens(QUESTION) == server.engine.count_tokens(QUESTION)
    server.tokenizes = False
    engine = opened(server)
    assert engine.describe().details["token counts"].startswith("estimated")
    assert engine.count_tokens(QUESTION) == estimate(QUESTION)


@pytest.mark.xdist_group("engines")
def test_the_estimate_is_rather_too_high(cpu_engine):
    texts = ["What is the capital of France?", "def f(x):\n    return x ** 2\n" * 5, "1234567890 " * 9,
             "It was the best of times, it was the worst of times. " * 20]  # fmt: skip
    for text in texts:
        asked = [Message(role="system", content="Be brief."), Message(role="user", content=text)]
        real = cpu_engine.count_tokens(asked)
        assert real <= estimate(asked) <= 3.5 * real, text


@pytest.mark.parametrize(
    ("url", "base", "root"),
    [
        ("http://h:1", "http://h:1/v1", "http://h:1"),
        ("http://h:1/", "http://h:1/v1", "http://h:1"),
        ("https://h/v1/", "https://h/v1", "https://h"),
        (
            "https://h/compatible-mode/v1",
            "https://h/compatible-mode/v1",
            "https://h/compatible-mode",
        ),
        ("https://h/api/paas/v4", "https://h/api/paas/v4", "https://h/api/paas/v4"),
        ("http://[::1]:8", "http://[::1]:8/v1", "http://[::1]:8"),
    ],
)
def test_addresses(url, base, root):
    address = Address.of(url)
    assert (address.base, address.root) == (base, root)


@pytest.mark.parametrize(
    "url", ["h:1", "ftp://h", "http://", "http://h:99999", "http://me:pw@h", "http://h?key=pw"]
)
def test_addresses_that_are_refused(url):
    with pytest.raises(EngineError) as caught:
        Address.of(url)
    assert caught.value.code == "unavailable"
    assert ":pw@" not in str(caught.value)


# No deadline, no too_slow: both measure the machine.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.data())
def test_text_is_whole_wherever_the_server_cuts_it(text, data):
    halves = text.encode("utf-16-le")
    units = [
        halves[place : place + 2].decode("utf-16-le", "surrogatepass")
        for place in range(0, len(halves), 2)
    ]
    whole, pieces = WholeText(), []
    while units:
        size = data.draw(st.integers(1, len(units)))
        pieces.append(whole.add("".join(units[:size])))
        units = units[size:]
    assert "".join(pieces) == text
    for piece in pieces:
        piece.encode("utf-8")


def test_the_command_line_talks_through_it(server, tmp_path, monkeypatch):
    server.key = KEY
    monkeypatch.setenv("ASSISTANT_API_KEY", KEY)
    done = subprocess.run(
        [sys.executable, "-m", "assistant", "ask", "Good morning", "--engine", "remote", "--json", "--system", "",
         "--set", f'serve.remote.urls=["{server.url}"]', "--debug"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["text"], said["engine"], said["model"], said["stopped_by"]) == (
        "Good morning", "remote", MODEL, "stop",
    )  # fmt: skip
    assert said["completion_tokens"] == 12


@pytest.fixture
def llama(embedded_model):
    from servers.llama import llama_server

    with llama_server(embedded_model.path) as running:
        yield running


def test_llama_cpp_killed_in_the_middle_of_an_answer(llama, opened):
    url, process = llama
    engine = opened(url, timeout_seconds=300, attempts=2)
    assert "SmolLM2" in engine.describe().model
    assert "/" not in engine.describe().model
    generation = engine.stream(
        [Message(role="user", content="Tell me a long story.")], Sampling(max_tokens=500)
    )
    next(generation)
    process.kill()
    with pytest.raises(EngineError) as caught:
        list(generation)
    assert caught.value.code == "truncated"
    with pytest.raises(EngineError) as caught:
        ask(engine)
    assert caught.value.code == "unavailable"
    assert "cannot be reached" in str(caught.value)


def test_llama_cpp_answers_thirty_at_once(llama, opened):
    engine = opened(llama[0], timeout_seconds=300)
    with ThreadPoolExecutor(30) as threads:
        lasts = list(threads.map(lambda n: ask(engine, f"Say {n}", max_tokens=4)[1], range(30)))
    assert {last.finish for last in lasts} <= {"stop", "length"}
    assert all(0 < last.new_tokens <= 4 for last in lasts)


@pytest.fixture(scope="module")
def lmdeploy(tmp_path_factory) -> Iterator[ApiServer]:
    """LMDeploy's api_server; it asks for KEY."""
    folder = tmp_path_factory.mktemp("lmdeploy")
    model = chat_folder(folder / NAME, "smollm2")
    with api_server_of(model, folder, KEY) as running:
        yield running


@LMDEPLOY
def test_lmdeploy_streams_what_its_own_template_made_of_the_messages(lmdeploy, opened, tmp_path):
    from train.base.tokenizer import load_tokenizer
    from train.data.render import prompt_ids

    engine = opened(lmdeploy.url, key=KEY)
    asked = [Message(role="system", content="你是小贝。"), *QUESTION]
    chunks = list(engine.stream(asked, Sampling(temperature=0, max_tokens=200)))
    text = "".join(chunk.text for chunk in chunks)
    assert "你是小贝。" in text and "Hello there" in text
    assert len(chunks) > 10
    rendered = prompt_ids(load_tokenizer(str(chat_folder(tmp_path, "smollm2"))), asked)
    assert (chunks[-1].finish, chunks[-1].prompt_tokens) == ("stop", len(rendered))
    assert engine.describe().model == NAME
    assert engine.describe().details["token counts"].startswith("by the server")


@LMDEPLOY
def test_lmdeploy_ends_a_closed_answer_on_the_device(lmdeploy, opened):
    engine = opened(lmdeploy.url, key=KEY)
    before = len(lmdeploy.ends())
    long = [Message(role="user", content="a long story " * 20)]
    generation = engine.stream(long, Sampling(temperature=0, max_tokens=400))
    next(generation)
    generation.close()
    assert list(generation)[-1].finish == "cancelled"
    wait_until(lambda: lmdeploy.ends()[before:] == [CANCELLED])
    assert ask(engine, temperature=0, max_tokens=3)[1].finish == "length"


@LMDEPLOY
def test_lmdeploy_answers_thirty_at_once(lmdeploy, opened):
    engine = opened(lmdeploy.url, key=KEY, timeout_seconds=300)
    before = len(lmdeploy.ends())
    questions = [f"This is number {number}." for number in range(30)]

    def answer(text: str) -> str:
        asked = [Message(role="system", content="Hi."), Message(role="user", content=text)]
        return "".join(chunk.text for chunk in engine.stream(asked, Sampling(temperature=0)))

    with ThreadPoolExecutor(30) as threads:
        answers = list(threads.map(answer, questions))
    assert [text in answer for text, answer in zip(questions, answers, strict=True)] == [True] * 30
    assert lmdeploy.ends()[before:] == [FINISHED] * 30


@LMDEPLOY
def test_lmdeploy_refuses_a_wrong_key(lmdeploy, opened):
    with pytest.raises(EngineError, match=r"refuses the key \(HTTP 401") as caught:
        opened(lmdeploy.url, key="sk-wrong", key_variable="MY_KEY")
    assert caught.value.code == "unavailable"
    assert "MY_KEY" in str(caught.value) and "sk-wrong" not in str(caught.value)


@LMDEPLOY
def test_lmdeploy_says_what_is_too_long_for_it(lmdeploy, opened):
    engine = opened(lmdeploy.url, key=KEY, context_length=100_000)
    with pytest.raises(EngineError, match="1024") as caught:
        ask(engine, "word " * 2000)
    assert caught.value.code == "context_length"
