"""The server of the Model Context Protocol: the official client against the real server, on the echo engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.listening import LOCAL, wait_until
from test_api import FOREVER, HERE, Noting, Served

from assistant.api.keys import door_of
from assistant.api.mcp_server import MCP_PREFIX, add_mcp, refuse_missing_mcp
from assistant.api.routes import api_of
from assistant.api.serve import _Server, serve_api
from assistant.cli import Context
from assistant.errors import BlockedError, UsageError
from assistant.persona import persona_from_config
from assistant.serving.answerer import answerer_for
from assistant.serving.host import Host
from tests.browser.serve import PATIENCE, config_with, loaded

INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def one() -> Iterator[Served]:
    config = config_with({})
    persona, loading = persona_from_config(config), loaded(Noting())
    host = Host(lambda report: loading(report, persona), persona)
    host.start()
    host.wait(PATIENCE)
    answerer = answerer_for(host, config, public=False)
    door = door_of(HERE, config, alone=True, environment={})
    app = api_of(answerer, config, door, public=False)
    add_mcp(app, answerer, config.serve.sampling, door)
    try:
        with _Server(app, HERE, config) as at:
            yield Served(f"http://127.0.0.1:{at.port}{MCP_PREFIX}", answerer, loading.engine)
    finally:
        host.close()


def talk(one: Served, say: Any) -> Any:
    """What `say` gives back, told the real client."""
    from mcp import Client

    async def connected() -> Any:
        async with Client(one.url) as client:
            return await say(client)

    return asyncio.run(connected())


def ask(one: Served, **arguments: Any) -> tuple[str, bool]:
    answer = talk(one, lambda client: client.call_tool("ask", arguments))
    (content,) = answer.content
    return content.text, answer.is_error


def test_one_tool_asks_the_assistant(one):
    (tool,) = talk(one, lambda client: client.list_tools()).tools
    assert tool.name == "ask"
    assert tool.input_schema["required"] == ["question"]
    assert ask(one, question="Hello there") == ("Hello there", False)


def test_a_style_is_asked_for_by_name(one):
    style = one.answerer.host.state().persona.styles[0]
    assert ask(one, question="Hello there", style=style.name)[1] is False
    assert any(style.prompt in message.content for message in one.engine.prompts[-1])


@pytest.mark.parametrize("arguments", [
    {}, {"question": 5}, {"question": " "}, {"question": "Hi", "style": "none such"},
    {"question": "Hi", "style": []}, {"question": "Hi", "more": 1}, {"question": "x" * 100_000},
])  # fmt: skip
def test_what_cannot_be_asked_is_told_to_the_client(one, arguments):
    said, failed = ask(one, **arguments)
    assert failed
    assert said
    assert str(Path.cwd()) not in said


def test_each_style_is_a_prompt(one):
    styles = one.answerer.host.state().persona.styles
    prompts = talk(one, lambda client: client.list_prompts()).prompts
    assert [prompt.name for prompt in prompts] == [style.name for style in styles]
    filled = talk(one, lambda client: client.get_prompt(styles[0].name, {"question": "Hi"}))
    (message,) = filled.messages
    assert message.content.text.startswith(styles[0].prompt)
    assert message.content.text.endswith("Hi")


@pytest.mark.parametrize(("name", "arguments"), [("none such", {"question": "Hi"}), (None, {})])
def test_a_prompt_that_is_none_is_refused(one, name, arguments):
    from mcp.shared.exceptions import MCPError

    name = name or one.answerer.host.state().persona.styles[0].name

    async def refused(client: Any) -> str:
        with pytest.raises(MCPError) as told:
            await client.get_prompt(name, arguments)
        return str(told.value)

    assert "needs a question" in talk(one, refused)


def test_a_call_that_is_given_up_stops_the_engine(one):
    async def give_up(client: Any) -> None:
        call = asyncio.create_task(client.call_tool("ask", {"question": FOREVER}))
        while not one.engine.running:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(wait_until, lambda: not one.engine.running)

    talk(one, give_up)
    assert ask(one, question="Hello again") == ("Hello again", False)


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200), ({"origin": "http://evil.example"}, 403), ({"host": "evil.example"}, 403),
    ({"x-forwarded-for": "192.0.2.1"}, 403),
])  # fmt: skip
def test_only_programs_of_this_machine_come_in(one, headers, status):
    answer = LOCAL.post(one.url, json=INITIALIZE, headers=ACCEPT | headers)
    assert answer.status_code == status


def test_it_is_refused_where_others_reach_it(monkeypatch):
    monkeypatch.setenv("ASSISTANT_PAGE_KEYS", "a-key")
    context = Context(Path("assistant.toml"), (), False, False)
    with pytest.raises(UsageError, match="this machine alone"):
        serve_api(context, "0.0.0.0", 0, "echo", None, True)


def test_a_missing_library_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BlockedError) as told:
        refuse_missing_mcp()
    assert told.value.cure
    assert "pip install -r assistant/api/requirements.txt" in told.value.cure.en
