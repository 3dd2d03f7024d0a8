"""From what a person typed to an answer: system prompt, style, history, and what fits."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from ..conversation import Message
from ..engines.base import Chunk, Engine, EngineError, Generation, Sampling
from ..outside import damaged, not_whole
from ..persona import Persona, Style
from ..words import Text

ROOM_FOR_ANSWER = 0.25  # of the context: history is dropped before an answer has less room
CHARS_PER_TOKEN = 16  # no text has so many: what is longer cannot fit and is not even tokenized


class Reply(Iterator[str]):
    """An answer under way: iterate for its pieces of text.

    `dropped_turns` oldest turns did not fit and were left out. `last` is the closing Chunk
    (finish and token counts) once the iteration has ended. `close` stops it from any thread.
    """

    def __init__(self, generation: Generation, dropped_turns: int):
        self._generation = generation
        self.dropped_turns = dropped_turns
        self.last: Chunk | None = None

    def __next__(self) -> str:
        for chunk in self._generation:
            if chunk.finish:
                self.last = chunk
            if chunk.text:
                return chunk.text
        if self.last is None:
            raise EngineError(
                "truncated",
                Text("The answer ended without saying why.", "回答没有结束标记就中断了。"),
            )
        raise StopIteration

    def close(self) -> None:
        """Stop the answer in the engine."""
        self._generation.close()


def reply(
    persona: Persona,
    engine: Engine,
    history: Sequence[Message],
    text: str,
    style: Style | None = None,
    sampling: Sampling | None = None,
    system_prompt: str | None = None,
    whole: bool = False,
) -> Reply:
    """Start the assistant's answer to `text`.

    `history` is user and assistant messages in turn, oldest first, without a system message.
    `system_prompt` replaces the persona's; an empty one leaves it out. Where the context is too
    short, the oldest turns are dropped whole, never the system prompt; where the history is wanted
    `whole`, that is an error.
    Raises EngineError (see `Engine.stream`).
    """
    system = persona.system_prompt if system_prompt is None else system_prompt
    sampling = styled_sampling(sampling or Sampling(), style)
    sampling.check()
    opening = system_messages(system, style)
    asked = Message(role="user", content=styled_question(text, style))
    _refuse_damaged([*opening, *history, asked])
    _refuse_hopeless(engine, [*opening, *(history if whole else ()), asked])
    dropped = 0 if whole else _turns_to_drop(engine, opening, history, asked, sampling.max_tokens)
    kept = history[2 * dropped :]
    return Reply(engine.stream([*opening, *kept, asked], sampling), dropped)


def system_messages(system_prompt: str, style: Style | None) -> list[Message]:
    """The system message, or none. A style the weights did not learn is asked for here."""
    parts = [system_prompt.strip()]
    if style and not style.trained:
        parts.append(style.prompt)
    content = "\n".join(part for part in parts if part)
    return [Message(role="system", content=content)] if content else []


def styled_question(text: str, style: Style | None) -> str:
    """The user's text; a style that training marked with a trigger gets that trigger."""
    return text + style.trigger if style and style.trained else text


def styled_sampling(sampling: Sampling, style: Style | None) -> Sampling:
    """The style's own temperature and top_p, where it has them."""
    if style is None:
        return sampling
    return replace(
        sampling,
        temperature=sampling.temperature if style.temperature is None else style.temperature,
        top_p=sampling.top_p if style.top_p is None else style.top_p,
    )


def with_chosen_sampling(style: Style | None, chosen: Collection[str]) -> Style | None:
    """The style without its own values for those fields of the sampling that were `chosen`."""
    own = {"temperature", "top_p"} & set(chosen)
    return style and style.model_copy(update=dict.fromkeys(own))


def _refuse_damaged(messages: Sequence[Message]) -> None:
    """Raise EngineError("invalid_request") for half letters: no tokenizer takes them."""
    for message in messages:
        if damaged(message.content):
            said = not_whole(message.content)
            raise EngineError("invalid_request", said.message, said.cure)


def _refuse_hopeless(engine: Engine, needed: list[Message]) -> None:
    """Raise EngineError("context_length") for what is far too long, without tokenizing it: for a megabyte
    the CPU engine holds the interpreter's lock for half a second, and the others wait."""
    context = engine.describe().context_length
    characters = sum(len(message.content) for message in needed)
    if characters > context * CHARS_PER_TOKEN:
        raise EngineError(
            "context_length",
            Text(
                f"The message and what must go with it have {characters} characters; "
                f"this model reads at most {context} tokens.",
                f"这条消息连同必须附带的内容共 {characters} 个字；这个模型最多读 {context} 个 token。",
            ),
            Text("Shorten the message.", "请缩短这条消息。"),
        )


def _turns_to_drop(
    engine: Engine,
    opening: list[Message],
    history: Sequence[Message],
    asked: Message,
    max_tokens: int,
) -> int:
    """The fewest oldest turns (a question and its answer) without which the rest fits; all where it
    does not fit even alone, which the engine then says."""
    context = engine.describe().context_length
    budget = context - max(1, min(max_tokens, int(context * ROOM_FOR_ANSWER)))
    turns = len(history) // 2

    def fits(dropped: int) -> bool:
        return engine.count_tokens([*opening, *history[2 * dropped :], asked]) <= budget

    if fits(0):
        return 0
    return bisect.bisect_left(range(turns), True, lo=1, key=fits)
