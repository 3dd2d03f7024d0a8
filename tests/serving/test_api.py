"""OpenAI's API under `/v1`: the real `openai` client against the real server, on the echo engine."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.listening import LOCAL, wait_until
from servers.page import ROOT, ctrl_c_reaches_children, page

from assistant.__main__ import main
from assistant.api.chat import question_of
from assistant.api.errors import ApiError
from assistant.api.keys import door_of
from assistant.api.names import slug
from assistant.api.routes import LARGEST_BODY, api_of
from assistant.api.schema import UNSUPPORTED, ChatRequest, read_request
from assistant.api.serve import _Server, _tell
from assistant.cli import Context
from assistant.config import SamplingTable
from assistant.conversation import Message, check_order
from assistant.engines.base import Chunk, Engine, EngineError, Sampling
from assistant.errors import BlockedError
from assistant.persona import persona_from_config
from assistant.serving.answerer import Answerer, Question, Running, answerer_for
from assistant.serving.host import Host
from assistant.serving.listen import ListenAddress, find_place
from assistant.words import Text
from tests.browser.serve import ENDLESS, PATIENCE, Loading, WatchedEcho, config_with, loaded

HERE = ListenAddress("own", "127.0.0.1", 0, "", False, False)
ELSEWHERE = dataclasses.replace(HERE, public=True)  # as with --host 0.0.0.0
KEYS = {"ASSISTANT_PAGE_KEYS": " first-key , second-key,"}
FOREVER = f"{ENDLESS}on and on"
ASK = [{"role": "user", "content": "Hello there"}]


class Noting(WatchedEcho):
    """Echo that keeps how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.samplings: list[Sampling] = []

    def _start(self, messages, sampling):
        self.samplings.append(sampling)
        return super()._start(messages, sampling)


@dataclasses.dataclass
class Served:
    """A server of the API, and what stands behind it."""

    url: str
    answerer: Answerer
    engine: Any

    def client(self, key: str = "any", **more: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.url, api_key=key, max_retries=0, http_client=LOCAL, **more
        )

    def post(self, body: bytes | dict[str, Any], **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return LOCAL.post(f"{self.url}/chat/completions", content=content, headers=headers)

    def ask(self, text: str = "Hello there", **more: Any) -> httpx.Response:
        return self.post({"model": "小贝", "messages": [{"role": "user", "content": text}], **more})

    def refused(self, response: httpx.Response) -> tuple[int, str | None, str | None]:
        """Status, code and field of a failure in OpenAI's shape."""
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return response.status_code, error["code"], error["param"]


@contextmanager
def served(
    loading: Any = None,
    place: ListenAddress = HERE,
    environment: dict[str, str] | None = None,
    alone: bool = True,
    **serve: Any,
) -> Iterator[Served]:
    config = config_with(serve)
    persona = persona_from_config(config)
    loading = loading or loaded(Noting())
    host = Host(lambda report: loading(report, persona), persona)
    host.start()
    if loading.go.is_set() and not loading.error:
        host.wait(PATIENCE)
    answerer = answerer_for(host, config, public=place.public)
    door = door_of(place, config, alone=alone, environment=environment or {})
    try:
        with _Server(api_of(answerer, config, door, public=place.public), place, config) as at:
            yield Served(f"http://127.0.0.1:{at.port}/v1", answerer, loading.engine)
    finally:
        host.close()
        loading.go.set()


@pytest.fixture(scope="module")
def usual() -> Iterator[Served]:
    with served() as one:
        yield one


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "小贝", "messages": ASK, **more})


# What clients ask for


def test_a_whole_answer_with_what_it_took(usual):
    answer = chat(usual.client())
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == "小贝"
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "Hello there"
    assert choice.finish_reason == "stop"
    prompt = usual.engine.count_tokens(usual.engine.prompts[-1])
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (prompt, 11)
    assert answer.usage.total_tokens == prompt + 11


