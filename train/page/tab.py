"""The Corrections tab: one at a time, to accept, to keep for the check, or to drop."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from assistant.config import Config
from assistant.corrections import (
    STATES,
    Correction,
    State,
    change_corrections,
    read_corrections,
)
from assistant.errors import AssistantError
from assistant.ui import Opened, OwnerTab
from assistant.ui.layout import seen
from assistant.ui.shown import notice, quiet
from assistant.words import Text, filled

from . import words

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
Updates = dict[Block, Any]


def corrections_tab(read: Callable[[], Config]) -> OwnerTab:
    """The tab. `read` gives the configuration as it is now: its folder holds the corrections."""
    return OwnerTab(words.TAB, lambda language: _Tab(read).build(language))


class _Tab:
    """Holds nothing of a visit: which state is shown and which correction is in the page."""

    def __init__(self, read: Callable[[], Config]):
        self._read = read

    def build(self, language: gr.Radio) -> Opened:
        """Lay it out in the current tab, and wire it."""
        with gr.Column(elem_id="corrections"):
            self._head = gr.HTML(elem_id="corrections-head")
            self._which = gr.Radio(list(STATES), value="new", elem_id="corrections-which")
            self._card = gr.HTML(elem_id="corrections-card")
            self._answer = gr.Textbox(lines=2, max_lines=8, elem_id="corrections-answer")
            self._ways = gr.Textbox(lines=2, max_lines=8, elem_id="corrections-ways")
            with gr.Row(elem_id="corrections-do"):
                self._do: dict[State, gr.Button] = {
                    "accepted": gr.Button(elem_id="corrections-accept", variant="primary"),
                    "exam": gr.Button(elem_id="corrections-exam"),
                    "dropped": gr.Button(elem_id="corrections-drop"),
                }
            with gr.Row(elem_id="corrections-go"):
                self._back = gr.Button(elem_id="corrections-back", size="sm")
                self._on = gr.Button(elem_id="corrections-on", size="sm")
            self._said = gr.HTML(elem_id="corrections-said")
            self._id = gr.State("")
        shows = [
            self._head, self._which, self._card, self._answer, self._ways, *self._do.values(),
            self._back, self._on, self._said, self._id,
        ]  # fmt: skip
        at = [language, self._which, self._id]
        language.change(self.show, at, shows, **QUIET)
        self._which.input(self.show, at, shows, **QUIET)
        self._back.click(partial(self.show, step=-1), at, shows, **QUIET)
        self._on.click(partial(self.show, step=1), at, shows, **QUIET)
        for state, button in self._do.items():
            button.click(
                partial(self.decide, state), [*at, self._answer, self._ways], shows, **QUIET
            )
        return Opened(self.show, at, shows)

    def show(
        self, language: str, which: State, at: str, step: int = 0, place: int = 0, told: str = ""
    ) -> Updates:
        """The correction `at`, or the one `step` from it; where that is gone, the one at `place`."""
        try:
            held = read_corrections(self._read().folder)
        except AssistantError as error:
            held, told = [], notice(error.in_language(language))
        shown = [one for one in held if one.state == which]
        ids = [one.id for one in shown]
        place = ids.index(at) + step if at in ids else place
        place = max(0, min(place, len(shown) - 1))
        one = shown[place] if shown else None

        def say(text: Text) -> str:
            return text.in_language(language)

        counts = Counter(each.state for each in held)
        there = one is not None
        labels = {"accepted": words.ACCEPT, "exam": words.EXAM, "dropped": words.DROP}
        return {
            self._head: f"<h2>{say(words.TITLE)}</h2><p>{say(words.LEAD)}</p>",
            self._which: gr.Radio(
                [(f"{say(text)} {counts[state]}", state) for state, text in STATES.items()],
                label=say(words.SHOW), value=which,
            ),
            self._card: _card(one, place, len(shown), language),
            self._answer: gr.Textbox(
                one.answer if one else "", label=say(words.ANSWER), visible=_seen(there)
            ),
            self._ways: gr.Textbox(
                "\n".join(one.ways) if one else "", label=say(words.WAYS),
                info=say(words.WAYS_INFO), visible=_seen(there),
            ),
            **{
                button: gr.Button(say(labels[state]), visible=_seen(there and which != state))
                for state, button in self._do.items()
            },
            self._back: gr.Button(say(words.PREVIOUS), visible=_seen(place > 0)),
            self._on: gr.Button(say(words.NEXT), visible=_seen(place < len(shown) - 1)),
            self._said: told,
            self._id: one.id if one else "",
        }  # fmt: skip

    def decide(
        self, state: State, language: str, which: State, at: str, answer: str, ways: str
    ) -> Updates:
        """Give the correction that is shown a state, with the answer and the ways as they now stand;
        then show the one that comes after it."""
        asked = [line.strip() for line in ways.splitlines() if line.strip()]
        try:
            folder = self._read().folder
            ids = [one.id for one in read_corrections(folder) if one.state == which]
            change_corrections(folder, [at], state, answer, asked, replaces_ways=True)
        except AssistantError as error:
            told = notice(error.in_language(language))
            return {
                **self.show(language, which, at, told=told),
                self._answer: answer, self._ways: ways,
            }  # fmt: skip
        told = quiet(words.DONE[state].in_language(language))
        return self.show(language, which, at, place=ids.index(at) if at in ids else 0, told=told)


def _seen(visible: bool) -> Any:
    return seen(visible)["visible"]


def _card(one: Correction | None, place: int, count: int, language: str) -> str:
    """What was asked, what stood before it, and what was said."""

    def say(text: Text) -> str:
        return text.in_language(language)

    if one is None:
        return f"<p>{say(words.NONE_THERE)}</p>"
    where = filled(words.PLACE, place=place + 1, count=count).in_language(language)
    facts = [(words.ASKED, one.question)]
    if one.before:
        facts.insert(0, (words.BEFORE, " / ".join(message.content for message in one.before)))
    if one.said:
        facts.append((words.SAID, one.said))
    rows = "".join(f"<dt>{say(label)}</dt><dd>{html.escape(text)}</dd>" for label, text in facts)
    liked = f"<p>{say(words.LIKED)}</p>" if one.source == "liked" else ""
    return f'<section class="card"><p class="quiet">{where}</p><dl>{rows}</dl>{liked}</section>'
