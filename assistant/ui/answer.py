"""One visitor's answer, from the message to the last piece: limits, line, engine, stop.

No Gradio here. The generator runs on the event loop; only the engine's own reading takes a
thread, so that visitors who wait cost none.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

from ..chat import Reply, reply
from ..config import LimitsTable
from ..conversation import Message
from ..engines.base import Finish, Sampling
from ..errors import UsageError
from ..host import Host, Ready
from ..keeping import Keeper
from ..limits import Gate, Place, VisitorRate
from . import words
from .text import cleaned

LOOK_SECONDS = 0.1  # how often one who waits looks whether the turn has come
SAY_SECONDS = 0.5  # how often it is said anyway, so that a visitor who left is noticed
GATHER_SECONDS = 0.04  # pieces that come closer together are shown together
CHARS_PER_TOKEN = 16  # no text has so many: history beyond it cannot fit and is not even counted


@dataclass(frozen=True)
class Question:
    """What one visitor asks. `system_prompt` None is the persona's own."""

    text: str
    history: tuple[Message, ...] = ()
    style: str | None = None
    system_prompt: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    visitor: str = ""


@dataclass(frozen=True)
class Step:
    """How far an answer is. `text` is the whole answer so far; `finish` is set on the last step."""

    phase: Literal["loading", "in line", "thinking", "writing", "done"]
    text: str = ""
    ahead: int = 0
    seconds: int = 0
    dropped_turns: int = 0
    finish: Finish | None = None


class Running:
    """A visitor's answer under way; `stop` ends it in the engine, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reply: Reply | None = None
        self.stopped = False

    def attach(self, answer: Reply) -> None:
        with self._lock:
            self._reply = answer
            stopped = self.stopped
        if stopped:
            answer.close()

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            answer = self._reply
        if answer is not None:
            answer.close()


class Answerer:
    """Answers visitors from one host within the limits."""

    def __init__(
        self, host: Host, limits: LimitsTable, *, public: bool, keeper: Keeper | None = None
    ):
        self.host = host
        self._keeper = keeper
        self.limits = limits
        self.gate = Gate(limits.concurrent, limits.queue)
        self._rate = VisitorRate(limits.messages_per_minute) if public else None
        self._readers = ThreadPoolExecutor(limits.concurrent, thread_name_prefix="answer")

    async def answer(self, question: Question, running: Running) -> AsyncGenerator[Step, None]:
        """The steps of an answer; the last has `finish`. Closing the iterator stops the engine.

        Raises UsageError for a message that cannot be taken, BusyError beyond the limits,
        EngineError and whatever loading raised.
        """
        question = replace(question, text=checked(question.text, self.limits.message_chars))
        if self._rate:
            self._rate.check(question.visitor)
        place = self.gate.join()
        reading = False
        try:
            async for step in self._turn(place, running):
                yield step
            if running.stopped:
                yield Step("done", finish="cancelled")
                return
            ready = self.host.wait(0)
            yield Step("thinking")
            reading = True
            async for step in self._read(ready, question, running, place):
                yield step
        finally:
            running.stop()
            if not reading:
                place.leave()

    async def _turn(self, place: Place, running: Running) -> AsyncGenerator[Step, None]:
        """Say what is waited for, until it is the visitor's turn or the visitor stopped."""
        said: Step | None = None
        said_at = 0.0
        while not running.stopped:
            phase = self.host.state().phase
            if phase == "failed":
                return
            if phase == "loading":
                step = Step("loading")
            elif not place.running:
                step = Step("in line", ahead=place.ahead, seconds=place.expected_wait)
            else:
                return
            if step != said or time.monotonic() - said_at > SAY_SECONDS:
                said, said_at = step, time.monotonic()
                yield step
            await asyncio.sleep(LOOK_SECONDS)

    async def _read(
        self, ready: Ready, question: Question, running: Running, place: Place
    ) -> AsyncGenerator[Step, None]:
        """Read the engine on a thread of its own, which gives the place back when it is idle."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Step | str | BaseException] = asyncio.Queue()

        def post(item: Step | str | BaseException) -> None:
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, item)
            except RuntimeError:  # the server is going down: nobody listens
                running.stop()

        self._readers.submit(self._pump, ready, question, running, place, post)
        step = Step("thinking")
        while step.phase != "done":
            failure: BaseException | None = None
            for item in await _gathered(pieces):
                if isinstance(item, BaseException):
                    failure = item
                elif isinstance(item, str):
                    step = replace(step, phase="writing", text=step.text + item)
                else:
                    step = replace(item, text=step.text)
            yield step
            if failure:
                raise failure

    def _pump(
        self,
        ready: Ready,
        question: Question,
        running: Running,
        place: Place,
        post: Callable[[Step | str | BaseException], None],
    ) -> None:
        started = time.monotonic()
        outcome: Step | BaseException
        try:
            answer, left_out = self._start(ready, question)
            running.attach(answer)
            dropped = answer.dropped_turns + left_out
            said = []
            for piece in answer:
                said.append(piece)
                post(piece)
            finish = (answer.last and answer.last.finish) or "stop"
            outcome = Step("done", dropped_turns=dropped, finish=finish)
            self._keep(ready, question, "".join(said), finish)
        except BaseException as error:
            outcome = error
        place.leave(time.monotonic() - started)
        post(outcome)

    def _keep(self, ready: Ready, question: Question, answer: str, finish: Finish) -> None:
        if self._keeper is None or not answer:
            return
        system = ready.persona.system_prompt
        if question.system_prompt is not None:
            system = question.system_prompt
        opening = [Message(role="system", content=system)] if system.strip() else []
        asked = Message(role="user", content=question.text)
        answered = Message(role="assistant", content=answer)
        self._keeper.keep(
            [*opening, *question.history, asked, answered], style=question.style, finish=finish
        )

    def _start(self, ready: Ready, question: Question) -> tuple[Reply, int]:
        """The reply under way, and how many turns were cut before the engine saw them."""
        history = newest(
            question.history,
            self.limits.history_turns,
            ready.engine.describe().context_length * CHARS_PER_TOKEN,
        )
        left_out = (len(question.history) - len(history)) // 2
        answer = reply(
            ready.persona, ready.engine, history, question.text,
            ready.persona.style(question.style), question.sampling, question.system_prompt,
        )  # fmt: skip
        return answer, left_out


async def _gathered(pieces: asyncio.Queue) -> list:
    """What came: waits for one, then a moment, so that fast engines do not flood the page."""
    items = [await pieces.get()]
    if isinstance(items[0], str):
        await asyncio.sleep(GATHER_SECONDS)
    while not pieces.empty():
        items.append(pieces.get_nowait())
    return items


def checked(text: str, limit: int) -> str:
    """The cleaned message. Raises UsageError when nothing is left of it or it is too long."""
    text = cleaned(text).strip()
    if not text:
        raise UsageError(words.WRITE_SOMETHING)
    if len(text) > limit:
        raise UsageError(words.filled(words.TOO_LONG, count=len(text), limit=limit), words.SHORTEN)
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
