"""Put the page on the network: address, port, path, password; and take it off again gently."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import gradio as gr

from ..api.keys import door_of
from ..api.routes import api_of, beside
from ..config import Config
from ..network import without_proxies
from ..serving.answerer import Answerer
from ..serving.ending import Ending
from ..serving.listen import PASSWORD_VARIABLE, ListenAddress, choose_port
from ..serving.operations import operator_routes
from ..words import Text
from .launch import launch_options

OWNER = "owner"


def serve(
    page: gr.Blocks,
    answerer: Answerer,
    config: Config,
    place: ListenAddress,
    say: Callable[[Text], None],
    opened: Callable[[], None],
) -> None:
    """Serve `page` at `place` until Ctrl-C or SIGTERM; opens the browser for a person here.

    `opened` is called once the page can be seen: what loads a model then does not delay it.
    SIGTERM lets running answers end (`[serve.operations] drain_seconds`), Ctrl-C does not wait.
    """
    operations = config.serve.operations
    ending = Ending(answerer, operations.drain_seconds, say)
    if operations.log == "json":
        from ..serving.logs import log_as_json

        log_as_json()
    password = os.environ.get(PASSWORD_VARIABLE)
    place, held_port = choose_port(place)
    host = "localhost" if place.loopback or place.address == "0.0.0.0" else place.address
    url = f"http://{host}:{place.port}{place.root_path}/"
    with without_proxies():  # Gradio asks its own page whether it is there
        page.launch(
            server_name=place.address,
            server_port=place.port,
            root_path=place.root_path,
            auth=(OWNER, password) if password else None,
            inbrowser=place.loopback and sys.stdout.isatty(),
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={"routes": operator_routes(answerer, place, operations.metrics)},
            **launch_options(config),
        )
    held_port.close()
    api = api_of(answerer, config, door_of(place, config), public=place.public)
    stack = page.app.middleware_stack or page.app.build_middleware_stack()
    page.app.middleware_stack = beside(stack, api)
    if operations.log == "json":
        from ..serving.logs import take_over_uvicorn

        take_over_uvicorn()
    try:
        say(Text(f"The page is open: {url}  (Ctrl-C ends it)",
                 f"页面已打开：{url} （Ctrl-C 结束）"))  # fmt: skip
        opened()
        ending.wait()
    except KeyboardInterrupt:
        say(Text("The page is closed.", "页面已关闭。"))
    finally:
        page.close(verbose=False)
