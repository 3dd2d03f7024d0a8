"""Chat events: they turn what the page holds into a Question, and the Steps into updates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import gradio as gr
from gradio.blocks import Block

from ..conversation import Message
from ..engines.base import Sampling
from ..errors import AssistantError, UsageError
from ..persona import Persona
from ..serving.answerer import Answerer, Question, Step
from ..serving.failures import said_of
from ..serving.text import cleaned
from ..serving.visitors import visitor_of
from ..words import filled
from . import shown, words
from .conversations import chat_messages, from_chat
from .layout import Parts, chat_shows, place_of, seen
from .notebook import Notebook
from .visitors import Sessions

Values: TypeAlias = Mapping[Block, Any]
Updates: TypeAlias = dict[Block, Any]


@dataclass(frozen=True)
class _Asked:
    """A question and where it came from. It follows the first `after` messages (None: all)."""

    text: str
    after: int | None = None
    from_box: bool = False
    back_to_box: bool = False  # where a failure puts it


class Talk:
    """Send, stop, retry, undo, edit and continue. Holds nothing of a conversation."""

    def __init__(
        self, parts: Parts, answerer: Answerer, persona: Persona, *, public: bool, proxies: int,
        notebook: Notebook | None = None,
    ):  # fmt: skip
        self._parts = parts
        self._answerer = answerer
        self._persona = persona
        self._public = public
        self._proxies = proxies
        self._notebook = notebook
        self._sessions = Sessions()

    async def send(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        """Answer what stands in the message box."""
        asked = _Asked(values[self._parts.box] or "", from_box=True, back_to_box=True)
        async for updates in self._ask(values, asked, request):
            yield updates

    async def example(
        self, values: Values, event: gr.SelectData, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Answer a suggestion, in the style it shows off."""
        persona = self._answerer.host.state().persona
        offered = shown.examples(persona, _language(values, self._parts))
        example = offered[min(int(event.index), len(offered) - 1)]
        if example.style:
            values = {**values, self._parts.style: example.style.name}
            yield {self._parts.style: example.style.name}
        async for updates in self._ask(values, _Asked(example.text), request):
            yield updates

    async def go_on(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        """Ask for the rest of an answer that was cut."""
        asked = _Asked(words.GO_ON.in_language(_language(values, self._parts)))
        async for updates in self._ask(values, asked, request):
            yield updates

    async def retry(
        self, values: Values, event: gr.RetryData, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Answer the last question again."""
        messages = self._messages(values)
        place = place_of(event)
        if 0 <= place < len(messages):
            asked = _Asked(messages[place].content, after=place)
            async for updates in self._ask(values, asked, request):
                yield updates

    async def edit(
        self, values: Values, event: gr.EditData, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Answer a changed question; what followed it goes. A changed answer is a correction."""
        chat = list(values[self._parts.chat] or [])
        place = place_of(event)
        if self._notebook and 0 <= place < len(chat) and chat[place]["role"] == "assistant":
            yield self._corrected(values, self._notebook, place, event)
            return
        if 0 <= place < len(chat):  # the page has changed it already: a failure must restore it
            before = Message(role="user", content=str(event.previous_value))
            chat[place : place + 1] = chat_messages([before])
            asked = _Asked(str(event.value), after=place, back_to_box=True)
            async for updates in self._ask({**values, self._parts.chat: chat}, asked, request):
                yield updates

    def _corrected(
        self, values: Values, notebook: Notebook, place: int, event: gr.EditData
    ) -> Updates:
        """Note the answer as its owner has just written it. An empty one is put back."""
        parts, language = self._parts, _language(values, self._parts)
        said, answer = str(event.previous_value), str(event.value)
        messages = list(self._messages(values))
        try:
            if not answer.strip():
                raise UsageError(words.NO_CORRECTION)
            messages[place] = Message(role="assistant", content=answer)
            told = shown.quiet(notebook.correct(messages[: place + 1], said).in_language(language))
        except AssistantError as error:
            messages[place] = Message(role="assistant", content=said)
            told = shown.notice(error.in_language(language))
        return {
            **self._idle(),
            parts.chat: chat_shows(messages, _ratings(values, parts)),
            parts.said: told,
        }

    def undo(self, values: Values) -> Updates:
        """Take the last turn away; its question goes back into the box."""
        parts = self._parts
        messages = self._messages(values)
        if not messages:
            return {parts.said: ""}
        kept = messages[:-2]
        ratings = _ratings(values, parts)[: len(kept) // 2]
        return {
            parts.chat: chat_shows(kept, ratings),
            parts.ratings: ratings,
            parts.box: messages[-2].content,
            parts.said: "",
            parts.go_on: seen(False),
        }

    async def stop(self, request: gr.Request) -> None:
        """Stop this page's answer in the engine; also when the page is closed."""
        self._sessions.stop(request.session_hash)

    async def _ask(
        self, values: Values, asked: _Asked, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Answer. A failure, or a stop before the first word, leaves all as it was."""
        language = _language(values, self._parts)
        before: Sequence[Message] = ()
        last: Step | None = None
        running = self._sessions.begin(request.session_hash)
        try:
            before = self._messages(values)
            question = self._question(values, before[: asked.after], asked.text, request)
            async with aclosing(self._answerer.answer(question, running)) as steps:
                async for step in steps:
                    if last is None:
                        yield self._begins(values, question, asked)
                    if step.text or step.finish is None:
                        yield self._shows(question, step, language)
                    last = step
            if last and last.text:
                yield self._ends(last, language)
            else:
                said = shown.outcome(last, language) if last else ""
                yield self._as_before(values, before, asked, said)
        except Exception as error:
            said = shown.notice(said_of(error, language, public=self._public))
            if last and last.text:
                broken = shown.quiet(words.KEPT_PART.in_language(language))
                yield {**self._idle(), self._parts.said: said + broken}
            else:
                yield self._as_before(values, before, asked, said)
        finally:
            self._sessions.end(request.session_hash, running)

    def _question(
        self, values: Values, history: Sequence[Message], text: str, request: gr.Request
    ) -> Question:
        parts = self._parts
        prompt = values[parts.system] or ""
        now = self._answerer.host.state().persona
        own = (*self._persona.own_systems(), *now.own_systems())
        return Question(
            text=cleaned(text).strip(),
            history=tuple(history),
            style=values[parts.style] or None,
            system_prompt=None if prompt in own else prompt,
            language=_language(values, parts),
            sampling=Sampling(
                max_tokens=int(values[parts.max_tokens]),
                temperature=float(values[parts.temperature]),
                top_p=float(values[parts.top_p]),
                top_k=int(values[parts.top_k]),
                repetition_penalty=float(values[parts.repetition_penalty]),
                seed=_seed(values[parts.seed]),
            ),
            visitor=visitor_of(request, self._proxies),
            tools=True,
        )

    def _begins(self, values: Values, question: Question, asked: _Asked) -> Updates:
        """The question is taken. Only here is the box emptied: the person may write on."""
        parts = self._parts
        ratings = _ratings(values, parts)[: len(question.history) // 2]
        updates: Updates = {
            parts.chat: chat_shows([*question.history, _question_in(question)], ratings),
            parts.ratings: ratings,
            parts.send: seen(False),
            parts.stop: seen(True),
            parts.go_on: seen(False),
        }
        return {**updates, parts.box: ""} if asked.from_box else updates

    def _shows(self, question: Question, step: Step, language: str) -> Updates:
        """The answer so far, or what it waits for."""
        updates: Updates = {self._parts.said: shown.waiting(step, language)}
        if step.text:
            answer = Message(role="assistant", content=step.text)
            updates[self._parts.chat] = chat_messages(
                [*question.history, _question_in(question), answer]
            )
        return updates

    def _ends(self, step: Step, language: str) -> Updates:
        return {
            **self._idle(),
            self._parts.said: shown.outcome(step, language),
            self._parts.go_on: seen(step.finish == "length"),
        }

    def _idle(self) -> Updates:
        return {
            self._parts.send: seen(True),
            self._parts.stop: seen(False),
        }

    def _as_before(
        self, values: Values, before: Sequence[Message], asked: _Asked, said: str
    ) -> Updates:
        parts = self._parts
        ratings = _ratings(values, parts)
        updates: Updates = {
            **self._idle(),
            parts.chat: chat_shows(before, ratings),
            parts.ratings: ratings,
            parts.said: said,
        }
        return {**updates, parts.box: asked.text} if asked.back_to_box else updates

    def _messages(self, values: Values) -> tuple[Message, ...]:
        return from_chat(values[self._parts.chat])


def _seed(text: str | None) -> int | None:
    """The seed as written; None for an empty field. Raises UsageError for anything else."""
    written = (text or "").strip()
    if not written:
        return None
    if not written.isdecimal():
        raise UsageError(filled(words.BAD_SEED, seed=written))
    return int(written)


def _question_in(question: Question) -> Message:
    return Message(role="user", content=question.text)


def _ratings(values: Values, parts: Parts) -> list[Any]:
    return list(values[parts.ratings] or [])


def _language(values: Values, parts: Parts) -> str:
    return values[parts.language] or "en"
