"""Everything on the page but the answers: language, state, styles, conversations in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..errors import AssistantError
from ..persona import Persona
from ..serving.host import Host, HostState
from ..words import LANGUAGES, Language, Text, language_of_tag
from . import shown
from .conversations import (
    export_jsonl,
    export_markdown,
    feedback,
    from_chat,
    import_jsonl,
    rated,
    read_kept,
)
from .layout import Parts, chat_shows, place_of, relabelled, seen
from .notebook import Notebook

LOOK_AGAIN = 0.7  # seconds between two looks at a loading model
LOOK_AGAIN_FAILED = 3.0  # the owner, or another visitor, may have started it again

Updates = dict[Block, Any]


class Desk:
    """Handlers of the page's quick events."""

    def __init__(
        self,
        parts: Parts,
        host: Host,
        persona: Persona,
        tabs: Sequence[tuple[gr.Tab, Text]],
        *,
        public: bool,
        notebook: Notebook | None = None,
    ):
        self._parts = parts
        self._host = host
        self._persona = persona
        self._tabs = tabs
        self._public = public
        self._notebook = notebook

    # What the page says, in the visitor's language

    def worded(self) -> list[Block]:
        """What changes with the language."""
        parts = self._parts
        own = [parts.heading, parts.loading, parts.chat, parts.style, parts.does, parts.said]
        return [*own, *relabelled(parts, "en"), *(tab for tab, _ in self._tabs)]

    def state(self) -> list[Block]:
        """What changes while the model is loaded."""
        parts = self._parts
        return [
            parts.heading, parts.loading, parts.try_again, parts.timer, parts.chat,
            parts.system, parts.style, parts.does,
        ]  # fmt: skip

    def greet(self, remembered: str | None, request: gr.Request) -> Updates:
        """The first words: the remembered language, else the browser's."""
        language: str = remembered if remembered in LANGUAGES else preferred_language(request)
        persona = self._host.state().persona
        return {
            **self.speak(language, ""),
            **self._looks(language),
            **self._own_system(persona, language),
        }

    def speak(self, language: str, style: str | None) -> Updates:
        """Everything in `language`."""
        parts, state = self._parts, self._host.state()
        return {
            **relabelled(parts, language),
            parts.heading: shown.heading(state, language),
            parts.loading: self._loading(state, language),
            parts.chat: self._empty(state.persona, language),
            parts.style: gr.Radio(choices=shown.style_choices(state.persona, language)),
            parts.does: self.describe_style(style, language),
            parts.said: "",
            **{tab: gr.Tab(label=text.in_language(language)) for tab, text in self._tabs},
        }

    def switch(self, language: str, style: str | None, system: str) -> Updates:
        """Everything in another `language`, the persona's system prompt too; a person's own stays."""
        persona = self._host.state().persona
        updates = self.speak(language, style)
        if self._is_own(system):
            updates |= self._own_system(persona, language)
        return updates

    def _is_own(self, system: str) -> bool:
        """Whether the box holds a system prompt of the persona, now or before its weights came."""
        now = self._host.state().persona
        return system in (*self._persona.own_systems(), *now.own_systems())

    def _own_system(self, persona: Persona, language: str) -> Updates:
        box = self._parts.system
        labels = relabelled(self._parts, language)[box]
        return {box: {**labels, "value": persona.system(language)}}

    def _empty(self, persona: Persona, language: str) -> dict[str, Any]:
        """An update of what stands in an empty conversation."""
        return gr.update(
            placeholder=shown.empty_page(persona, language),
            examples=[one.shown(language) for one in shown.examples(persona, language)],
        )

    def describe_style(self, style: str | None, language: str) -> str:
        """What the picked style does."""
        persona = self._host.state().persona
        known = {known.name for known in persona.styles}
        picked = persona.style(style, language) if style in known else None
        return shown.style_does(picked, language)

    def reset(self, language: str) -> str:
        """The persona's own system prompt."""
        return self._host.state().persona.system(language)

    # The model's state

    def look(self, language: str, system: str, style: str) -> Updates:
        """The state now; the persona too, once the weights have brought theirs."""
        updates = self._looks(language)
        state = self._host.state()
        if state.phase == "ready" and state.persona != self._persona:
            parts = self._parts
            names = {known.name for known in state.persona.styles}
            kept = style if style in names else ""
            updates[parts.chat] = self._empty(state.persona, language)
            updates[parts.style] = gr.Radio(
                choices=shown.style_choices(state.persona, language), value=kept
            )
            updates[parts.does] = self.describe_style(kept, language)
            if self._is_own(system):
                updates[parts.system] = state.persona.system(language)
        return updates

    def try_again(self, language: str) -> Updates:
        """Load once more."""
        if not self._public:
            self._host.start()
        return self._looks(language)

    def _looks(self, language: str) -> Updates:
        parts, state = self._parts, self._host.state()
        failed = state.phase == "failed"
        return {
            parts.heading: shown.heading(state, language),
            parts.loading: self._loading(state, language),
            parts.try_again: {
                **relabelled(parts, language)[parts.try_again],
                **seen(failed and not self._public),
            },
            parts.timer: gr.Timer(
                LOOK_AGAIN_FAILED if failed else LOOK_AGAIN, active=state.phase != "ready"
            ),
        }

    def _loading(self, state: HostState, language: str) -> str:
        return shown.loading_card(state, language, public=self._public)

    # Conversations

    def rate(
        self, ratings: list[Any] | None, chat: list[Any], language: str, event: gr.LikeData
    ) -> tuple[list[Any], dict[str, Any], str]:
        """Keep a like or dislike with the conversation; the owner's likes are also noted for the next
        training."""
        place = place_of(event)
        now = rated(ratings or [], chat or [], place, event.liked)
        said = self._note(chat or [], place, event.liked is True, language)
        return now, gr.update(feedback_value=feedback(now)), said

    def _note(self, chat: list[Any], place: int, liked: bool, language: str) -> str:
        if self._notebook is None:
            return ""
        try:
            messages = from_chat(chat)[: place + 1]
            if not messages:
                return ""
            if not liked:
                self._notebook.unlike(messages)
                return ""
            return shown.quiet(self._notebook.like(messages).in_language(language))
        except AssistantError as error:
            return shown.notice(error.in_language(language))

    def open(self, language: str, event: gr.EventData) -> Updates:
        """Show a conversation that the browser keeps, also the first of those that just came in."""
        parts, persona = self._parts, self._host.state().persona
        came_in = getattr(event, "imported", 0)
        said = shown.imported(came_in, language) if came_in else ""
        try:
            kept = read_kept(event.conversation)
        except AssistantError as error:
            kept, said = read_kept({}), shown.notice(error.in_language(language))
        prompt = kept.system_prompt
        if prompt is None:
            prompt = persona.system(language)
        names = {style.name for style in persona.styles}
        return {
            parts.chat: chat_shows(kept.answered(), kept.ratings),
            parts.ratings: list(kept.ratings),
            parts.system: prompt,
            parts.style: kept.style if kept.style in names else "",
            parts.box: kept.unanswered(),
            parts.said: said,
            parts.go_on: seen(False),
        }

    def export(self, language: str, event: gr.EventData) -> Updates:
        """A file of what the browser keeps, made here and saved there."""
        parts, persona = self._parts, self._host.state().persona
        try:
            kept = [read_kept(value) for value in event.conversations]
            if event.form == "markdown":
                file = export_markdown(kept[0], persona, language)
            else:
                file = export_jsonl(kept, persona, language)
        except AssistantError as error:
            return {parts.file: None, parts.said: shown.notice(error.in_language(language))}
        return {parts.file: file, parts.said: ""}

    def take_in(self, language: str, event: gr.EventData) -> Updates:
        """Read a JSONL file that the browser has opened; how many came in is said when they are kept."""
        parts = self._parts
        try:
            kept = import_jsonl(str(event.text), self._host.state().persona)
        except AssistantError as error:
            return {parts.file: None, parts.said: shown.notice(error.in_language(language))}
        return {parts.file: [one.model_dump() for one in kept], parts.said: ""}


def preferred_language(request: gr.Request) -> Language:
    """The first language of Accept-Language that the page speaks, else English."""
    accepted = []
    for place, part in enumerate(request.headers.get("accept-language", "").split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            accepted.append((-float(quality or 1), place, tag))
        except ValueError:
            continue
    for _, _, tag in sorted(accepted):
        if tag[:2].lower() in LANGUAGES:
            return language_of_tag(tag)
    return "en"