def test_a_streamed_answer_is_the_same_in_pieces(usual):
    chunks = list(chat(usual.client(), stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    *pieces, last = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Hello there"
    reasons = [piece.choices[0].finish_reason for piece in pieces]
    assert reasons == [None] * (len(pieces) - 1) + ["stop"]
    assert [piece.usage for piece in pieces] == [None] * len(pieces)
    assert last.choices == []
    assert last.usage.completion_tokens == 11


def test_a_stream_is_server_sent_events_that_end_in_done(usual):
    answer = usual.ask("Hi", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: ") for event in events[:-1])
    assert "usage" not in answer.text


def test_an_async_client_asks_several_at_once(usual):
    async def together() -> list[Any]:
        async with httpx.AsyncClient(verify=False, trust_env=False) as http:
            client = openai.AsyncOpenAI(base_url=usual.url, api_key="any", http_client=http)
            asked = [
                client.chat.completions.create(
                    model="小贝", messages=[{"role": "user", "content": f"number {number}"}]
                )
                for number in range(5)
            ]
            return await asyncio.gather(*asked)

    said = [answer.choices[0].message.content for answer in asyncio.run(together())]
    assert said == [f"number {number}" for number in range(5)]


def test_sampling_reaches_the_engine_and_what_is_left_out_is_the_configurations(usual):
    chat(
        usual.client(), temperature=0, top_p=0, seed=-1, max_tokens=4, max_completion_tokens=5,
        stop=["", "zz"], extra_body={"top_k": 3, "repetition_penalty": 1.2},
    )  # fmt: skip
    assert usual.engine.samplings[-1] == Sampling(5, 0, 1e-6, 3, 1.2, 2**63 - 1, ("zz",))
    nothing = dict.fromkeys(("temperature", "top_p", "seed", "max_tokens", "stop", "stream", "n"))
    chat(usual.client(), **nothing)
    assert usual.engine.samplings[-1] == Sampling()


def test_stop_and_length_end_an_answer(usual):
    stopped = chat(usual.client(), stop=" th").choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("Hello", "stop")
    cut = chat(usual.client(), max_tokens=4).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("Hell", "length")


def test_unknown_fields_and_values_that_ask_for_nothing_are_ignored(usual):
    harmless = {"user": "me", "metadata": {"a": "b"}, "store": True, "parallel_tool_calls": True,
                "n": 1, "tools": [], "tool_choice": "auto", "logprobs": False, "presence_penalty": 0,
                "response_format": {"type": "text"}, "modalities": ["text"], "madeup": 7}  # fmt: skip
    assert usual.ask(**harmless).json()["choices"][0]["message"]["content"] == "Hello there"


UNFIT = {
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.5,
    "function_call": {"name": "f"},
    "functions": [{"name": "f"}],
    "grammar": 'root ::= "a"',
    "guided_choice": ["a"],
    "guided_grammar": "x",
    "guided_json": {"type": "object"},
    "guided_regex": "a+",
    "json_schema": {"type": "object"},
    "logit_bias": {"1": 5},
    "logprobs": True,
    "min_p": 0.1,
    "modalities": ["text", "audio"],
    "n": 2,
    "presence_penalty": -1,
    "response_format": {"type": "json_object"},
    "structured_outputs": {"regex": "a"},
    "tool_choice": "required",
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "top_logprobs": 2,
    "verbosity": "low",
    "web_search_options": {},
}


def test_every_field_that_would_change_the_answer_is_refused_by_name(usual):
    assert set(UNFIT) == set(UNSUPPORTED)
    for name, value in UNFIT.items():
        found = usual.refused(usual.ask(**{name: value}))
        assert found == (400, "unsupported_parameter", name)


def test_a_schema_becomes_the_form_of_the_answer():
    from pydantic import BaseModel

    class Colour(BaseModel):
        """A colour, as pydantic and OpenAI's client describe it."""

        model_config = {"extra": "forbid"}

        name: str
        share: int = 3

    schema = {"name": "colour", "strict": True, "schema": Colour.model_json_schema()}
    body = {
        "model": "x",
        "messages": ASK,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    question = question_of(read_request(json.dumps(body).encode()), None, SamplingTable())
    assert question.sampling.form is not None
    assert question.sampling.form.value() == {
        "type": "object", "additionalProperties": False, "required": ["name"],
        "properties": {"name": {"type": "string"}, "share": {"type": "integer"}},
    }  # fmt: skip


def test_an_engine_without_grammars_refuses_a_schema(usual):
    schema = {"name": "x", "schema": {"type": "string"}}
    refused = usual.ask(response_format={"type": "json_schema", "json_schema": schema})
    assert refused.status_code == 400
    assert "JSON schema" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter", "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
         "invalid_value", "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/x"}}}},
         "invalid_value", "response_format.json_schema.schema"),
        ({"model": None}, "invalid_value", "model"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": "hi"}, "invalid_value", "messages"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{"role": "king", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]}]},
         "unsupported_value", "messages[0].content[1].type"),
        ({"messages": [*ASK, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
         "unsupported_value", "messages[1].tool_calls"),
        ({"messages": [*ASK, {"role": "tool", "content": "4"}]}, "unsupported_value", "messages[1].role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "system", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [*ASK, {"role": "system", "content": "x"}, *ASK]}, "invalid_value", "messages[1].role"),
        ({"messages": [*ASK, {"role": "assistant", "content": "x"}]}, "invalid_value", "messages[1].role"),
        ({"messages": [{"role": "user", "content": " "}]}, "invalid_value", "messages"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_value", "temperature"),
        ({"top_p": 1.5}, "invalid_value", "top_p"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": 1.5}, "invalid_value", "max_completion_tokens"),
        ({"seed": "x"}, "invalid_value", "seed"),
        ({"stop": [5]}, "invalid_value", "stop"),
        ({"stop": ["x"] * 17}, "invalid_value", "stop"),
        ({"stream": "yes"}, "invalid_value", "stream"),
        ({"stream_options": 5}, "invalid_value", "stream_options"),
    ],
)  # fmt: skip
def test_a_field_at_fault_is_named(usual, changed, code, param):
    assert usual.refused(usual.ask(**changed)) == (400, code, param)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"model":' * 100_000, b'{"model":"\\ud800"}', b'{"seed":NaN}',
     b'{"model":"' + "小".encode()[:2] + b'"}'],
)  # fmt: skip
def test_a_damaged_body_is_refused(usual, body):
    status, code, param = usual.refused(usual.post(body))
    assert (status, param) == (400, None)
    assert code in ("invalid_json", "invalid_type")


def test_a_body_that_is_too_large_is_not_read(usual):
    assert usual.refused(usual.post(b" " * (LARGEST_BODY + 1))) == (413, "request_too_large", None)
    assert usual.ask().status_code == 200


TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.sampled_from(["", "x"])}
    ), max_size=6,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIELDS = st.sampled_from([*ChatRequest.model_fields, *UNSUPPORTED])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(FIELDS, JSON, max_size=4), TURNS)
