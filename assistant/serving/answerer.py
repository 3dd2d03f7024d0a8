"""One visitor's answer, from the message to the last piece: limits, line, engine, stop.

No Gradio here. The generator runs on the event loop; only the engine's own reading takes a
thread, so that visitors who wait cost none.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from ..config import Config, LimitsTable, OperationsTable
from ..conversation import Message
from ..engines.base import Chunk, Engine, Finish, Sampling
from ..errors import UsageError
from ..persona import Persona, Style
from ..words import filled
from . import messages
from .accounts import AnswerAccount, is_engines_fault
from .host import Host, Ready
from .limits import BusyError, Gate, QueueTicket, VisitorRate
from .metrics import Metrics
from .reply import CHARS_PER_TOKEN, reply, with_chosen_sampling
from .running import Running, StuckError, engine_closed_under_it
from .text import cleaned
from .tool_step import ToolStep
from .transcripts import Keeper

LOOK_SECONDS = 0.1  # how often one who waits looks whether the turn has come
SAY_SECONDS = 0.5  # how often the line is shown to who stands in it; leaving is noticed then
GATHER_SECONDS = 0.04  # pieces that come closer together are shown together
# What all who wait, and all who read, are sent a second together. An update costs Gradio 2 ms of the one
# processor that Python runs on; with a hundred visitors that kept the engine from its answers.
WAITING_UPDATES, WRITING_UPDATES = 20, 40
CLOSING_SECONDS = 60.0  # when one who is refused by a closing page may come back


@dataclass(frozen=True)
class Question:
    """What one visitor asks. `system_prompt` None is the persona's own in `language`, or, where that
    is None, in its first language. `chosen` are the fields of the sampling that the asker named: a
    style's own do not replace them. `whole`: what does not fit is refused, not left out. `tools`: whether
    the answer may use them, where there are any. `visitor` None is one whose rate was looked at already."""

    text: str
    history: tuple[Message, ...] = ()
    style: str | None = None
    system_prompt: str | None = None
    language: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    visitor: str | None = ""
    chosen: frozenset[str] = frozenset()
    whole: bool = False
    tools: bool = False


@dataclass(frozen=True)
class Step:
    """How far an answer is. `text` is the whole answer so far, `used` what tools were used for it;
    `finish` is set on the last step, and there `counts` is what the engine said last."""

    phase: Literal["loading", "in line", "thinking", "writing", "done"]
    text: str = ""
    ahead: int = 0
    seconds: int = 0
    dropped_turns: int = 0
    used: tuple[ToolStep, ...] = ()
    finish: Finish | None = None
    counts: Chunk | None = field(default=None, compare=False)


Item: TypeAlias = Step | str | ToolStep | BaseException  # what the reading thread posts


class AnswerUnderWay(Protocol):
    """What `reply` gives, and an answer with tools: pieces of text, and uses of tools between them."""

    dropped_turns: int
    last: Chunk | None

    def __iter__(self) -> Iterator[str | ToolStep]: ...

    def close(self) -> None: ...


# An answer with tools: persona, engine, history, text, style, sampling, system prompt.
WithTools: TypeAlias = Callable[
    [Persona, Engine, Sequence[Message], str, Style | None, Sampling, str], AnswerUnderWay
]


class Answerer:
    """Answers visitors from one host within the limits, and keeps the account of it."""

    def __init__(
        self,
        host: Host,
        limits: LimitsTable,
        *,
        public: bool,
        keeper: Keeper | None = None,
        stall_seconds: float = OperationsTable().stall_seconds,
        with_tools: WithTools | None = None,
    ):
        self.host = host
        self._with_tools = with_tools
        self._keeper = keeper
        self.limits = limits
        self.gate = Gate(limits.concurrent, limits.queue)
        self.metrics = Metrics(lambda: self.gate.load, host.state)
        self.draining = False
        self._rate = VisitorRate(limits.messages_per_minute) if public else None
        self._stall_seconds = stall_seconds
        self._sign_at = 0.0  # when the engine last gave a sign of life, to whichever answer
        self._under_way = 0

    async def answer(self, question: Question, running: Running) -> AsyncGenerator[Step, None]:
        """The steps of an answer; the last has `finish`. Closing the iterator stops the engine.

        Raises UsageError for a message that cannot be taken, BusyError beyond the limits and when
        the page is closing, EngineError and whatever loading raised.
        """
        account = AnswerAccount()
        self._under_way += 1
        try:
            async with aclosing(self._answer(question, running, account)) as steps:
                async for step in steps:
                    yield step
        except BaseException as error:
            account.failed(error)
            raise
        finally:
            self._under_way -= 1
            if not account.read_by_engine:
                self._ended(account)

    async def _answer(
        self, question: Question, running: Running, account: AnswerAccount
    ) -> AsyncGenerator[Step, None]:
        self._refuse_when_draining()
        question = replace(question, text=checked(question.text, self.limits.message_chars))
        if self._rate and question.visitor is not None:
            self._rate.check(question.visitor)
        place = self.gate.join()
        try:
            async for step in self._turn(place, running):
                yield step
            if running.stopped:
                yield Step("done", finish="cancelled")
                return
            ready = self.host.wait(0)
            yield Step("thinking")
            account.turn()
            account.read_by_engine = True
            async for step in self._read(ready, question, running, place, account):
                yield step
        finally:
            running.stop()
            if not account.read_by_engine:
                place.leave()

    async def _turn(self, place: QueueTicket, running: Running) -> AsyncGenerator[Step, None]:
        """Say what is waited for, until it is the visitor's turn or the visitor stopped."""
        phase_said = ""
        said_at = 0.0
        while not running.stopped:
            self._refuse_when_draining()
            phase = self.host.state().phase
            if phase == "failed":
                return
            if phase in ("loading", "restarting"):
                step = Step("loading")
            elif not place.running:
                step = Step("in line", ahead=place.ahead, seconds=place.expected_wait)
            else:
                return
            now = time.monotonic()
            pause = max(SAY_SECONDS, sum(self.gate.load) / WAITING_UPDATES)
            if phase_said != step.phase or now - said_at > pause:
                phase_said, said_at = step.phase, now
                yield step
            await asyncio.sleep(LOOK_SECONDS)

    async def _read(
        self,
        ready: Ready,
        question: Question,
        running: Running,
        place: QueueTicket,
        account: AnswerAccount,
    ) -> AsyncGenerator[Step, None]:
        """Read the engine on a thread of its own, which gives the place back when it is idle."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Item] = asyncio.Queue()

        def post(item: Item) -> None:
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, item)
            except RuntimeError:  # the server is going down: nobody listens
                running.stop()

        # Not a pool's thread: one that reads a stuck engine may never come back. In this context,
        # where Gradio keeps the request: ZeroGPU asks it whose quota it is.
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._pump, ready, question, running, place, account, post),
            name="answer", daemon=True,
        ).start()  # fmt: skip
        step = Step("thinking")
        shown_at = 0.0
        while step.phase != "done":
            failure: BaseException | None = None
            try:
                pause = max(GATHER_SECONDS, self.gate.load[0] / WRITING_UPDATES)
                items = await self._gathered(pieces, account, shown_at + pause)
            except StuckError:
                self.host.doubt(ready)
                running.abandon()
                place.leave()
                account.read_by_engine = False
                raise
            for item in items:
                if isinstance(item, BaseException):
                    failure = item
                elif isinstance(item, str):
                    step = replace(step, phase="writing", text=step.text + item)
                elif isinstance(item, ToolStep):
                    step = replace(step, used=(*step.used, item))
                else:
                    step = replace(item, text=step.text, used=step.used)
            yield step
            shown_at = time.monotonic()
            if failure:
                raise failure

    async def _gathered(
        self, pieces: asyncio.Queue[Item], account: AnswerAccount, until: float
    ) -> list[Item]:
        """What came: waits for one, and for more `until` then or the end of the answer.

        Raises StuckError when the engine gives no sign to anyone for too long.
        """
        items = [await self._first(pieces, account)]
        while isinstance(items[-1], str) and (left := until - time.monotonic()) > 0:
            items += await next_within(pieces, left)
        while not pieces.empty():
            items.append(pieces.get_nowait())
        return items

    async def _first(self, pieces: asyncio.Queue[Item], account: AnswerAccount) -> Item:
        while True:
            since = time.monotonic() - max(self._sign_at, account.turn_at or 0.0)
            if since > self._stall_seconds:
                raise StuckError(self._stall_seconds)
            if came := await next_within(pieces, self._stall_seconds - since + 0.01):
                return came[0]

    def _pump(
        self,
        ready: Ready,
        question: Question,
        running: Running,
        place: QueueTicket,
        account: AnswerAccount,
        post: Callable[[Item], None],
    ) -> None:
        outcome: Item
        try:
            outcome = self._pumped(ready, question, running, account, post)
            self.host.worked()
        except BaseException as error:
            outcome = error
            account.failed(error)
            if is_engines_fault(error):
                self.host.doubt(ready)
        if account.read_by_engine:
            self._ended(account)
        if account.turn_at is not None:
            place.leave(time.monotonic() - account.turn_at)
        post(outcome)

    def _pumped(
        self,
        ready: Ready,
        question: Question,
        running: Running,
        account: AnswerAccount,
        post: Callable[[Item], None],
    ) -> Step:
        answer, left_out = self._start(ready, question)
        running.attach(answer)
        said = []
        for piece in answer:
            self._sign_at = time.monotonic()
            if isinstance(piece, str):
                account.piece()
                said.append(piece)
            post(piece)
        account.counts(answer.last)
        finish = (answer.last and answer.last.finish) or "stop"
        if finish == "cancelled" and not running.stopped:
            raise engine_closed_under_it()
        self._keep(ready, question, "".join(said), finish)
        dropped = answer.dropped_turns + left_out
        return Step("done", dropped_turns=dropped, finish=finish, counts=answer.last)

    def _ended(self, account: AnswerAccount) -> None:
        self.metrics.count(account)
        account.log()

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise BusyError(messages.CLOSING, CLOSING_SECONDS)

    def drain(self, seconds: float) -> bool:
        """Take no more questions, and wait for the running answers, at most `seconds`; blocks.

        Whether all ended.
        """
        self.draining = True
        deadline = time.monotonic() + seconds
        while self._under_way and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return not self._under_way

    def _keep(self, ready: Ready, question: Question, answer: str, finish: Finish) -> None:
        if self._keeper is None or not answer:
            return
        system = _system(ready, question)
        opening = [Message(role="system", content=system)] if system.strip() else []
        asked = Message(role="user", content=question.text)
        answered = Message(role="assistant", content=answer)
        self._keeper.keep(
            [*opening, *question.history, asked, answered], style=question.style, finish=finish
        )

    def _start(self, ready: Ready, question: Question) -> tuple[AnswerUnderWay, int]:
        """The reply under way, and how many turns were cut before the engine saw them."""
        history: Sequence[Message] = question.history
        if not question.whole:
            most = ready.engine.describe().context_length * CHARS_PER_TOKEN
            history = newest(history, self.limits.history_turns, most)
        left_out = (len(question.history) - len(history)) // 2
        style = ready.persona.style(question.style, question.language)
        asked = (
            ready.persona, ready.engine, history, question.text,
            with_chosen_sampling(style, question.chosen), question.sampling, _system(ready, question),
        )  # fmt: skip
        if self._with_tools and question.tools:
            return self._with_tools(*asked), left_out
        return reply(*asked, whole=question.whole), left_out


def _system(ready: Ready, question: Question) -> str:
    if question.system_prompt is None:
        return ready.persona.system(question.language)
    return question.system_prompt


def answerer_for(
    host: Host, config: Config, *, public: bool, with_tools: WithTools | None = None
) -> Answerer:
    """What answers as `config` says."""
    kept_in = config.serve.keep_conversations
    return Answerer(
        host,
        config.serve.limits,
        public=public,
        keeper=Keeper(config.folder / kept_in) if kept_in else None,
        stall_seconds=config.serve.operations.stall_seconds,
        with_tools=with_tools,
    )


async def next_within(pieces: asyncio.Queue[Item], seconds: float) -> list[Item]:
    """Return the next item in a list, or an empty one if none comes within `seconds`.

    Not by `asyncio.wait_for`: before Python 3.12 it swallows a cancellation that arrives together
    with an item, and an answer that a program had cancelled went on to its end.
    """
    getting = asyncio.ensure_future(pieces.get())
    try:
        await asyncio.wait({getting}, timeout=seconds)
        return [getting.result()] if getting.done() else []
    finally:
        getting.cancel()  # one that is not done takes nothing out of the queue


class MessageTooLongError(UsageError):
    """A message has more characters than `[serve.limits] message_chars`."""


def checked(text: str, limit: int) -> str:
    """The cleaned message. Raises UsageError when nothing is left of it or it is too long."""
    text = cleaned(text).strip()
    if not text:
        raise UsageError(messages.WRITE_SOMETHING)
    if len(text) > limit:
        said = filled(messages.TOO_LONG, count=len(text), limit=limit)
        raise MessageTooLongError(said, messages.SHORTEN)
    return text


def newest(history: Sequence[Message], turns: int, characters: int) -> Sequence[Message]:
    """The newest whole turns, at most `turns` and `characters` together."""
    kept = len(history)
    used = 0
    oldest = max(0, len(history) - 2 * turns)
    while kept - 2 >= oldest:
        used += len(history[kept - 2].content) + len(history[kept - 1].content)
        if used > characters:
            break
        kept -= 2
    return history[kept:]
