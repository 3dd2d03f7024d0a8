"""`python -m assistant serve`: the API alone, on a server of its own."""

from __future__ import annotations

import functools
import json
import shlex
import threading
import time

import uvicorn
from fastapi import FastAPI

from ..cli import Context, aloud
from ..config import Config, EngineName
from ..errors import BlockedError, UsageError
from ..network import reach_this_machine_directly
from ..persona import Persona, persona_from_config
from ..serving.answerer import answerer_for
from ..serving.ending import Ending
from ..serving.host import Host, closed_at_the_end
from ..serving.listen import ListenAddress, choose_port, find_place, refuse_taken_port
from ..serving.load import is_single_user, load_assistant
from ..serving.operations import operator_routes
from ..words import Text
from .keys import KEYS_VARIABLE, Door, door_of
from .mcp_server import MCP_PREFIX, add_mcp, refuse_missing_mcp
from .names import model_names
from .routes import PREFIX, api_of

CLOSING_SECONDS = 2  # for connections that are still open at the end
LOOK_SECONDS = 0.02
EXAMPLE = Text("Who are you?", "你是谁？")


def serve_api(
    context: Context,
    address: str | None,
    port: int | None,
    engine: EngineName | None,
    model: str | None,
    mcp: bool = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM; with `mcp`, the Model Context Protocol as well. Raises UsageError where
    nobody could get in, or more than this machine with `mcp`, BlockedError for a port that is taken or a
    library that is missing."""
    config = context.read_config()
    place = find_place(address, port, None, public=False)
    door = door_of(place, config, alone=True)
    if mcp:
        _refuse_mcp_for_others(door, place)
        refuse_missing_mcp()
    _refuse_shut(door, place)
    refuse_taken_port(place)
    reach_this_machine_directly(place.address)
    load = functools.partial(
        load_assistant, config, engine=engine, model=model,
        single_user=is_single_user(config.serve.limits, place),
    )  # fmt: skip
    host = Host(aloud(load, context), persona_from_config(config))
    answerer = answerer_for(host, config, public=place.public)
    app = api_of(answerer, config, door, public=place.public)
    app.router.routes += operator_routes(answerer, place, config.serve.operations.metrics)
    if mcp:
        add_mcp(app, answerer, config.serve.sampling, door)
    ending = Ending(answerer, config.serve.operations.drain_seconds, context.say)
    with closed_at_the_end(host), _Server(app, place, config) as place:
        _tell(context, place, door, host.state().persona, mcp)
        host.start()
        try:
            ending.wait()
        except KeyboardInterrupt:
            context.say(Text("The API is closed.", "接口已关闭。"))


def _refuse_shut(door: Door, place: ListenAddress) -> None:
    if not door.enabled:
        raise UsageError(
            Text("[serve.api] enabled = false: there is nothing to serve.",
                 "[serve.api] enabled = false：没有可以提供的接口。"),
            Text("Serve it all the same: python -m assistant serve --set serve.api.enabled=true",
                 "仍要提供：python -m assistant serve --set serve.api.enabled=true"),
        )  # fmt: skip
    if door.needs_key and not door.has_keys:
        makes = (
            f"export {KEYS_VARIABLE}=$(python -c 'import secrets; print(secrets.token_urlsafe())')"
        )
        raise UsageError(
            Text(f"Others can reach {place.address}, and there is no key by which they may ask.",
                 f"别人能访问 {place.address}，但还没有设置他们要用的密钥。"),
            Text(f"Make one, and start again: {makes}", f"先生成一个，再重新启动：{makes}"),
        )  # fmt: skip


def _refuse_mcp_for_others(door: Door, place: ListenAddress) -> None:
    if door.needs_key or not place.loopback:
        where = place.root_path or place.address
        raise UsageError(
            Text(f"--mcp is for programs of this machine alone, and others can reach {where}.",
                 f"--mcp 只供本机程序使用，而别人能访问 {where}。"),
            Text("Serve it on this machine: python -m assistant serve --mcp",
                 "只在本机提供：python -m assistant serve --mcp"),
        )  # fmt: skip


class _Server:
    """uvicorn on a thread of its own: the main thread hears signals. Entering gives where it listens."""

    def __init__(self, app: FastAPI, place: ListenAddress, config: Config):
        self._place, self._held_port = choose_port(place)
        settings = uvicorn.Config(
            app, host=place.address, port=self._place.port, log_level="warning", access_log=False,
            lifespan="on", timeout_graceful_shutdown=CLOSING_SECONDS,
        )  # fmt: skip
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, name="serve-api", daemon=True)
        self._logs_json = config.serve.operations.log == "json"

    def __enter__(self) -> ListenAddress:
        if self._logs_json:
            from ..serving.logs import log_as_json, take_over_uvicorn

            log_as_json()
            take_over_uvicorn()
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise BlockedError(Text("The server did not start.", "服务没有启动。"))
            time.sleep(LOOK_SECONDS)
        self._held_port.close()
        return self._place

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


def _tell(
    context: Context, place: ListenAddress, door: Door, persona: Persona, mcp: bool = False
) -> None:
    """Say where it is, and how to ask it; under --json on stdout."""
    everywhere = place.address in ("0.0.0.0", "::")
    host = "localhost" if place.loopback or everywhere else place.address
    origin = f"http://{f'[{host}]' if ':' in host else host}:{place.port}"
    base, mcp_url = f"{origin}{PREFIX}", f"{origin}{MCP_PREFIX}" if mcp else None
    names = list(model_names(persona))
    if context.as_json:
        told = {"base_url": base, "models": names, "needs_key": door.needs_key}
        context.result(told | ({"mcp_url": mcp_url} if mcp_url else {}), "")
        return
    question = str(EXAMPLE)
    body = {"model": names[0], "messages": [{"role": "user", "content": question}]}
    words = shlex.quote(json.dumps(body, ensure_ascii=False))
    # The shell takes the first key from where this process took it: none is printed.
    key = f' -H "Authorization: Bearer ${{{KEYS_VARIABLE}%%,*}}"' if door.needs_key else ""
    curl = f"curl {base}/chat/completions{key} -d {words}"
    styles = ", ".join(names[1:])
    more = Text(f"; in a style: {styles}", f"；带风格：{styles}") if styles else Text("", "")
    also = f"MCP: {mcp_url}\n" if mcp_url else ""
    context.say(
        Text(
            f"OpenAI's API is open: {base}  (Ctrl-C ends it)\nModel: {names[0]}{more.en}\n{also}"
            f"Once it is ready:\n  {curl}",
            f"OpenAI 接口已打开：{base} （Ctrl-C 结束）\n模型：{names[0]}{more.zh}\n{also}"
            f"就绪之后试试：\n  {curl}",
        )
    )