def test_no_value_of_any_field_and_no_order_makes_it_stumble(changed, turns):
    whole = {"model": "小贝", "messages": turns}
    with suppress(ApiError):
        asked = read_request(json.dumps({**whole, **changed}).encode())
        question = question_of(asked, None, SamplingTable())
        question.sampling.check()
        check_order([*question.history, Message(role="user", content=question.text)])


# Who it is


def test_the_assistant_and_its_styles_are_the_models(usual):
    names = ["小贝", "小贝:rednote", "小贝:brief"]
    models = usual.client().models.list().data
    assert [model.id for model in models] == names
    assert {model.owned_by for model in models} == {"贝贝"}
    assert usual.client().models.retrieve("小贝:brief").id == "小贝:brief"
    for unknown in ("gpt-4o", "小贝:loud", "小贝:", "x" * 500):
        with pytest.raises(openai.NotFoundError) as caught:
            chat(usual.client(), model=unknown)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert all(name in caught.value.message for name in names)
    with pytest.raises(openai.NotFoundError):
        usual.client().models.retrieve("gpt-4o")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Bella", "bella"), ("Little Bei!", "little-bei"), ("小贝", "小贝"), ("ＡＢ", "ab"), ("🎂", "assistant")],
)  # fmt: skip
def test_a_name_becomes_part_of_a_models(name, expected):
    assert slug(name) == expected


