"""Where things stand on the chat page. Words are put in afterwards, for the visitor's language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..config import Config
from ..conversation import Message
from ..persona import Persona
from . import shown, words
from .conversations import Rating, chat_messages, feedback

LONGEST_ANSWER = 4096
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]


@dataclass(frozen=True)
class Parts:
    """The components that events read and change."""

    shelf: gr.HTML
    file: gr.JSON
    heading: gr.HTML
    language: gr.Radio
    open_shelf: gr.Button
    open_settings: gr.Button
    loading: gr.HTML
    try_again: gr.Button
    timer: gr.Timer
    chat: gr.Chatbot
    ratings: gr.JSON
    said: gr.HTML
    go_on: gr.Button
    style: gr.Radio
    does: gr.HTML
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button
    settings_title: gr.HTML
    system: gr.Textbox
    reset: gr.Button
    more: gr.Accordion
    max_tokens: gr.Slider
    temperature: gr.Slider
    top_p: gr.Slider
    top_k: gr.Slider
    repetition_penalty: gr.Slider
    seed: gr.Textbox

    def asking(self) -> set[Block]:
        """What every question reads."""
        return {
            self.language, self.chat, self.ratings, self.style, self.system, self.max_tokens,
            self.temperature, self.top_p, self.top_k, self.repetition_penalty, self.seed,
        }  # fmt: skip

    def answering(self) -> list[Block]:
        """What every answer changes."""
        return [self.chat, self.ratings, self.said, self.go_on, self.box, self.send, self.stop]


def lay_out(persona: Persona, config: Config, *, public: bool) -> Parts:
    """Build the chat page inside the current Blocks. Only its owner may edit answers: that corrects
    them."""
    sampling = config.serve.sampling
    with gr.Row(elem_id="page"):
        with gr.Column(elem_id="shelf-drawer", elem_classes="drawer", min_width=0):
            shelf = gr.HTML(
                "", html_template="", elem_id="shelf",
                js_on_load="window.assistantPage.mountShelf(element, trigger)",
            )  # fmt: skip
            file = gr.JSON(visible=False)
        with gr.Column(elem_id="main", min_width=0):
            with gr.Row(elem_id="top"):
                open_shelf = gr.Button("☰", elem_id="open-shelf", min_width=0)
                heading = gr.HTML(elem_id="heading")
                language = gr.Radio(
                    [("中文", "zh"), ("EN", "en")], elem_id="language",
                    container=False, show_label=False,
                )  # fmt: skip
                open_settings = gr.Button("", elem_id="open-settings", min_width=0)
            with gr.Column(elem_id="state"):
                loading = gr.HTML(elem_id="loading")
                try_again = gr.Button("", visible="hidden", elem_id="try-again", variant="primary")
                timer = gr.Timer(1.0, active=False)
            chat = gr.Chatbot(
                elem_id="chat", show_label=False, container=False, layout="bubble",
                editable="user" if public else "all", buttons=["copy"], sanitize_html=True, latex_delimiters=LATEX,
                feedback_options=("Like", "Dislike"), height="100%", min_height=0,
                allow_file_downloads=False, group_consecutive_messages=False,
            )  # fmt: skip
            ratings = gr.JSON([], visible=False)
            with gr.Column(elem_id="below"):
                with gr.Row(elem_id="said-row"):
                    said = gr.HTML(elem_id="said")
                    go_on = gr.Button("", visible="hidden", elem_id="go-on", size="sm", min_width=0)
                with gr.Row(elem_id="style-row", visible=bool(persona.styles)):
                    style = gr.Radio(
                        shown.style_choices(persona, "zh"), value="", elem_id="style",
                        container=False, show_label=False,
                    )  # fmt: skip
                    does = gr.HTML(elem_id="does")
                with gr.Row(elem_id="composer"):
                    box = gr.Textbox(
                        elem_id="box", show_label=False, container=False, lines=1, max_lines=8,
                        autofocus=True,
                    )  # fmt: skip
                    send = gr.Button("", elem_id="send", variant="primary", min_width=0)
                    stop = gr.Button("", elem_id="stop", visible="hidden", min_width=0)
        with gr.Column(elem_id="settings-drawer", elem_classes="drawer", min_width=0):
            settings_title = gr.HTML(elem_id="settings-title")
            system = gr.Textbox(persona.system(None), elem_id="system", lines=4, max_lines=12)
            reset = gr.Button("", elem_id="reset", size="sm")
            with gr.Accordion("", open=False, elem_id="more") as more:
                max_tokens = gr.Slider(
                    1, max(LONGEST_ANSWER, sampling.max_tokens), sampling.max_tokens, step=1,
                    elem_id="max-tokens",
                )  # fmt: skip
                temperature = gr.Slider(
                    0, 2, sampling.temperature, step=0.05, elem_id="temperature"
                )
                top_p = gr.Slider(0.05, 1, sampling.top_p, step=0.05, elem_id="top-p")
                top_k = gr.Slider(0, 200, sampling.top_k, step=1, elem_id="top-k")
                repetition_penalty = gr.Slider(
                    0.5, 2, sampling.repetition_penalty, step=0.05, elem_id="repetition-penalty"
                )
                seed = gr.Textbox(elem_id="seed", max_lines=1, max_length=19)
    return Parts(**{name: value for name, value in locals().items() if name in _PART_NAMES})


_PART_NAMES = frozenset(Parts.__dataclass_fields__)


def seen(visible: bool) -> dict[str, Any]:
    """An update that shows or hides. Not `visible=False`: what is not mounted loses its words."""
    return gr.update(visible=True if visible else "hidden")


def chat_shows(messages: Iterable[Message], ratings: Sequence[Rating | None]) -> dict[str, Any]:
    """An update of the chat and of the likes under its answers."""
    return gr.update(value=chat_messages(messages), feedback_value=feedback(ratings))


def place_of(event: gr.LikeData | gr.RetryData | gr.EditData) -> int:
    """Which message of the chat an event is about."""
    return event.index if isinstance(event.index, int) else event.index[0]


def relabelled(parts: Parts, language: str) -> dict[Block, dict[str, Any]]:
    """Updates that put the page's fixed words into `language`."""

    def word(text: words.Text) -> str:
        return text.in_language(language)

    title = (
        f'<div class="drawer-title"><h2>{word(words.SETTINGS)}</h2><button type="button" '
        f'class="icon only-narrow" data-close="settings" aria-label="{word(words.CLOSE)}">✕'
        "</button></div>"
    )
    return {
        parts.language: gr.update(value=language, label=word(words.LANGUAGE)),
        parts.open_settings: gr.update(value=word(words.SETTINGS)),
        parts.try_again: gr.update(value=word(words.TRY_AGAIN)),
        parts.go_on: gr.update(value=word(words.CONTINUE)),
        parts.box: gr.update(
            label=word(words.MESSAGE), placeholder=word(words.MESSAGE_PLACEHOLDER)
        ),
        parts.send: gr.update(value=word(words.SEND)),
        parts.stop: gr.update(value=word(words.STOP)),
        parts.settings_title: gr.update(value=title),
        parts.system: gr.update(
            label=word(words.SYSTEM_PROMPT), info=word(words.SYSTEM_PROMPT_INFO)
        ),
        parts.reset: gr.update(value=word(words.RESET)),
        parts.more: gr.update(label=word(words.MORE)),
        parts.max_tokens: gr.update(label=word(words.MAX_TOKENS)),
        parts.temperature: gr.update(
            label=word(words.TEMPERATURE), info=word(words.TEMPERATURE_INFO)
        ),
        parts.top_p: gr.update(label=word(words.TOP_P)),
        parts.top_k: gr.update(label=word(words.TOP_K)),
        parts.repetition_penalty: gr.update(label=word(words.REPETITION_PENALTY)),
        parts.seed: gr.update(label=word(words.SEED), placeholder=word(words.RANDOM)),
    }
