"""The whole page: the chat, what surrounds it, and the owner's tabs where there are any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from ..config import Config
from ..persona import persona_from_config
from ..serving.answerer import Answerer, answerer_for
from ..serving.host import Host
from ..words import Text
from . import words
from .api import add_chat_endpoint
from .desk import Desk
from .launch import queue_options
from .layout import Parts, lay_out
from .notebook import Notebook
from .talk import Talk

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**PRIVATE, "queue": False}
SAVE = "(...kept) => { window.assistantPage.save(...kept); return []; }"


class Opened(NamedTuple):
    """What a tab does each time it is opened: `look` gets what `reads` hold, and changes `shows`."""

    look: Callable[..., Any]
    reads: Sequence[Block]
    shows: Sequence[Block]


@dataclass(frozen=True)
class OwnerTab:
    """A tab that only the owner sees. `build` fills it; it gets the page's language switch, and tells
    what to do when the tab is opened, if anything."""

    label: Text
    build: Callable[[gr.Radio], Opened | None]


def build_page(
    host: Host,
    config: Config,
    *,
    public: bool,
    answerer: Answerer | None = None,
    owner_tabs: Sequence[OwnerTab] = (),
    trusted_proxies: int = 0,
) -> gr.Blocks:
    """The page for one host. Launch it with `launch_options(config)`.

    In `public` there is chat alone: no owner tabs, no insides in failures, a rate for each
    visitor. `answerer` is `answerer_for`'s where the caller needs it too. A visitor is known by address; `trusted_proxies` says how many proxies of one's own
    stand in front (see `visitor_of`).
    """
    persona = persona_from_config(config)
    answerer = answerer or answerer_for(host, config, public=public)
    with gr.Blocks(title=persona.name, analytics_enabled=False, fill_height=True) as page:
        tabs = () if public else owner_tabs
        if tabs:
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab(words.CHAT_TAB.in_language("zh"), elem_id="chat-tab") as chat_tab:
                    parts = lay_out(persona, config, public=public)
                labelled = [(chat_tab, words.CHAT_TAB)]
                for tab in tabs:
                    with gr.Tab(tab.label.in_language("zh"), elem_classes="owner-tab") as owner_tab:
                        opened = tab.build(parts.language)
                        if isinstance(opened, Opened):
                            owner_tab.select(opened.look, opened.reads, opened.shows, **AT_ONCE)
                    labelled.append((owner_tab, tab.label))
        else:
            parts, labelled = lay_out(persona, config, public=public), []
        notebook = None if public else Notebook(config.folder, host)
        desk = Desk(parts, host, persona, labelled, public=public, notebook=notebook)
        talk = Talk(
            parts, answerer, persona, public=public, proxies=trusted_proxies, notebook=notebook
        )
        _wire_talk(page, parts, talk)
        _wire_desk(page, parts, desk)
        add_chat_endpoint(answerer, config, public=public, proxies=trusted_proxies)
    page.queue(**queue_options())
    return page


def _wire_talk(page: gr.Blocks, parts: Parts, talk: Talk) -> None:
    asking, answering = parts.asking(), parts.answering()
    kept = [parts.chat, parts.system, parts.style, parts.ratings]
    answers: list[tuple[Any, Callable]] = [
        ([parts.box.submit, parts.send.click], talk.send),
        ([parts.go_on.click], talk.go_on),
        ([parts.chat.example_select], talk.example),
        ([parts.chat.retry], talk.retry),
        ([parts.chat.edit], talk.edit),
    ]
    for triggers, answer in answers:
        gr.on(
            triggers, answer, {*asking, parts.box}, [*answering, parts.style], concurrency_limit=None,
            js="(...values) => { window.assistantPage.began(); return values; }", **PRIVATE,
        ).then(
            None, kept,
            js="(...kept) => { window.assistantPage.ended(...kept); return []; }",
        )  # fmt: skip
    parts.stop.click(talk.stop, None, None, **AT_ONCE)
    page.unload(talk.stop)
    parts.chat.undo(talk.undo, asking, answering, **AT_ONCE)
    gr.on([part.change for part in (parts.chat, parts.system, parts.style, parts.ratings)],
          None, kept, js=SAVE)  # fmt: skip


def _wire_desk(page: gr.Blocks, parts: Parts, desk: Desk) -> None:
    worded, state = desk.worded(), desk.state()
    page.load(
        desk.greet, [parts.language], list(dict.fromkeys([*worded, *state])),
        js="() => [window.assistantPage.rememberedLanguage()]", **AT_ONCE,
    ).then(
        None, [parts.language], js="(tag) => { window.assistantPage.begin(tag); return []; }"
    )  # fmt: skip
    parts.language.input(
        None, [parts.language], js="(tag) => { window.assistantPage.setLanguage(tag); return []; }"
    )
    parts.language.input(
        desk.switch, [parts.language, parts.style, parts.system], worded, **AT_ONCE
    )
    parts.timer.tick(desk.look, [parts.language, parts.system, parts.style], state, **AT_ONCE)
    parts.try_again.click(desk.try_again, [parts.language], state, **AT_ONCE)
    parts.style.change(desk.describe_style, [parts.style, parts.language], parts.does, **AT_ONCE)
    parts.reset.click(desk.reset, [parts.language], parts.system, **AT_ONCE)
    parts.chat.like(
        desk.rate,
        [parts.ratings, parts.chat, parts.language],
        [parts.ratings, parts.chat, parts.said],
        **AT_ONCE,
    )
    parts.shelf.select(
        desk.open, [parts.language],
        [parts.chat, parts.ratings, parts.system, parts.style, parts.box, parts.said, parts.go_on],
        **AT_ONCE,
    ).then(None, js="() => { window.assistantPage.opened(); return []; }")  # fmt: skip
    parts.shelf.download(
        desk.export, [parts.language], [parts.file, parts.said], **AT_ONCE
    ).then(
        None, [parts.file], js="(file) => { window.assistantPage.download(file); return []; }"
    )  # fmt: skip
    parts.shelf.upload(
        desk.take_in, [parts.language], [parts.file, parts.said], **AT_ONCE
    ).then(
        None, [parts.file], js="(file) => { window.assistantPage.takeIn(file); return []; }"
    )  # fmt: skip
    for button, drawer in ((parts.open_shelf, "shelf"), (parts.open_settings, "settings")):
        button.click(None, js=f"() => {{ window.assistantPage.toggle('{drawer}'); return []; }}")