@pytest.mark.parametrize("style", [None, "rednote", "brief"])
def test_a_model_asks_the_engine_as_the_page_does(usual, style):
    async def as_the_page_does() -> None:
        question = Question("Hello there", style=style, language="en")
        async for _ in usual.answerer.answer(question, Running()):
            pass

    asyncio.run(as_the_page_does())
    chat(usual.client(), model=f"小贝:{style}" if style else "小贝")
    page_asked, api_asked = usual.engine.prompts[-2:]
    assert api_asked == page_asked
    assert api_asked[0].role == "system"
    by_page, by_api = usual.engine.samplings[-2:]
    assert by_api == by_page
    assert by_api.temperature == (1.0 if style == "rednote" else 0.6)


def test_a_temperature_that_is_asked_for_beats_the_styles(usual):
    chat(usual.client(), model="小贝:rednote", temperature=0)
    assert usual.engine.samplings[-1].temperature == 0


def test_a_clients_system_message_replaces_the_personas(usual):
    def prompt(*before: dict[str, str]) -> list[tuple[str, str]]:
        chat(usual.client(), messages=[*before, *ASK])
        return [(message.role, message.content) for message in usual.engine.prompts[-1]]

    question = ("user", "Hello there")
    assert prompt() == [("system", "你是小贝，贝贝的小助手。"), question]
    assert prompt({"role": "system", "content": "Be brief."}) == [("system", "Be brief."), question]
    assert prompt({"role": "developer", "content": "Be brief."}) == [
        ("system", "Be brief."),
        question,
    ]
    assert prompt({"role": "system", "content": ""}) == [question]
    both = {"role": "system", "content": "One."}, {"role": "developer", "content": "Two."}
    assert prompt(*both) == [("system", "One.\n\nTwo."), question]


def test_turns_and_text_parts_reach_the_engine(usual):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    told = [
        {"role": "system", "content": "S"}, {"role": "user", "content": parts},
        {"role": "user", "content": "more", "name": "me"}, {"role": "assistant", "content": "yes"}, *ASK,
    ]  # fmt: skip
    chat(usual.client(), messages=told)
    assert [(message.role, message.content) for message in usual.engine.prompts[-1]] == [
        ("system", "S"), ("user", "one\ntwo\n\nmore"), ("assistant", "yes"), ("user", "Hello there"),
    ]  # fmt: skip


# Limits and failures, as the client's own exceptions


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x" * 3000}],
        [{"role": "user", "content": "x" * 9000}],
        [{"role": "system", "content": "x" * 3000}, *ASK],
        [
            {"role": "user", "content": "x" * 1500},
            {"role": "assistant", "content": "x" * 1500},
            *ASK,
        ],
    ],
    ids=["context", "characters", "system", "history"],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left_out(usual, messages):
    before = len(usual.engine.prompts)
    with pytest.raises(openai.BadRequestError) as caught:
        chat(usual.client(), messages=messages, stream=True)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert len(usual.engine.prompts) == before


def test_a_client_that_leaves_stops_the_engine_and_frees_its_place():
    with served(limits={"concurrent": 1, "queue": 1}) as one:
        gate = one.answerer.gate
        endless = [{"role": "user", "content": FOREVER}]
        with chat(one.client(), messages=endless, stream=True) as stream:
            assert next(iter(stream)).choices[0].delta.role == "assistant"
            assert gate.load == (1, 0)
            with _raw_request(one, stream=False):
                wait_until(lambda: gate.load == (1, 1))
            wait_until(lambda: gate.load == (1, 0))
        wait_until(lambda: gate.load == (0, 0) and one.engine.running == 0)

        with _raw_request(one, stream=False):
            wait_until(lambda: one.engine.running == 1)
        wait_until(lambda: gate.load == (0, 0) and one.engine.running == 0)

        with pytest.raises(openai.APITimeoutError):
            chat(one.client(timeout=0.3), messages=endless)
        wait_until(lambda: gate.load == (0, 0) and one.engine.running == 0)
        assert one.ask().status_code == 200


