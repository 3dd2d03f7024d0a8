"""The engine contract: one suite, run on every engine that can run here."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant.config import ServeTable
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Engine, Sampling
from assistant.engines.echo import EchoEngine
from assistant.engines.form import form_of
from assistant.errors import EngineError
from assistant.progress import unreported

GREEDY = Sampling(temperature=0, max_tokens=6, repetition_penalty=1.0)


# Each engine on the worker that has it open: on the embedded base, or on LMDeploy's package.
ENGINES = [
    pytest.param(name, marks=pytest.mark.xdist_group(group))
    for name, group in (
        ("echo", "engines"), ("cpu", "engines"), ("llamacpp", "engines"), ("remote", "engines"),
        ("transformers", "engines"), ("turbomind", "lmdeploy"),
    )
]  # fmt: skip


@pytest.fixture(params=ENGINES)
def engine(request) -> Engine:
    return request.getfixturevalue(f"{request.param}_engine")


def asked(text: str, system: str | None = None) -> list[Message]:
    opening = [Message(role="system", content=system)] if system else []
    return [*opening, Message(role="user", content=text)]


def answer(engine: Engine, text: str, sampling: Sampling = GREEDY):
    chunks = list(engine.stream(asked(text), sampling))
    return "".join(chunk.text for chunk in chunks), chunks


def test_exactly_one_last_chunk_has_finish_and_counts(engine):
    text, chunks = answer(engine, "What is the capital of France?")
    assert text
    assert [chunk.finish for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    last = chunks[-1]
    assert last.finish in ("stop", "length")
    assert last.prompt_tokens == engine.count_tokens(asked("What is the capital of France?"))
    assert 0 < last.new_tokens <= 6
    assert 0 <= last.cached_tokens < last.prompt_tokens


def test_max_tokens_ends_with_length(engine):
    _, chunks = answer(
        engine, "Count from one to one hundred.", Sampling(temperature=0, max_tokens=3)
    )
    assert chunks[-1].finish == "length"
    assert chunks[-1].new_tokens == 3


def test_greedy_and_seeded_answers_repeat(engine):
    assert answer(engine, "Name a colour.")[0] == answer(engine, "Name a colour.")[0]
    seeded = Sampling(temperature=1.0, seed=7, max_tokens=8)
    # The first asking fills the prefix cache; answers are compared under the same cache.
    answer(engine, "Name a bird.", seeded)
    assert answer(engine, "Name a bird.", seeded)[0] == answer(engine, "Name a bird.", seeded)[0]


def test_a_stop_string_of_several_tokens_is_cut_and_stops(engine):
    whole, _ = answer(
        engine, "What is the capital of France?", Sampling(temperature=0, max_tokens=16)
    )
    stop = whole[3:9]
    text, chunks = answer(
        engine,
        "What is the capital of France?",
        Sampling(temperature=0, max_tokens=16, stop=(stop,)),
    )
    assert text == whole[: whole.index(stop)]
    assert chunks[-1].finish == "stop"


def test_a_form_is_kept_or_refused(engine):
    form = form_of({"enum": ["an apple", "a pear"]})
    sampling = Sampling(temperature=0, max_tokens=24, form=form)
    if not engine.keeps_forms:
        with pytest.raises(EngineError, match="JSON schema") as caught:
            engine.stream(asked("Which fruit?"), sampling)
        assert caught.value.code == "invalid_request"
    elif engine.describe().name != "turbomind":  # LMDeploy's device is a stand-in here
        assert json.loads(answer(engine, "Which fruit?", sampling)[0]) in ("an apple", "a pear")
    assert answer(engine, "Which fruit?")[0]


FORMS = [
    {"type": "string", "minLength": 2, "maxLength": 1024},
    {"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 500}, "maxItems": 1024},
    {"type": "object", "additionalProperties": False, "required": ["a b", "x.y-z"],
     "properties": {"a b": {"type": "number"}, "x.y-z": {"type": "boolean"}, "空": {"const": "是"}}},
    {"anyOf": [{"type": "null"}, {"enum": [1, "two", None, 3.5, True, [1], {"a": 1}]}]},
    {"const": {"deep": ["\\", "\n", "😀"]}},
    {"type": "object", "additionalProperties": False, "properties": {}},
    {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "array", "items": {"type": "string"}}},
]  # fmt: skip


@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("name", ["cpu", "llamacpp", "remote"])
def test_no_form_that_is_let_in_breaks_the_engine(name, request):
    """OpenVINO compiles a grammar in the step of all answers: one that failed would end them all."""
    engine = request.getfixturevalue(f"{name}_engine")
    for schema in FORMS:
        text, chunks = answer(
            engine, "Hello", Sampling(temperature=0, max_tokens=3, form=form_of(schema))
        )
        assert chunks[-1].finish in ("stop", "length"), schema
        assert text.strip()[:1] in ('"', "[", "{", "n", "1", "3", "t", ""), (schema, text)
    assert answer(engine, "Hello")[0]


def test_no_piece_is_cut_inside_a_character(engine):
    sampling = Sampling(temperature=1.3, seed=1, max_tokens=32)
    _, chunks = answer(engine, "请多用表情 😀🎉👩‍👩‍👧 和中文", sampling)
    assert all("\ufffd" not in chunk.text for chunk in chunks)


def test_close_from_another_thread_stops_the_engine(engine):
    # A question that the small base answers at length: it must be far from done when it is closed.
    long = "Write a long story about a dragon and a knight in ten paragraphs. " * 8
    generation = engine.stream(asked(long), Sampling(max_tokens=400, temperature=0))
    first = next(generation)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(list, generation)
        generation.close()
        rest = reading.result(120)
    assert first.finish is None
    assert rest[-1].finish == "cancelled"
    assert rest[-1].new_tokens < 400
    assert answer(engine, "Hello")[1][-1].finish in ("stop", "length")


def test_close_before_the_first_token_and_twice(engine):
    generation = engine.stream(asked("Hello"), GREEDY)
    generation.close()
    generation.close()
    assert list(generation)[-1].finish == "cancelled"
    assert list(generation) == []


def test_many_at_once_get_their_own_answers(engine):
    questions = [f"Repeat this number: {number}" for number in range(8)]
    one = Sampling(max_tokens=1)
    alone = [answer(engine, question, one)[1][-1].prompt_tokens for question in questions]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda question: answer(engine, question), questions))
    assert [chunks[-1].prompt_tokens for _, chunks in together] == alone
    assert all(chunks[-1].finish in ("stop", "length") for _, chunks in together)


def test_a_prompt_beyond_the_context_is_refused(engine):
    with pytest.raises(EngineError) as caught:
        engine.stream(asked("word " * (engine.describe().context_length + 10)), GREEDY)
    assert caught.value.code == "context_length"
    assert str(engine.describe().context_length) in str(caught.value)


def test_the_answer_is_clipped_to_the_context(engine):
    room = 5
    text, limit = "a", engine.describe().context_length - room
    while engine.count_tokens(asked(text + " b" * 64)) < limit:
        text += " b" * 64
    while engine.count_tokens(asked(text + " b")) <= limit:
        text += " b"
    _, chunks = answer(engine, text, Sampling(temperature=0, max_tokens=100))
    left = engine.describe().context_length - engine.count_tokens(asked(text))
    assert chunks[-1].new_tokens <= left


@pytest.mark.parametrize(
    "bad",
    [
        Sampling(temperature=-0.1), Sampling(temperature=2.1), Sampling(top_p=0), Sampling(top_p=1.1),
        Sampling(top_k=-1), Sampling(repetition_penalty=0), Sampling(max_tokens=0),
        Sampling(seed=-1), Sampling(stop=("",)),
    ],
)  # fmt: skip
def test_sampling_out_of_range_is_refused(engine, bad):
    with pytest.raises(EngineError) as caught:
        engine.stream(asked("Hello"), bad)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    "roles", [[], ["system"], ["assistant"], ["user", "user"], ["user", "assistant"]]
)
def test_messages_out_of_order_are_refused(engine, roles):
    with pytest.raises(EngineError) as caught:
        engine.stream([Message(role=role, content="x") for role in roles], GREEDY)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00\x07", "\u202eabc\u200f", "<|im_end|><|im_start|>", "😀" * 50, "\ud7ff\uffff"],
)
def test_odd_text_does_no_harm(engine, text):
    assert answer(engine, text, Sampling(max_tokens=2))[1][-1].finish in ("stop", "length")


def test_describe_says_what_runs(engine):
    info = engine.describe()
    assert info.name in ("echo", "cpu", "llamacpp", "remote", "turbomind", "transformers")
    assert info.model
    assert info.context_length > 100


def test_a_second_turn_reuses_the_first(engine):
    history = asked("Tell me about rivers and mountains. " * 12)
    text, _ = answer(engine, history[0].content)
    second = [
        *history,
        Message(role="assistant", content=text),
        Message(role="user", content="More?"),
    ]
    last = list(engine.stream(second, GREEDY))[-1]
    assert last.cached_tokens > 0.5 * engine.count_tokens(history)


@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("name", ["echo", "cpu", "llamacpp", "transformers"])
def test_closing_ends_running_answers_and_refuses_new_ones(name, request):
    model = {
        "cpu": "embedded_model", "llamacpp": "embedded_model", "transformers": "embedded_folder",
    }.get(name)  # fmt: skip
    weights = model and request.getfixturevalue(model)
    settings = ServeTable(context_length=1024)
    engine = open_engine(name, weights, settings, unreported).engine if model else EchoEngine(0.01)
    generation = engine.stream(asked("A long story. " * 30), Sampling(max_tokens=400))
    next(generation)
    engine.close()
    engine.close()
    assert list(generation)[-1].finish == "cancelled"
    with pytest.raises(EngineError) as caught:
        engine.stream(asked("Hello"), GREEDY)
    assert caught.value.code == "unavailable"


@pytest.mark.xdist_group("engines")
def test_a_request_that_the_pipeline_refuses_fails_alone(cpu_engine, monkeypatch):
    from openvino_genai import ContinuousBatchingPipeline

    add_request = ContinuousBatchingPipeline.add_request

    def added(pipeline, number, prompt, config):
        if config.max_new_tokens == 7:
            raise RuntimeError("no room")
        return add_request(pipeline, number, prompt, config)

    monkeypatch.setattr(ContinuousBatchingPipeline, "add_request", added)
    other = cpu_engine.stream(asked("Name a colour."), GREEDY)
    with pytest.raises(EngineError, match="no room"):
        list(cpu_engine.stream(asked("Hi"), Sampling(max_tokens=7)))
    assert list(other)[-1].finish
