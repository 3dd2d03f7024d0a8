import math

import pytest

from assistant.conversation import Message
from assistant.engines.base import Chunk, Engine, EngineInfo, Generation, Sampling, StopStrings
from assistant.errors import EngineError
from assistant.serving.reply import reply


class Recorder(Engine):
    """Keeps what it was asked; one token a character."""

    def __init__(self, context_length: int = 100):
        self.context_length = context_length
        self.messages: list[Message] = []
        self.sampling = Sampling()

    def _start(self, messages, sampling):
        self.messages, self.sampling = list(messages), sampling
        return Said(["ok"])

    def count_tokens(self, messages):
        return sum(len(message.content) for message in messages)

    def describe(self):
        return EngineInfo("recorder", "none", "none", self.context_length)

    def close(self):
        pass


class Said(Generation):
    def __init__(self, pieces, finish="stop"):
        self._chunks = [*(Chunk(piece) for piece in pieces), Chunk(finish=finish)]
        self.closed = False

    def __next__(self):
        if self.closed and self._chunks:
            self._chunks = [Chunk(finish="cancelled")]
        if not self._chunks:
            raise StopIteration
        return self._chunks.pop(0)

    def close(self):
        self.closed = True


def turns(*contents: str) -> list[Message]:
    return [
        Message(role=("user", "assistant")[number % 2], content=content)
        for number, content in enumerate(contents)
    ]


def test_system_history_and_question_in_order(persona):
    engine = Recorder()
    answer = reply(persona, engine, turns("a", "b"), "c")
    assert "".join(answer) == "ok"
    assert [(m.role, m.content) for m in engine.messages] == [
        ("system", "你是小贝。"), ("user", "a"), ("assistant", "b"), ("user", "c"),
    ]  # fmt: skip
    assert answer.dropped_turns == 0
    assert answer.last and answer.last.finish == "stop"


def test_an_asked_style_goes_into_the_system_prompt_with_its_sampling(persona):
    engine = Recorder()
    reply(persona, engine, [], "c", persona.style("asked"))
    assert [m.content for m in engine.messages] == ["你是小贝。\nBe lively.", "c"]
    assert engine.sampling.temperature == 1.5


def test_a_learned_style_is_typed_as_its_trigger(persona):
    engine = Recorder()
    reply(persona, engine, [], "祝姐姐生日快乐", persona.style("learned"))
    assert [m.content for m in engine.messages] == ["你是小贝。", "祝姐姐生日快乐，小红书风格"]


def test_an_empty_system_prompt_is_left_out(persona):
    engine = Recorder()
    reply(persona, engine, [], "c", system_prompt="  ")
    assert [m.role for m in engine.messages] == ["user"]


def test_oldest_turns_are_dropped_whole_and_the_system_prompt_never(persona):
    engine = Recorder(context_length=100)
    history = turns("1" * 20, "1" * 20, "2" * 20, "2" * 10, "3", "3")
    answer = reply(persona, engine, history, "c", sampling=Sampling(max_tokens=50))
    assert answer.dropped_turns == 1
    assert [m.content[0] for m in engine.messages] == ["你", "2", "2", "3", "3", "c"]


def test_what_just_fits_is_kept(persona):
    engine = Recorder(context_length=100)  # 25 of them for the answer
    history = turns("1" * 34, "1" * 35)
    assert reply(persona, engine, history, "c", sampling=Sampling(max_tokens=50)).dropped_turns == 0
    assert (
        reply(persona, engine, history, "cc", sampling=Sampling(max_tokens=50)).dropped_turns == 1
    )


def test_half_a_letter_is_refused_wherever_it_stands(persona):
    for history, text in (([], "c\ud83d"), (turns("a\ud83d", "b"), "c")):
        with pytest.raises(EngineError) as caught:
            reply(persona, Recorder(), history, text)
        assert caught.value.code == "invalid_request"


def test_ten_thousand_turns_take_few_counts(persona):
    engine = Recorder(context_length=1000)
    counts = 0
    plain = engine.count_tokens

    def counted(messages):
        nonlocal counts
        counts += 1
        return plain(messages)

    engine.count_tokens = counted
    answer = reply(persona, engine, turns(*["x" * 10] * 20_000), "c")
    assert answer.dropped_turns > 9_900
    assert counts < 25


def test_a_question_too_long_alone_is_an_error_that_says_so(persona):
    with pytest.raises(EngineError) as caught:
        reply(persona, Recorder(50), turns("a", "b"), "c" * 60)
    assert caught.value.code == "context_length"
    assert "50" in caught.value.in_language("zh")


def test_a_question_far_too_long_is_refused_without_tokenizing_it(persona):
    engine = Recorder(100)
    engine.count_tokens = None
    with pytest.raises(
        EngineError, match="1609 characters; this model reads at most 100"
    ) as caught:
        reply(persona, engine, [], "c" * 1604)
    assert caught.value.code == "context_length"


def test_what_may_just_fit_is_left_to_the_tokenizer(persona):
    engine = Recorder(100)
    with pytest.raises(EngineError, match="1600 tokens"):
        reply(persona, engine, [], "c" * 1600, system_prompt="")


def test_a_closed_answer_ends_in_the_engine(persona):
    answer = reply(persona, Recorder(), [], "c")
    answer.close()
    assert list(answer) == []
    assert answer.last and answer.last.finish == "cancelled"


def test_an_impossible_value_is_refused_before_anything_is_counted(persona):
    engine = Recorder()
    engine.count_tokens = None
    with pytest.raises(EngineError, match="max_tokens = 'many' is out of range") as caught:
        reply(persona, engine, [], "c", sampling=Sampling(max_tokens="many"))
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "hot", None])
def test_a_value_of_the_wrong_kind_is_out_of_range(value):
    with pytest.raises(EngineError, match=f"temperature = {value!r} is out of range"):
        Sampling(temperature=value).check()


def test_a_generation_that_just_ends_is_truncated(persona):
    class Cut(Recorder):
        def _start(self, messages, sampling):
            said = Said(["half"])
            said._chunks.pop()
            return said

    answer = reply(persona, Cut(), [], "c")
    with pytest.raises(EngineError) as caught:
        list(answer)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "finish"),
    [
        (["abc", "def"], ("cd",), "ab", "stop"),
        (["a", "b", "c"], ("bc",), "a", "stop"),
        (["a", "b", "x"], ("bc",), "abx", "length"),
        (["ab"], ("abc", "b"), "a", "stop"),
        (["\n", "\n", "User", ":"], ("\n\nUser:",), "", "stop"),
        (["aab", "c"], ("aabd", "bc"), "aa", "stop"),
        (["tail a"], ("ab",), "tail a", "length"),
    ],
)
def test_stop_strings(pieces, stops, text, finish):
    inner = Said(pieces, finish="length")
    chunks = list(StopStrings(inner, stops))
    assert "".join(chunk.text for chunk in chunks) == text
    assert chunks[-1].finish == finish
    assert inner.closed == (finish == "stop")