@contextmanager
def _raw_request(one: Served, stream: bool) -> Iterator[None]:
    """A request whose connection is closed at the end, answered or not."""
    body = json.dumps(
        {"model": "小贝", "messages": [{"role": "user", "content": FOREVER}], "stream": stream}
    )
    at = httpx.URL(one.url)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {at.host}:{at.port}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((at.host, at.port)) as connection:
        connection.sendall((head + body).encode())
        yield


def test_a_full_line_is_429_with_the_time_to_come_back():
    with served(limits={"concurrent": 1, "queue": 0}) as one:
        with chat(one.client(), messages=[{"role": "user", "content": FOREVER}], stream=True):
            with pytest.raises(openai.RateLimitError) as caught:
                chat(one.client())
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.type == "rate_limit_error"
        assert int(caught.value.response.headers["retry-after"]) >= 1


def test_loading_failed_and_closing_are_503():
    loading = Loading(engine=Noting())
    with served(loading) as one:
        with pytest.raises(openai.InternalServerError) as caught:
            chat(one.client())
        assert caught.value.status_code == 503
        assert caught.value.code == "engine_not_ready"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert next(model.id for model in one.client().models.list()) == "小贝"
        loading.go.set()
        one.answerer.host.wait(PATIENCE)
        assert chat(one.client()).choices[0].message.content == "Hello there"
        one.answerer.draining = True
        assert one.refused(one.ask()) == (503, "server_closing", None)


@pytest.mark.parametrize("place", [HERE, ELSEWHERE], ids=["owner", "others"])
def test_why_a_model_did_not_load_is_told_to_its_owner_alone(place):
    error = BlockedError(Text("No file /home/me/x.", "没有。"), Text("Mend it.", "修。"))
    failed = loaded(Noting(), error=error)
    with served(failed, place, KEYS) as one:
        wait_until(lambda: one.answerer.host.state().phase == "failed")
        response = one.post({"model": "小贝", "messages": ASK}, **{"X-API-Key": "first-key"})
        assert one.refused(response) == (503, "engine_not_ready", None)
        assert ("/home/me" in response.text) == (place is HERE)


class Breaking(Noting):
    """Fails an answer after so many pieces."""

    after = 0

    def _start(self, messages, sampling):
        pieces = [Chunk("x")] * self.after

        class Broken:
            def __iter__(self):
                return self

            def __next__(self):
                if pieces:
                    return pieces.pop()
                raise EngineError("truncated", Text("It broke off.", "中断。"))

            def close(self):
                pass

        return Broken()


def test_an_answer_that_breaks_is_an_error_before_and_within_a_stream():
    engine = Breaking()
    with served(loaded(engine)) as one:
        with pytest.raises(openai.InternalServerError) as caught:
            chat(one.client(), stream=True)
        assert (caught.value.status_code, caught.value.code) == (502, "answer_broke_off")
        engine.after = 2
        stream = chat(one.client(), stream=True)
        with pytest.raises(openai.APIError, match="It broke off"):
            list(stream)
        assert one.answerer.gate.load == (0, 0)


# Who may ask


def status(one: Served, **headers: str) -> tuple[int, str | None]:
    response = LOCAL.get(f"{one.url}/models", headers=headers)
    both = response.status_code, response.json().get("error", {}).get("code")
    assert (LOCAL.get(f"{one.url}/models/小贝", headers=headers).status_code) == both[0]
    asked = one.post({"model": "小贝", "messages": ASK}, **headers)
    assert asked.status_code == both[0]
    return both


FROM_ELSEWHERE = [
    {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}, {"Forwarded": "for=1.2.3.4"}, {"Via": "1.1 x"}, {"X-Real-IP": "1.2.3.4"},
]  # fmt: skip


def test_on_this_machine_any_key_or_none_will_do(usual):
    for headers in (
        {},
        {"Authorization": "Bearer whatever"},
        {"X-API-Key": "x"},
        {"Authorization": "Basic x"},
    ):
        assert status(usual, **headers) == (200, None)
    port = httpx.URL(usual.url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "localhost"):
        assert status(usual, Host=host) == (200, None)
        assert status(usual, Host=host, Origin=f"http://{host}") == (200, None)


