"""The page: configuration -> model -> engine -> page -> launch. No logic of its own."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads collapse on shared cores
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))  # figures that nobody reads

from assistant.libraries import missing_libraries_told
from assistant.words import Text

with missing_libraries_told():
    import click

    from assistant.__main__ import engine_options
    from assistant.cli import Context, aloud, common_options

if TYPE_CHECKING:
    from assistant.ui import OwnerTab


@click.command(help=str(Text("Open the page and talk.", "打开页面，开始对话。")))
@click.option("--host", "address", metavar="H",
              help=str(Text("Address to listen on; default: this machine only.", "监听地址；默认只限本机。")))  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), metavar="P",
              help=str(Text("Port; default 7860; 0: any free one.", "端口；默认 7860；0：任选一个空闲端口。")))  # fmt: skip
@click.option("--root-path", metavar="R",
              help=str(Text("Path under which a proxy serves the page.", "反向代理下的路径。")))  # fmt: skip
@click.option("--public", is_flag=True,
              help=str(Text("Chat alone, with limits: for a page that others reach.", "只有对话并加限制：给他人访问的页面。")))  # fmt: skip
@engine_options
@common_options
def main(context: Context, address, port, root_path, public, engine, model) -> None:
    from assistant.network import reach_this_machine_directly
    from assistant.serving.listen import (
        find_place,
        ignored_gradio_settings,
        refuse_taken_port,
        take_away_gradio_settings,
    )
    from assistant.tools.settings import ToolsTable

    config = context.read_config({"tools": ToolsTable})
    place = find_place(address, port, root_path, public)
    refuse_taken_port(place)
    reach_this_machine_directly(place.address)
    if ignored := take_away_gradio_settings(os.environ):
        context.say(ignored_gradio_settings(ignored))

    gc.disable()  # importing makes a million objects and no garbage: a third of the time to page
    from assistant.engines.transformers import zero_gpu
    from assistant.persona import persona_from_config
    from assistant.serving.host import Host, closed_at_the_end
    from assistant.serving.load import is_single_user, load_assistant
    from assistant.tools.opening import page_tools
    from assistant.ui.page import answerer_for, build_page
    from assistant.ui.serve import serve

    load = functools.partial(
        load_assistant, config, engine=engine, model=model,
        single_user=is_single_user(config.serve.limits, place),
    )  # fmt: skip
    host = Host(aloud(load, context), persona_from_config(config))

    # ZeroGPU looks what needs a GPU when the page opens.
    loads_first = zero_gpu.here() and (engine or config.serve.engine) in ("auto", "transformers")

    def opened() -> None:
        gc.freeze()
        gc.enable()
        if not loads_first:
            host.start()

    with closed_at_the_end(host), page_tools(config, public=place.public) as with_tools:
        answerer = answerer_for(host, config, public=place.public, with_tools=with_tools)
        if loads_first:
            host.load_now()
        page = build_page(
            host, config, public=place.public, answerer=answerer,
            trusted_proxies=int(place.behind_proxy),
            owner_tabs=() if place.public else owner_tabs(context),
        )  # fmt: skip
        serve(page, answerer, config, place, context.say, opened)


def owner_tabs(context: Context) -> tuple[OwnerTab, ...]:
    """What the owner's own page has beside the chat. A published app comes without `train` and
    `deploy`."""
    tabs = []
    if importlib.util.find_spec("train") is not None:
        from train.page import corrections_tab

        tabs.append(corrections_tab(context.read_config))
    if importlib.util.find_spec("deploy") is not None:
        from deploy.page import share_tab
        from deploy.settings import ShareTable

        tabs.append(share_tab(lambda: context.read_config(tables={"share": ShareTable})))
    return tuple(tabs)


if __name__ == "__main__":
    main(prog_name="python app.py")
