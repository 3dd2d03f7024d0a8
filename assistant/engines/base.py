"""The engine contract. Engines know messages and sampling; no Gradio, no styles, no TOML.

`Engine.stream` is the one way in. It checks what every engine must check, lets the engine start
a `Generation`, and cuts stop strings with one shared wrapper.
"""

from __future__ import annotations

import abc
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..conversation import Message, check_order
from ..errors import EngineError
from ..progress import Progress, Report
from ..words import Text
from .form import Form

Finish = Literal["stop", "length", "cancelled"]
LARGEST_TOP_K = 2**31 - 1  # native samplers keep it in 32 bits
GREETING = "Hi"  # what an engine is asked before the first visitor
SHOWN_CHARACTERS = 40  # of a value that is refused

_WHOLE, _NUMBER, _WHOLE_OR_NONE = (int,), (int, float), (int, type(None))
# What each field may be. Kinds too: a program that asks may send anything, and what a native library
# says of a wrong kind would be taken for a fault of the engine.
_RANGES: dict[str, tuple[tuple[type, ...], Callable[[Any], bool], str]] = {
    "max_tokens": (_WHOLE, lambda value: value >= 1, "1, 2, 3…"),
    "temperature": (_NUMBER, lambda value: 0 <= value <= 2, "0…2"),
    "top_p": (_NUMBER, lambda value: 0 < value <= 1, "0…1, 0 excluded"),
    "top_k": (_WHOLE, lambda value: 0 <= value <= LARGEST_TOP_K, "0, 1, 2…"),
    "repetition_penalty": (_NUMBER, lambda value: 0 < value <= 2, "0…2, 0 excluded"),
    "seed": (_WHOLE_OR_NONE, lambda value: value is None or value >= 0, "0, 1, 2…"),
    "stop": ((tuple,), all, "non-empty strings"),
    "form": ((Form, type(None)), lambda _: True, "a form"),
}


@dataclass(frozen=True)
class Sampling:
    """How to pick tokens. Temperature 0 is greedy; top_k 0 and top_p 1 are off."""

    max_tokens: int = 512
    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.05
    seed: int | None = None
    stop: tuple[str, ...] = ()
    # Where it is set, the answer is one JSON value of it. Answers that are kept, under how they were asked
    # for, have none.
    form: Form | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raise EngineError("invalid_request") for a value out of range."""
        for name, (kinds, good, expected) in _RANGES.items():
            value = getattr(self, name)
            if type(value) not in kinds or not good(value):
                shown = repr(value)[:SHOWN_CHARACTERS]
                raise EngineError(
                    "invalid_request",
                    Text(
                        f"{name} = {shown} is out of range (expected {expected}).",
                        f"{name} = {shown} 超出范围（应为 {expected}）。",
                    ),
                )


@dataclass(frozen=True)
class Chunk:
    """A UTF-8-whole piece of text. Only the last one of an answer has `finish` and the counts."""

    text: str = ""
    finish: Finish | None = None
    prompt_tokens: int = 0
    new_tokens: int = 0
    cached_tokens: int = 0  # prompt tokens taken from the prefix cache


@dataclass(frozen=True)
class EngineInfo:
    """What is running: for the page, `ask --json` and the logs."""

    name: str
    device: str
    model: str
    context_length: int
    details: dict[str, str] = field(default_factory=dict)


class Generation(abc.ABC, Iterator[Chunk]):
    """One answer under way.

    Iterating gives chunks; the last one carries `finish`, then the iteration ends. `close` may be
    called at any time from any thread: it stops the work *in the engine*, and a reader then gets
    a last chunk with finish "cancelled". Reading raises EngineError when the engine fails.
    """

    @abc.abstractmethod
    def __next__(self) -> Chunk: ...

    @abc.abstractmethod
    def close(self) -> None: ...


class QueuedGeneration(Generation):
    """One that an engine's own thread fills: what is put in `_outbox` is what the reader gets; an
    error, or a chunk with `finish`, is the last of it."""

    def __init__(self) -> None:
        self._outbox: queue.SimpleQueue[Chunk | EngineError] = queue.SimpleQueue()
        self._ended = False  # the last item was read

    def __next__(self) -> Chunk:
        if self._ended:
            raise StopIteration
        item = self._outbox.get()
        if isinstance(item, EngineError):
            self._ended = True
            raise item
        self._ended = item.finish is not None
        return item


class SettledGeneration(QueuedGeneration):
    """One whose end whoever comes first settles: the engine, or who closes it. A reader who closes
    it has the last chunk at once, however long the engine takes to let go."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._settled = False  # the last item is in the outbox

    def _put(self, text: str) -> None:
        """Hand over a piece of text, unless the end was settled already."""
        with self._lock:
            if text and not self._settled:
                self._outbox.put(Chunk(text))

    def _settle(self, item: Chunk | EngineError) -> bool:
        """Put the last item; False if there was one already."""
        with self._lock:
            if self._settled:
                return False
            self._settled = True
            self._outbox.put(item)
            return True