def test_on_this_machine_strangers_pages_and_names_are_refused(usual):
    for host in (
        "evil.com",
        "evil.com:80",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "[::1",
        "0.0.0.0",
    ):
        assert status(usual, Host=host) == (403, "host_not_allowed")
    for origin in ("https://evil.com", "null", "http://localhost:1", "http://127.0.0.1"):
        assert status(usual, Origin=origin) == (403, "origin_not_allowed")
    for headers in FROM_ELSEWHERE:
        assert status(usual, **headers) == (403, "api_disabled")


def test_elsewhere_a_key_is_needed_and_each_header_carries_it():
    with served(place=ELSEWHERE, environment=KEYS) as one:
        for key in ("first-key", "second-key"):
            assert status(one, Authorization=f"Bearer {key}") == (200, None)
            assert status(
                one, **{"X-API-Key": key, "Authorization": "Bearer the-studio's-own"}
            ) == (200, None)
        for wrong in (
            "",
            "first-key ,",
            "first",
            "FIRST-KEY",
            "first-key,second-key",
            "schlüssel".encode(),
        ):
            assert status(one, **{"X-API-Key": wrong}) == (401, "invalid_api_key")
        with pytest.raises(openai.AuthenticationError) as caught:
            chat(one.client("wrong-key"))
        assert "wrong-key" not in caught.value.message
        assert chat(one.client("first-key")).choices[0].message.content == "Hello there"
        assert LOCAL.get(f"{one.url}/models?api_key=first-key").status_code == 401
        for headers in FROM_ELSEWHERE:
            assert status(one, **headers, Authorization="Bearer first-key", Host="my.name") == (
                200,
                None,
            )


def test_each_key_has_a_rate_of_its_own():
    with served(place=ELSEWHERE, environment=KEYS, api={"per_minute": 2}) as one:
        first, second = one.client("first-key"), one.client("second-key")
        for _ in range(2):
            chat(first)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(first)
        assert caught.value.code == "rate_limit_exceeded"
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        assert chat(second).choices[0].message.content == "Hello there"


@pytest.mark.parametrize(
    ("environment", "api", "alone", "keys", "without", "with_key"),
    [
        ({}, {}, False, KEYS, 200, 200),
        ({}, {"enabled": False}, False, KEYS, 403, 403),
        ({"public": "1"}, {}, False, {}, 403, 403),
        ({"public": "1"}, {}, False, KEYS, 401, 200),
        ({"ASSISTANT_PASSWORD": "secret"}, {}, False, {}, 403, 403),
        ({"ASSISTANT_PASSWORD": "secret"}, {}, False, KEYS, 401, 200),
        ({"ASSISTANT_PASSWORD": "secret"}, {}, True, {}, 200, 200),
        ({"SPACE_ID": "me/bei"}, {}, False, KEYS, 403, 403),
        ({"MODELSCOPE_ENVIRONMENT": "studio"}, {}, False, KEYS, 403, 403),
        ({"SPACE_ID": "me/bei"}, {"enabled": True}, False, {}, 403, 403),
        ({"SPACE_ID": "me/bei"}, {"enabled": True}, False, KEYS, 401, 200),
        ({"root": "/bei"}, {}, False, {}, 403, 403),
        ({"root": "/bei"}, {}, False, KEYS, 401, 200),
    ],
)  # fmt: skip
def test_where_it_is_open(environment, api, alone, keys, without, with_key):
    place = find_place(
        "127.0.0.1", 0, environment.get("root"), "public" in environment, environment, Path("/app")
    )
    with served(place=place, environment={**environment, **keys}, alone=alone, api=api) as one:
        assert status(one)[0] == without
        assert status(one, **{"X-API-Key": "second-key"})[0] == with_key


