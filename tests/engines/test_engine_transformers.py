"""The transformers engine on the CPU, and what makes its tokens. The engine contract runs on it in
test_engine_contract.py."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_folders import chat_folder

from assistant.config import ServeTable
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Engine, Sampling
from assistant.engines.transformers.engine import TransformersEngine, TransformersSettings
from assistant.engines.transformers.tokens import PREFILL_TOKENS, Made, Order, TokenMaker
from assistant.errors import EngineError
from assistant.models import LocalModel
from assistant.progress import unreported

pytestmark = pytest.mark.xdist_group("engines")
SHORT = [1, 4093, 198, 10576, 359, 346, 47, 2, 198]
LONG = [*SHORT, *range(100, 100 + PREFILL_TOKENS + 40)]  # read in more than one piece
CONVERSATION = [
    Message(role="system", content="你是小贝。"),
    Message(role="user", content="Who are you?\n 😀"),
    Message(role="assistant", content="我是小贝，贝贝的小助手。"),
    Message(role="user", content="the capital of France？"),
]


@pytest.fixture(scope="module")
def llama(tiny_base: Path):
    """A random two-layer Llama in full precision."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)


@pytest.fixture(scope="module")
def mistral():
    """One whose layers forget what is further back than 32 tokens."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, sliding_window=32,
        eos_token_id=2, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    return MistralForCausalLM(config).eval()


def order(prompt: list[int], flag: Path, **changed) -> Order:
    values = {
        "max_tokens": 12, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
        "seed": 7, "cancelled": str(flag),
    }  # fmt: skip
    return Order(prompt, **values | changed)


def made_by(maker: TokenMaker, asked: Order) -> tuple[list[int], int]:
    """All tokens of an answer, and how many of the prompt's were known."""
    made = list(maker(asked))
    return [token for one in made for token in one.tokens], made[0].cached


def by_plain_generate(model, prompt: list[int], **options) -> list[int]:
    import torch

    done = model.generate(
        torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=2, pad_token_id=2, **options
    )  # fmt: skip
    return done[0, len(prompt) :].tolist()


def test_tokens_are_those_of_plain_generate_and_what_is_known_is_not_computed_again(
    llama, tmp_path
):
    maker = TokenMaker(llama, {2})
    prompts = [(SHORT, 0), (SHORT, len(SHORT) - 1), (LONG, len(SHORT)), (SHORT, len(SHORT) - 1)]
    for prompt, known in prompts:
        assert made_by(maker, order(prompt, tmp_path / "x")) == (
            by_plain_generate(llama, prompt),
            known,
        )
    second_turn = [*LONG, *by_plain_generate(llama, LONG), 198, 1, 4093]
    made_by(maker, order(LONG, tmp_path / "x"))
    tokens, known = made_by(maker, order(second_turn, tmp_path / "x"))
    assert tokens == by_plain_generate(llama, second_turn)
    assert len(LONG) < known < len(second_turn)


def test_layers_that_forget_are_computed_anew(mistral, tmp_path):
    maker = TokenMaker(mistral, {2})
    for prompt in (LONG, LONG, [*LONG, 5, 6], SHORT):
        assert made_by(maker, order(prompt, tmp_path / "x")) == (
            by_plain_generate(mistral, prompt),
            0,
        )


def test_sampling_does_what_its_fields_say(llama, tmp_path):
    maker, flag = TokenMaker(llama, {2}), tmp_path / "x"
    greedy = by_plain_generate(llama, SHORT)
    hot = {"temperature": 2.0}
    drawn = [made_by(maker, order(SHORT, flag, seed=seed, **hot))[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and greedy not in drawn
    for certain in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}):
        assert made_by(maker, order(SHORT, flag, **hot | certain))[0] == greedy
    penalised = made_by(maker, order(SHORT, flag, repetition_penalty=1.9))[0]
    assert penalised == by_plain_generate(llama, SHORT, repetition_penalty=1.9) != greedy


def test_a_cancelled_order_ends_and_the_next_one_is_right(llama, tmp_path):
    maker, flag = TokenMaker(llama, {2}), tmp_path / "cancelled"
    made_by(maker, order(SHORT, tmp_path / "x"))
    flag.touch()
    assert list(maker(order(LONG, flag))) == []
    flag.unlink()
    tokens: list[int] = []
    for made in maker(order(SHORT, flag, max_tokens=400)):
        tokens += made.tokens
        flag.touch()
    assert 0 < len(tokens) < 400
    assert made_by(maker, order(LONG, tmp_path / "x"))[0] == by_plain_generate(llama, LONG)


def test_a_failure_is_handed_over_and_the_next_one_is_right(llama, tmp_path):
    maker = TokenMaker(llama, {2})
    made_by(maker, order(SHORT, tmp_path / "x"))
    with pytest.raises(IndexError):
        made_by(maker, order([*SHORT, 10**6], tmp_path / "x"))
    assert made_by(maker, order(SHORT, tmp_path / "x")) == (by_plain_generate(llama, SHORT), 0)


