"""An answer with tools: the model decides, the tool runs, the model reads what came, and answers.

The model's turn begins freely. Where it begins as a call does, it is asked for that turn again, greedily
and in the form of a call where the engine keeps forms: so ordinary answers stream as ever, and calls are
whole. Whatever an engine promises, a call is read and checked before anything runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from ..conversation import Message
from ..engines.base import Chunk, Engine, Sampling
from ..errors import EngineError
from ..persona import Persona, Style
from ..serving.reply import reply, styled_question, styled_sampling, system_messages
from ..serving.tool_step import ToolStep
from ..words import Text, written_language
from .base import Tool, ToolCall, ToolError
from .calls import begins_call, checked_call, form_of_calls, read_call
from .prompt import observed, with_tools
from .settings import ToolsTable

CALL_TOKENS = 512  # that a call may have
NO_END = Text("I used the tools and came to no end. The last one said: {said}",
              "我用了工具，但没有得出结论。最后的结果：{said}")  # fmt: skip


class ToolReply(Iterator[str | ToolStep]):
    """An answer under way: iterate for the pieces of its text, and for each use of a tool once it is over.

    `dropped_turns` oldest turns did not fit. `last` is the closing Chunk once the iteration has ended, with
    the new tokens of all rounds. `close` stops it from any thread.

    Args:
        persona, engine, history, text, style, sampling, system_prompt: As for `reply`.
        tools: What may be used.
        limits: How much of it.

    Raises:
        EngineError: See `Engine.stream`.
    """

    def __init__(
        self,
        persona: Persona,
        engine: Engine,
        tools: Sequence[Tool],
        limits: ToolsTable,
        history: Sequence[Message],
        text: str,
        style: Style | None = None,
        sampling: Sampling | None = None,
        system_prompt: str | None = None,
    ):
        system = persona.system_prompt if system_prompt is None else system_prompt
        opening = "".join(message.content for message in system_messages(system, style))
        self._language = written_language(text)
        self._system = with_tools(opening, tools, self._language)
        self._persona, self._engine, self._tools, self._limits = persona, engine, tools, limits
        self._sampling = styled_sampling(sampling or Sampling(), style)
        form = form_of_calls(tools) if engine.keeps_forms else None
        self._calling = replace(
            self._sampling, temperature=0.0, max_tokens=CALL_TOKENS, form=form, stop=()
        )
        self._lock = threading.Lock()
        self._stopped = False
        self._used_tokens = 0
        self._counted: Chunk | None = None
        self.last: Chunk | None = None
        self._conversation = [*history, Message(role="user", content=styled_question(text, style))]
        self._begin_turn(self._sampling)
        self.dropped_turns = self._reply.dropped_turns
        self._parts = self._all()

    def __next__(self) -> str | ToolStep:
        return next(self._parts)

    def close(self) -> None:
        """Stop the answer in the engine; a tool that runs is waited for, and nothing follows it."""
        with self._lock:
            self._stopped = True
            under_way = self._reply
        under_way.close()

    def _all(self) -> Iterator[str | ToolStep]:
        until = time.monotonic() + self._limits.seconds
        steps: list[ToolStep] = []
        while (yield from self._answered()) and not self._stopped:
            call = self._call()
            if self._stopped:
                break
            step = self._run(call, until)
            yield step
            again = any((one.tool, one.arguments) == (step.tool, step.arguments) for one in steps)
            steps.append(step)
            if again or len(steps) == self._limits.rounds:
                said = step.result if step.error is None else step.error
                yield NO_END.in_language(self._language).format(said=said)
                break
            if self._stopped:
                break
            self._conversation += [
                Message(role="assistant", content=call),
                Message(role="user", content=observed(step, self._language)),
            ]
            self._begin_turn(self._sampling)
        self._end_turn()
        if self._stopped and self.last:
            self.last = replace(self.last, finish="cancelled")

    def _answered(self) -> Generator[str, None, bool]:
        """The pieces of the turn under way; or none, and True, where it begins as a call."""
        held = ""
        for piece in self._reply:
            held += piece
            begins = begins_call(held)
            if begins:
                return True
            if begins is False:
                yield held
                yield from self._reply
                return False
        if held:
            yield held
        return False

    def _call(self) -> str:
        """The turn under way once more, as a call. A server may say only now that it keeps no forms."""
        self._end_turn()
        try:
            return self._turn(self._calling)
        except EngineError as error:
            if self._calling.form is None or error.code != "invalid_request":
                raise
        self._calling = replace(self._calling, form=None)
        return self._turn(self._calling)

    def _turn(self, sampling: Sampling) -> str:
        """A whole turn of the model's."""
        self._begin_turn(sampling)
        said = "".join(self._reply)
        self._end_turn()
        return said

    def _run(self, text: str, until: float) -> ToolStep:
        began = time.monotonic()
        call = ToolCall("", {})
        try:
            call = read_call(text)
            tool, arguments = checked_call(call, self._tools)
            if began > until:
                raise ToolError(f"there was no time left: {self._limits.seconds:g} s")
            result = tool.run(arguments)
        except ToolError as error:
            spent = time.monotonic() - began
            return ToolStep(call.tool, call.arguments, None, spent, str(error))
        return ToolStep(call.tool, call.arguments, result, time.monotonic() - began)

    def _begin_turn(self, sampling: Sampling) -> None:
        *history, asked = self._conversation
        begun = reply(
            self._persona, self._engine, history, asked.content, None, sampling, self._system
        )
        with self._lock:
            stopped = self._stopped
            self._reply = begun
        if stopped:
            begun.close()

    def _end_turn(self) -> None:
        """Stop the turn under way, and add its tokens to those before it."""
        self._reply.close()
        for _ in self._reply:  # to its closing chunk, which has the counts
            pass
        if (ended := self._reply.last) is not None and ended is not self._counted:
            self._counted = ended
            self._used_tokens += ended.new_tokens
            self.last = replace(ended, new_tokens=self._used_tokens)