def test_scripts_of_other_pages_get_in_only_where_the_owner_says_so(usual):
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    url = "/chat/completions"

    def preflight(one: Served, origin: str) -> httpx.Response:
        return LOCAL.options(one.url + url, headers={"Origin": origin, **asks})

    assert "access-control-allow-origin" not in preflight(usual, "https://app.example").headers
    with served(api={"origins": ["https://app.example"]}) as one:
        allowed = preflight(one, "https://app.example")
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in allowed.headers
        assert status(one, Origin="https://app.example") == (200, None)
        answer = one.post({"model": "小贝", "messages": ASK}, Origin="https://app.example")
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        refused = preflight(one, "https://evil.com")
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
        assert status(one, Origin="https://evil.com") == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/embeddings"),
        ("GET", ""),
        ("GET", "/"),
    ],
)
def test_an_address_that_is_none_is_said_in_openais_shape(usual, method, path):
    response = LOCAL.request(method, usual.url + path)
    assert usual.refused(response) == (404, "unknown_url", None)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/chat/completions", "POST"),
        ("TRACE", "/chat/completions", "POST"),
        ("DELETE", "/models", "GET"),
        ("POST", "/models/bella", "GET"),
    ],
)
def test_a_wrong_method_is_said_with_the_right_one(usual, method, path, allowed):
    response = LOCAL.request(method, usual.url + path)
    assert usual.refused(response) == (405, "method_not_supported", None)
    assert response.headers["Allow"] == allowed
    assert "POST /v1/chat/completions" in response.text


def test_the_description_is_openapi_and_names_every_field(usual):
    described = LOCAL.get(f"{usual.url}/openapi.json").json()
    assert set(described["paths"]) == {"/v1/models", "/v1/models/{model}", "/v1/chat/completions"}
    kinds = described["components"]["schemas"]
    named = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described))
    assert set(named) <= set(kinds)
    assert "$defs" not in json.dumps(described)
    body = described["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("/ChatRequest")
    assert set(kinds["ChatRequest"]["properties"]) == set(ChatRequest.model_fields)
    assert kinds["ChatRequest"]["required"] == ["model", "messages"]


# As processes


@pytest.mark.xdist_group("operations")
def test_the_page_serves_it_too_with_the_same_engine_line_and_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_PAGE_KEYS", "first-key")
    with page(tmp_path, "--public", "--set", "serve.operations.log=json") as one:
        one.ready()
        client = openai.OpenAI(base_url=f"{one.url}/v1", api_key="first-key", http_client=LOCAL)
        name = client.models.list().data[0].id
        text = f"to {name} by the API"
        answer = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": text}]
        )
        assert answer.choices[0].message.content == text
        assert one.ask("to the page") == "to the page"
        one.until(lambda: one.metrics()['assistant_requests_total{outcome="stop"}'] == 2)
        origin = {"Origin": "https://evil.com", "Host": "my.name"}
        assert one.get("/v1/models", **origin).status_code == 401
        let_in = one.get("/v1/models", **origin, Authorization="Bearer first-key")
        assert let_in.status_code == 200
        assert "access-control-allow-origin" not in let_in.headers
        assert "text/html" in one.get("/").headers["content-type"]
        assert "first-key" not in one.said()
        assert "by the API" not in one.said()


ALONE = (
    "import atexit, runpy, sys\n"
    "atexit.register(lambda: print(sorted({'gradio', 'torch', 'openvino', 'openai'} & set(sys.modules))))\n"
    "sys.argv = ['assistant', *sys.argv[1:]]\n"
    "runpy.run_module('assistant', run_name='__main__', alter_sys=True)\n"
)


