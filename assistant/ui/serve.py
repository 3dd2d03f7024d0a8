"""Put the page on the network: address, port, path, password; and take it off again gently."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import gradio as gr

from ..config import Config
from ..network import without_proxies
from ..serving.answerer import Answerer
from ..serving.listen import ListenAddress, choose_port
from ..words import Text
from .launch import launch_options
from .operations import operator_routes

PASSWORD_VARIABLE = "ASSISTANT_PASSWORD"  # never a flag: command lines are seen by other users
OWNER = "owner"
LOOK_SECONDS = 0.2  # between two looks whether to end
LAST_WORDS_SECONDS = 1.0  # Gradio sends an answer's last step after the answer has ended


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
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    operations = config.serve.operations
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
    if operations.log == "json":
        from ..serving.logs import take_over_uvicorn

        take_over_uvicorn()
    try:
        say(Text(f"The page is open: {url}  (Ctrl-C ends it)",
                 f"页面已打开：{url} （Ctrl-C 结束）"))  # fmt: skip
        opened()
        while not asked_to_end:  # a wait without end misses a signal that another thread took
            time.sleep(LOOK_SECONDS)
        _drain(answerer, operations.drain_seconds, say)
    except KeyboardInterrupt:
        say(Text("The page is closed.", "页面已关闭。"))
    finally:
        page.close(verbose=False)


def _drain(answerer: Answerer, seconds: float, say: Callable[[Text], None]) -> None:
    """Let running answers end."""
    said = Text(
        f"Ending: running answers have {seconds:g} s.",
        f"正在结束：已开始的回答还有 {seconds:g} 秒。",
    )
    say(said)
    answerer.drain(seconds)
    time.sleep(LAST_WORDS_SECONDS)