class Engine(abc.ABC):
    """A loaded model that answers. Thread-safe: many streams may run at once.

    `may_be_tried`: whether a question of nobody's may find out if it still answers.
    `keeps_forms`: whether it can hold an answer to `Sampling.form`.
    """

    may_be_tried = True
    keeps_forms = False

    def _warm_up(self, report: Report) -> None:
        """Answer once, so that the first visitor does not wait while kernels are compiled. An engine
        that cannot is closed, and raises why."""
        report(Progress(Text("Warming up", "正在预热")))
        try:
            hello = [Message(role="user", content=GREETING)]
            for _ in self.stream(hello, Sampling(max_tokens=2, temperature=0)):
                pass
        except BaseException:
            self.close()
            raise

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        """Start an answer to `messages`.

        Raises EngineError: "invalid_request" for messages out of order, sampling out of range or a
        form where the engine keeps none, "context_length" where the prompt leaves no room for one new token.
        """
        sampling.check()
        if sampling.form and not self.keeps_forms:
            raise _keeps_no_form(self.describe().name)
        _check_messages(messages)
        prompt_tokens = self.count_tokens(messages)
        room = self.describe().context_length - prompt_tokens
        if room < 1:
            raise context_length_error(prompt_tokens, self.describe().context_length)
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        generation = self._start(messages, sampling)
        return StopStrings(generation, sampling.stop) if sampling.stop else generation

    @abc.abstractmethod
    def _start(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        """Start an answer; everything common is checked. Stop strings are cut by the caller."""

    @abc.abstractmethod
    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that `messages` become, template and answer prefix included."""

    @abc.abstractmethod
    def describe(self) -> EngineInfo:
        """What is running."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop all answers and free the model. May be called twice."""


def context_length_error(prompt_tokens: int, context_length: int) -> EngineError:
    """The one wording for a prompt that does not fit."""
    return EngineError(
        "context_length",
        Text(
            f"The message and what must go with it are {prompt_tokens} tokens; "
            f"this model reads at most {context_length}.",
            f"这条消息连同必须附带的内容共 {prompt_tokens} 个 token；"
            f"这个模型最多读 {context_length} 个。",
        ),
        Text("Shorten the message.", "请缩短这条消息。"),
    )


def _keeps_no_form(name: str) -> EngineError:
    return EngineError(
        "invalid_request",
        Text(
            f"The engine {name} cannot keep an answer to a form (a JSON schema).",
            f"{name} 引擎不能按给定的格式（JSON schema）回答。",
        ),
    )


def closed_error() -> EngineError:
    """The one wording for an engine that was closed."""
    return EngineError("unavailable", Text("The engine is closed.", "引擎已关闭。"))


def no_chat_template(name: str) -> EngineError:
    """The one wording for a model that cannot be talked with."""
    return EngineError(
        "unavailable",
        Text(
            f"{name} has no chat template: it is a base model, not a chat model.",
            f"{name} 没有对话模板：它是基座模型，不是对话模型。",
        ),
        Text("Choose an instruct or chat model as the base.", "请选用 instruct 或 chat 模型。"),
    )


def _check_messages(messages: Sequence[Message]) -> None:
    try:
        check_order(messages)
    except ValueError as error:
        raise EngineError(
            "invalid_request",
            Text(f"The messages are out of order: {error}.", f"消息的次序不对：{error}。"),
        ) from None
    if messages[-1].role != "user":
        raise EngineError(
            "invalid_request",
            Text("The last message must be the user's.", "最后一条消息必须是用户的。"),
        )


class StopStrings(Generation):
    """Ends a generation where one of several stop strings (of any length) appears.

    Text that might be the start of a stop string is held back until it is known not to be.
    """

    def __init__(self, inner: Generation, stops: Sequence[str]):
        self._inner = inner
        self._stops = stops
        self._held = ""
        self._stopped = False
        self._ended = False

    def __next__(self) -> Chunk:
        if self._ended:
            raise StopIteration
        for chunk in self._inner:
            if self._stopped:
                text = ""
            else:
                text = self._release(self._held + chunk.text, last=chunk.finish is not None)
            if chunk.finish:
                self._ended = True
                finish: Finish = "stop" if self._stopped else chunk.finish
                return replace(chunk, text=text, finish=finish)
            if text:
                return Chunk(text)
        raise EngineError(
            "truncated", Text("The answer ended without saying why.", "回答没有结束标记就中断了。")
        )

    def _release(self, text: str, last: bool) -> str:
        """What of `text` may go out now; the rest is kept in `_held`."""
        found = [place for place in map(text.find, self._stops) if place >= 0]
        if found:
            self._stopped = True
            self._held = ""
            self._inner.close()
            return text[: min(found)]
        keep = 0 if last else max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def close(self) -> None:
        self._inner.close()


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next(
        (
            size
            for size in range(min(len(text), len(stop) - 1), 0, -1)
            if text.endswith(stop[:size])
        ),
        0,
    )
