"""One visitor's answer without a browser: limits, line, loading, stop, failures."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import time
from collections.abc import Callable

import pytest

from assistant.config import LimitsTable
from assistant.conversation import Message
from assistant.engines.base import Sampling
from assistant.engines.echo import EchoEngine
from assistant.errors import BlockedError, EngineError, UsageError
from assistant.persona import persona_from_config
from assistant.serving.answerer import (
    Answerer,
    Question,
    Running,
    Step,
    checked,
    newest,
    next_within,
)
from assistant.serving.host import Host
from assistant.serving.limits import BusyError
from assistant.words import Text
from tests.browser.serve import HELD, HELD_AT, PATIENCE, Loading, config_with, loaded

PERSONA = persona_from_config(config_with())


def answerer(
    loading: Loading | None = None, public: bool = False, **limits: int
) -> tuple[Answerer, Host]:
    """An answerer over echo; loaded unless a `loading` that still waits is given."""
    loading = loading or loaded()
    host = Host(lambda report: loading(report, PERSONA), PERSONA)
    host.start()
    if loading.go.is_set() and not loading.error:
        host.wait(PATIENCE)
    return Answerer(host, LimitsTable(**limits), public=public), host


async def steps_of(
    answers: Answerer, question: Question, running: Running | None = None
) -> list[Step]:
    return [step async for step in answers.answer(question, running or Running())]


def ask(answers: Answerer, text: str, **more: object) -> list[Step]:
    return asyncio.run(steps_of(answers, Question(text, **more)))


def test_an_answer_grows_and_ends():
    answers, _ = answerer()
    steps = ask(answers, "hello 你好 👋")
    assert steps[0] == Step("thinking")
    assert steps[-1] == Step("done", text="hello 你好 👋", finish="stop")
    texts = [step.text for step in steps]
    assert all(after.startswith(before) for before, after in itertools.pairwise(texts))
    assert answers.gate.load == (0, 0)


def test_the_engine_is_asked_in_the_visitors_own_context():
    visitor: contextvars.ContextVar[str] = contextvars.ContextVar("visitor")
    seen = []

    class Noting(EchoEngine):
        def _start(self, messages, sampling):
            seen.append(visitor.get("nobody"))
            return super()._start(messages, sampling)

    async def scenario(answers: Answerer) -> None:
        visitor.set("me")
        await steps_of(answers, Question("hello"))

    asyncio.run(scenario(answerer(loaded(Noting(0.001)))[0]))
    assert seen == ["me"]


def test_an_answer_cut_by_its_longest_length_says_so():
    answers, _ = answerer()
    assert ask(answers, "0123456789", sampling=Sampling(max_tokens=4))[-1] == Step(
        "done", text="0123", finish="length"
    )


@pytest.mark.parametrize("text", ["", "  \n\t ", "\x00\x1b\x7f", "\ud800"])
def test_nothing_to_say_is_refused(text: str):
    answers, _ = answerer()
    with pytest.raises(UsageError, match="Write something"):
        ask(answers, text)


def test_a_message_over_the_limit_is_refused_with_both_numbers():
    assert checked("x" * 10, 10) == "x" * 10
    with pytest.raises(UsageError, match="11 characters; at most 10") as refused:
        checked("x" * 11, 10)
    assert "11 个字，最多 10 个" in refused.value.message.zh
    assert refused.value.cure is not None


def test_control_characters_go_and_what_scripts_need_stays():
    text = "a\x00b\x1b[31mc\r\nd\te\x9f‏مرحبا‎ 👩‍🚀"
    assert checked(text, 100) == "ab[31mc\nd\te‏مرحبا‎ 👩‍🚀"


def test_a_message_before_the_model_waits_and_is_then_answered():
    loading = Loading()
    answers, _ = answerer(loading)

    async def scenario() -> list[Step]:
        steps = []
        async for step in answers.answer(Question("early"), Running()):
            steps.append(step)
            if steps == [Step("loading"), Step("loading")]:
                loading.go.set()
        return steps

    steps = asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    assert steps[:2] == [Step("loading"), Step("loading")]
    assert steps[-1] == Step("done", text="early", finish="stop")


def test_a_failed_load_is_the_answers_failure():
    loading = Loading(error=BlockedError(Text("No network.", "没有网络。")))
    loading.go.set()
    answers, host = answerer(loading)
    with pytest.raises(BlockedError, match="No network"):
        host.wait(PATIENCE)
    with pytest.raises(BlockedError, match="No network"):
        ask(answers, "hello")
    assert answers.gate.load == (0, 0)


def test_stop_ends_the_engine_and_keeps_what_was_said():
    answers, _ = answerer()
    running = Running()

    async def scenario() -> list[Step]:
        steps = []
        async for step in answers.answer(Question(HELD + "x" * 500), running):
            steps.append(step)
            if step.text == HELD + "x" * (HELD_AT - len(HELD)):
                running.stop()
        return steps

    last = asyncio.run(asyncio.wait_for(scenario(), PATIENCE))[-1]
    assert (last.finish, len(last.text)) == ("cancelled", HELD_AT)
    assert answers.gate.load == (0, 0)


def test_stop_while_waiting_for_the_model():
    answers, _ = answerer(Loading())
    running = Running()

    async def scenario() -> list[Step]:
        steps = []
        async for step in answers.answer(Question("x"), running):
            steps.append(step)
            running.stop()
        return steps

    steps = asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    assert steps == [Step("loading"), Step("done", finish="cancelled")]
    assert answers.gate.load == (0, 0)


def test_closing_the_iterator_ends_the_engine():
    loading = loaded()
    answers, _ = answerer(loading)

    async def scenario() -> None:
        steps = answers.answer(Question(HELD + "x" * 900), Running())
        async for step in steps:
            if step.text:
                break
        await steps.aclose()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    _eventually(lambda: answers.gate.load == (0, 0))
    assert loading.engine.running == 0


@pytest.mark.parametrize("ticks", range(5))
def test_a_cancellation_that_comes_with_a_piece_is_not_lost(ticks: int):
    async def cancelled() -> bool:
        pieces: asyncio.Queue = asyncio.Queue()
        waiting = asyncio.create_task(next_within(pieces, PATIENCE))
        for _ in range(3):
            await asyncio.sleep(0)
        pieces.put_nowait("piece")
        for _ in range(ticks):
            await asyncio.sleep(0)
        if not waiting.cancel():  # it has returned the piece already
            return waiting.result() == ["piece"]
        await asyncio.wait({waiting})
        return waiting.cancelled()

    assert asyncio.run(cancelled())


def test_what_does_not_come_in_time_takes_nothing_away():
    async def later() -> list:
        pieces: asyncio.Queue = asyncio.Queue()
        assert await next_within(pieces, 0.001) == []
        pieces.put_nowait("piece")
        return await next_within(pieces, PATIENCE)

    assert asyncio.run(later()) == ["piece"]


def test_the_line_is_shown_and_a_full_one_refuses():
    loading = loaded()
    answers, _ = answerer(loading, concurrent=1, queue=1)

    async def until(load: tuple[int, int]) -> None:
        while answers.gate.load != load:
            await asyncio.sleep(0.01)

    async def scenario() -> tuple[list[Step], str]:
        first = asyncio.create_task(steps_of(answers, Question(HELD + "a" * 20)))
        await until((1, 0))
        second = asyncio.create_task(steps_of(answers, Question("b")))
        await until((1, 1))
        with pytest.raises(BusyError) as refused:
            await steps_of(answers, Question("c"))
        loading.engine.go_on()
        await first
        return await second, refused.value.message.en

    steps, said = asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    assert steps[0] == Step("in line", ahead=0, seconds=10)
    assert steps[-1] == Step("done", text="b", finish="stop")
    assert "Too many people" in said


def test_sixteen_at_once_are_all_answered():
    answers, _ = answerer(concurrent=4, queue=16)

    async def scenario() -> list[list[Step]]:
        asked = [steps_of(answers, Question(f"question {number}")) for number in range(16)]
        return await asyncio.wait_for(asyncio.gather(*asked), PATIENCE)

    ended = [steps[-1] for steps in asyncio.run(scenario())]
    assert [step.text for step in ended] == [f"question {number}" for number in range(16)]


def test_the_rate_holds_in_public_only():
    answers, _ = answerer(public=True, messages_per_minute=1)
    ask(answers, "one", visitor="10.0.0.1")
    with pytest.raises(BusyError):
        ask(answers, "two", visitor="10.0.0.1")
    ask(answers, "two", visitor="10.0.0.2")
    owners, _ = answerer(messages_per_minute=1)
    ask(owners, "one")
    ask(owners, "two")


def test_an_unknown_style_is_named():
    answers, _ = answerer()
    with pytest.raises(UsageError, match="nonesuch"):
        ask(answers, "hello", style="nonesuch")
    assert answers.gate.load == (0, 0)


def test_turns_beyond_the_limits_are_left_out_and_counted():
    answers, _ = answerer(history_turns=2)
    history = tuple(
        Message(role=role, content=f"{role} {number}")
        for number in range(5)
        for role in ("user", "assistant")
    )
    assert ask(answers, "now", history=history)[-1].dropped_turns == 3
    assert newest(history, 2, 10_000) == history[6:]
    assert newest(history, 9, 25) == history[8:]
    assert newest(history, 9, 0) == ()
    assert newest((), 9, 100) == ()


def test_a_message_that_does_not_fit_says_so():
    answers, _ = answerer(message_chars=100_000)
    with pytest.raises(EngineError) as refused:
        ask(answers, "x" * 3000)
    assert refused.value.code == "context_length"
    assert answers.gate.load == (0, 0)


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
