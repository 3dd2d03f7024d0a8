"""Put the page on the network: address, port, path, password."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import gradio as gr

from ..config import Config
from ..hosting import Place
from ..words import Text
from .launch import launch_options

PASSWORD_VARIABLE = "ASSISTANT_PASSWORD"  # never a flag: command lines are seen by other users
OWNER = "owner"


def serve(
    page: gr.Blocks,
    config: Config,
    place: Place,
    say: Callable[[Text], None],
    opened: Callable[[], None],
) -> None:
    """Serve `page` at `place` until Ctrl-C; opens the browser for a person at this machine.

    `opened` is called once the page can be seen: what loads a model then does not delay it.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    host = "localhost" if place.loopback or place.address == "0.0.0.0" else place.address
    url = f"http://{host}:{place.port}{place.root_path}/"
    page.launch(
        server_name=place.address,
        server_port=place.port,
        root_path=place.root_path or None,
        auth=(OWNER, password) if password else None,
        inbrowser=place.loopback and sys.stdout.isatty(),
        quiet=True,
        prevent_thread_lock=True,
        **launch_options(config),
    )
    say(Text(f"The page is open: {url}  (Ctrl-C ends it)", f"页面已打开：{url} （Ctrl-C 结束）"))
    opened()
    try:
        page.block_thread()
    finally:
        page.close(verbose=False)