@pytest.mark.parametrize(
    ("language", "question", "number", "last"),
    [
        ("en", "Who are you?", signal.SIGTERM, "Ending: running answers have 25 s.\n"),
        ("zh", "你是谁？", signal.SIGINT, "接口已关闭。\n"),
    ],
)
def test_the_command_serves_it_alone_and_prints_a_line_that_works(
    tmp_path, language, question, number, last
):
    said = tmp_path / "said"
    with said.open("w") as err, ctrl_c_reaches_children():
        process = subprocess.Popen(
            [sys.executable, "-c", ALONE, "serve", "--engine", "echo", "--port", "0"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=err, text=True,
            env={**os.environ, "ASSISTANT_LANG": language},
        )  # fmt: skip
    try:
        ready = "已就绪" if language == "zh" else "Ready:"
        wait_until(lambda: ready in said.read_text("utf-8"), lambda: said.read_text("utf-8"))
        printed = said.read_text("utf-8")
        assert re.search(r"http://localhost:\d+/v1 ", printed), printed
        (line,) = re.findall(r"^  (curl .+)$", printed, re.MULTILINE)
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == question
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("[]\n", None)
        assert process.returncode == 0, said.read_text("utf-8")
        assert said.read_text("utf-8").endswith(last)
    finally:
        process.kill()
        process.wait()


def serve(*arguments: str, **environment: str | None) -> Any:
    runner = CliRunner(env={"ASSISTANT_PAGE_KEYS": None, **environment})
    return runner.invoke(main, ["serve", "--engine", "echo", *arguments])


def test_the_command_does_not_start_where_nobody_could_get_in():
    done = serve("--host", "0.0.0.0", "--port", "0")
    assert done.exit_code == 2
    assert "no key" in done.output
    assert "export ASSISTANT_PAGE_KEYS=$(python -c" in done.output
    off = serve("--set", "serve.api.enabled=false")
    assert off.exit_code == 2
    assert "python -m assistant serve --set serve.api.enabled=true" in off.output
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert serve("--port", str(taken.getsockname()[1])).exit_code == 3
    assert serve("--set", "serve.api.enabled=maybe").exit_code == 2


def test_what_the_command_tells_a_program_and_those_who_need_a_key(capsys):
    config = config_with()
    persona = persona_from_config(config)
    with_key = door_of(ELSEWHERE, config, environment=KEYS)
    at = dataclasses.replace(ELSEWHERE, address="0.0.0.0", port=7860)
    _tell(Context(Path("assistant.toml"), (), True, False), at, with_key, persona)
    names = ["小贝", "小贝:rednote", "小贝:brief"]
    told = {"base_url": "http://localhost:7860/v1", "models": names, "needs_key": True}
    assert json.loads(capsys.readouterr().out) == told
    _tell(Context(Path("assistant.toml"), (), False, False), at, with_key, persona)
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = re.findall(r"^  (curl .+)$", printed.err, re.MULTILINE)
    shell = ["sh", "-c", line.replace("curl ", "printf '%s\\n' ")]
    words = subprocess.run(shell, capture_output=True, text=True, check=True, env=KEYS).stdout
    assert words.splitlines()[1:3] == ["-H", "Authorization: Bearer  first-key "]
    assert "first-key" not in printed.err


# On a real engine


@pytest.mark.xdist_group("engines")
def test_the_real_engine_answers_streams_and_counts(
    cpu_engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cpu_engine, "close", lambda: None)  # other tests go on with it
    loading = loaded(cpu_engine)
    with served(loading) as one:
        asked = {"temperature": 0, "max_tokens": 12, "model": "小贝"}
        messages = [
            {"role": "system", "content": "You are Bella."},
            {"role": "user", "content": "Say hello."},
        ]
        whole = chat(one.client(), messages=messages, **asked)
        said = whole.choices[0].message.content
        assert said
        parts = list(
            chat(
                one.client(),
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                **asked,
            )
        )
        assert (
            "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == said
        )
        prompt = cpu_engine.count_tokens([Message(**message) for message in messages])
        assert whole.usage.prompt_tokens == parts[-1].usage.prompt_tokens == prompt
        assert 1 <= whole.usage.completion_tokens <= 12
        stopped = chat(one.client(), messages=messages, stop=said[3:6], **asked).choices[0]
        assert (stopped.message.content, stopped.finish_reason) == (
            said[: said.index(said[3:6])],
            "stop",
        )
        with pytest.raises(openai.BadRequestError) as caught:
            chat(one.client(), messages=[{"role": "user", "content": "word " * 600}])
        assert caught.value.code == "context_length_exceeded"