# ---- the engine


@pytest.fixture(scope="module")
def engine(tiny_base: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(tiny_base, "tiny", TransformersSettings(context_length=300))
    yield engine
    engine.close()


def test_the_prompt_is_the_one_that_training_renders(engine, tiny_base):
    from train.base.tokenizer import load_tokenizer
    from train.data.render import prompt_ids

    tokenizer = load_tokenizer(str(tiny_base))
    for length in (2, 4):
        messages = CONVERSATION[:length]
        assert engine.encode(messages) == prompt_ids(tokenizer, messages)


def test_it_says_what_it_is(engine):
    info = engine.describe()
    assert (info.name, info.device, info.context_length) == ("transformers", "CPU", 300)
    assert info.details == {"precision": "float32"}


def test_without_a_seed_answers_are_drawn_anew(engine):
    hot = Sampling(temperature=2.0, max_tokens=12)
    drawn = {"".join(chunk.text for chunk in engine.stream(CONVERSATION, hot)) for _ in range(3)}
    assert len(drawn) == 3


def test_one_that_fails_fails_alone(engine, monkeypatch):
    make = TokenMaker.__call__

    def making(maker: TokenMaker, asked: Order) -> Iterator[Made]:
        if asked.max_tokens == 7:
            raise RuntimeError("out of memory")
        return make(maker, asked)

    monkeypatch.setattr(TokenMaker, "__call__", making)
    with pytest.raises(EngineError, match="out of memory") as caught:
        list(engine.stream(CONVERSATION, Sampling(max_tokens=7)))
    assert caught.value.code == "internal"
    assert list(engine.stream(CONVERSATION, Sampling(max_tokens=3)))[-1].finish


def test_one_answer_at_a_time(engine, monkeypatch):
    make, running, most = TokenMaker.__call__, [], []

    def making(maker: TokenMaker, asked: Order) -> Iterator[Made]:
        running.append(asked)
        most.append(len(running))
        yield from make(maker, asked)
        running.remove(asked)

    monkeypatch.setattr(TokenMaker, "__call__", making)
    under_way = [engine.stream(CONVERSATION, Sampling(max_tokens=5)) for _ in range(4)]
    assert all(list(one)[-1].finish for one in under_way)
    assert most == [1, 1, 1, 1]


def refused(model: LocalModel) -> EngineError:
    with pytest.raises(EngineError) as caught:
        open_engine("transformers", model, ServeTable(), unreported)
    assert caught.value.code == "unavailable" and caught.value.cure is not None
    return caught.value


def test_other_formats_are_refused(embedded_model):
    assert "does not read gguf weights" in str(refused(embedded_model))


def test_pickles_are_not_read(tmp_path, llama):
    import torch

    folder = chat_folder(tmp_path / "pickled", "smollm2")
    torch.save({}, folder / "pytorch_model.bin")
    assert "safetensors" in str(refused(LocalModel("./pickled", folder, "hf")))


def test_code_that_comes_with_weights_is_not_run(tmp_path):
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}
    folder = chat_folder(tmp_path / "own", "smollm2", model_type="own", auto_map=names)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert "cannot load" in str(refused(LocalModel("./own", folder, "hf")))
    assert not (tmp_path / "ran").exists()


def test_a_base_model_cannot_be_talked_with(tmp_path, tiny_base):
    folder = tmp_path / "base"
    folder.mkdir()
    for file in tiny_base.iterdir():
        if file.name == "tokenizer_config.json":
            values = json.loads(file.read_text("utf-8"))
            values.pop("chat_template", None)
            (folder / file.name).write_text(json.dumps(values), "utf-8")
        elif file.suffix != ".jinja":
            (folder / file.name).symlink_to(file)
    assert "no chat template" in str(refused(LocalModel("./base", folder, "hf")))


def test_named_engine(tiny_base):
    model = LocalModel("./tiny", tiny_base, "hf")
    opened = open_engine("transformers", model, ServeTable(context_length=64), unreported)
    engine: Engine = opened.engine
    assert opened.note is None and engine.describe().context_length == 64
    engine.close()


def test_the_work_is_done_in_the_askers_context(engine, monkeypatch):
    visitor: contextvars.ContextVar[str] = contextvars.ContextVar("visitor")
    make, seen = TokenMaker.__call__, []

    def making(maker: TokenMaker, asked: Order) -> Iterator[Made]:
        seen.append(visitor.get("nobody"))
        yield from make(maker, asked)

    monkeypatch.setattr(TokenMaker, "__call__", making)
    for name in ("me", "you"):
        visitor.set(name)
        list(engine.stream(CONVERSATION, Sampling(max_tokens=2)))
    assert seen == ["me", "you"]
