"""The TurboMind engine on LMDeploy's real package, over a stand-in at the device boundary.

The engine contract runs on it in test_engine_contract.py. No GPU is used: what TurboMind itself
computes, and how fast, is not tested here.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import turbomind_native
from chat_folders import FAMILIES, chat_folder
from turbomind_native import CANCELLED, INPUT_TOO_LONG, OUT_OF_MEMORY, Native

from assistant.config import LimitsTable, ServeTable, TurbomindTable
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Chunk, Sampling
from assistant.engines.form import form_of
from assistant.engines.turbomind import TurbomindEngine, TurbomindSettings, why_not
from assistant.errors import EngineError
from assistant.models.local import LocalModel
from assistant.progress import unreported

pytestmark = pytest.mark.xdist_group("lmdeploy")
ROOT = Path(__file__).resolve().parents[2]
GREEDY = Sampling(temperature=0, max_tokens=200, repetition_penalty=1.0)
CONVERSATION = [
    Message(role="system", content="你是小贝。"),
    Message(role="user", content="Who are you?\n 😀"),
    Message(role="assistant", content="我是小贝，贝贝的小助手。"),
    Message(role="user", content="the capital of France？"),
]
Open = Callable[..., TurbomindEngine]


@pytest.fixture
def native(turbomind_device: Native) -> Iterator[Native]:
    """The stand-in device with its ordinary behaviour, in place while the test runs."""
    turbomind_device.behave()
    with turbomind_native.device(turbomind_device):
        yield turbomind_device
    turbomind_device.behave()


@pytest.fixture
def opened(native: Native, tmp_path: Path) -> Iterator[Open]:
    """Opens engines and closes them after the test."""
    engines: list[TurbomindEngine] = []

    def open_one(family: str = "smollm2", folder: str = "small", **settings) -> TurbomindEngine:
        path = chat_folder(tmp_path / folder, family)
        engines.append(TurbomindEngine(path, family, TurbomindSettings(**settings)))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


def asked(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def whole(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def settles(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


# What LMDeploy and the device are told


def test_every_setting_reaches_the_device(native, tmp_path):
    native.gpus = 2
    folder = chat_folder(tmp_path / "small", "smollm2")
    serve = ServeTable(
        context_length=512,
        turbomind=TurbomindTable(tp=2, cache_share=0.3, kv_bits=8, prefix_caching=False, max_batch=4),
    )  # fmt: skip
    engine = open_engine(
        "turbomind", LocalModel("me/small", folder, "hf"), serve, unreported
    ).engine
    told = native.engines[-1]
    info = engine.describe()
    engine.close()
    assert (told.attn_tp_size, told.mlp_tp_size, told.devices) == (2, 2, [0, 1])
    assert (told.session_len, told.max_batch_size) == (512, 4)
    assert (told.cache_max_block_count, told.quant_policy) == (0.3, 8)
    assert told.enable_prefix_caching is False
    assert (info.name, info.model, info.context_length) == ("turbomind", "small", 512)
    assert info.device == "2 × Stand-in GPU"
    assert info.details["backend"] == "turbomind"


def test_defaults_are_sober_and_the_page_limits_set_the_batch(native, tmp_path):
    folder = chat_folder(tmp_path / "small", "smollm2", context_length=256)
    serve = ServeTable(context_length=4096, limits=LimitsTable(concurrent=5))
    opened = open_engine("turbomind", LocalModel("me/small", folder, "hf"), serve, unreported)
    told = native.engines[-1]
    opened.engine.close()
    assert opened.note is None
    assert (told.session_len, told.max_batch_size) == (256, 5)  # never beyond the model's own
    assert (told.cache_max_block_count, told.quant_policy) == (0.5, 0)
    assert told.enable_prefix_caching is True


@pytest.mark.parametrize(("kv_bits", "policy"), [(16, 0), (8, 8), (4, 4)])
def test_lmdeploy_takes_every_precision_of_the_cache(turbomind_device, kv_bits, policy):
    from assistant.engines.turbomind.settings import engine_config

    assert engine_config(TurbomindSettings(kv_bits=kv_bits), None).quant_policy == policy


@pytest.mark.parametrize("weight_format", ["auto", "hf", "awq", "gptq", "compressed-tensors", "fp8", "mxfp4"])  # fmt: skip
def test_lmdeploy_takes_every_weight_format(turbomind_device, weight_format):
    from lmdeploy.turbomind.converter import _build_quantized_formats, _validate_quant_group_size

    from assistant.engines.turbomind.settings import engine_config

    told = engine_config(TurbomindSettings(weight_format=weight_format), None).model_format
    group = _validate_quant_group_size(told, None)
    assert len(_build_quantized_formats(told, group)) == (weight_format not in ("auto", "hf"))


SAMPLED = Sampling(
    max_tokens=7, temperature=1.3, top_p=0.7, top_k=5, repetition_penalty=1.2, seed=11, stop=("zz",)
)


def test_every_field_of_sampling_reaches_the_device(opened, native):
    assert {field.name for field in dataclasses.fields(Sampling)} == {
        "max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop",
        "form",
    }  # fmt: skip
    engine = opened()
    list(engine.stream(asked("Hello"), SAMPLED))
    told = native.requests[-1]
    assert (told.max_new_tokens, told.random_seed) == (7, 11)
    assert (told.temperature, told.top_p, told.top_k) == (1.3, 0.7, 5)
    assert told.repetition_penalty == 1.2
    end = engine._tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert told.eos_ids == [end]


def test_a_form_is_lmdeploys_response_format(native):
    from assistant.engines.turbomind.settings import generation_config

    asked_for = dataclasses.replace(SAMPLED, form=form_of({"enum": ["yes", "no"]}))
    schema = {"name": "answer", "schema": {"enum": ["yes", "no"]}}
    told = generation_config(asked_for).response_format
    assert told == {"type": "json_schema", "json_schema": schema}
    assert generation_config(SAMPLED).response_format is None


def test_greedy_keeps_the_repetition_penalty_and_off_switches_stay_off(opened, native):
    engine = opened()
    list(engine.stream(asked("Hello"), Sampling(temperature=0, repetition_penalty=1.3, top_k=9)))
    greedy = native.requests[-1]
    list(engine.stream(asked("Hello"), Sampling(temperature=0.5, top_p=1.0, top_k=0, seed=2**70)))
    sampled = native.requests[-1]
    assert (greedy.top_k, greedy.top_p, greedy.repetition_penalty) == (1, 1.0, 1.3)
    assert (sampled.top_k, sampled.top_p) == (0, 1.0)
    assert 0 <= sampled.random_seed < 2**64


def test_the_seed_decides_a_sampled_answer(opened):
    engine = opened()
    texts = [
        whole(
            list(engine.stream(asked("Hello"), Sampling(temperature=1, seed=seed, max_tokens=30)))
        )
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


# The prompt


@pytest.mark.parametrize("family", FAMILIES)
def test_the_device_gets_the_ids_that_training_renders(opened, native, family):
    from train.base.tokenizer import load_tokenizer
    from train.data.render import prompt_ids

    engine = opened(family)
    list(engine.stream(CONVERSATION, Sampling(temperature=0, max_tokens=1)))
    ours = prompt_ids(load_tokenizer(str(engine._engine.model_name)), CONVERSATION)
    assert native.prompts[-1] == ours == engine.encode(CONVERSATION)
    bos = engine._tokenizer.bos_token_id
    assert ours.count(bos) == (bos is not None)


def lmdeploys_own(engine: TurbomindEngine) -> dict:
    """What LMDeploy makes of the messages by itself, as its api_server does."""
    import asyncio

    own = engine._engine.prompt_processor.get_prompt_input(
        [message.model_dump() for message in CONVERSATION], do_preprocess=True
    )
    return asyncio.run_coroutine_threadsafe(own, engine._loop).result(120)


@pytest.mark.parametrize("family", FAMILIES)
def test_lmdeploys_own_template_and_tokenizer_give_the_same(opened, family):
    engine = opened(family)
    theirs = lmdeploys_own(engine)
    assert theirs["prompt"] == engine.render(CONVERSATION)
    assert theirs["input_ids"] == engine.encode(CONVERSATION)


def test_where_lmdeploy_by_itself_adds_a_bos_the_device_gets_none(opened, native, tmp_path):
    """A template without BOS on a tokenizer that adds one: what training never saw."""
    template = chat_folder(tmp_path / "small", "internlm2") / "chat_template.jinja"
    written = template.read_text("utf-8").replace("{{ bos_token }}", "")
    folder = template.parent
    template.write_text(written, "utf-8")
    engine = TurbomindEngine(folder, "small")
    list(engine.stream(CONVERSATION, Sampling(temperature=0, max_tokens=1)))
    theirs = lmdeploys_own(engine)
    engine.close()
    assert written and "bos_token" not in written
    assert theirs["input_ids"] == [engine._tokenizer.bos_token_id, *native.prompts[-1]]


def test_a_path_that_names_another_family_changes_nothing(opened):
    plain, misleading = opened(), opened(folder="vicuna-llama-2-wizardlm")
    assert misleading.encode(CONVERSATION) == plain.encode(CONVERSATION)
    assert type(misleading._engine.chat_template).__name__ == "HFChatTemplate"


def test_every_turn_carries_the_whole_conversation_and_no_session_stays(opened, native):
    engine = opened()
    list(engine.stream(CONVERSATION, GREEDY))
    list(engine.stream(asked("Hello"), GREEDY))
    assert native.prompts[-1] == engine.encode(asked("Hello"))
    assert settles(lambda: not engine._engine.session_mgr.sessions)


# The answer


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_characters_stay_whole_however_many_tokens_come_together(opened, native, at_once):
    engine = opened()
    text = "小贝 😀🎉👩‍👩‍👧 hi 中文"
    native.tokens_per_signal, native.seconds_per_token = at_once, 0.001
    chunks = list(engine.stream(asked(text), GREEDY))
    assert text in whole(chunks)
    assert chunks[-1].finish == "stop"
    assert not any("\ufffd" in chunk.text for chunk in chunks)


def test_a_character_cut_by_the_limit_is_left_out_and_no_more_than_it(opened, native):
    engine = opened()
    text = "abc😀def"
    native.seconds_per_token = 0.0005
    for at_once in (1, 4):
        native.tokens_per_signal = at_once
        for limit in range(1, 30):
            chunks = list(engine.stream(asked(text), Sampling(temperature=0, max_tokens=limit)))
            assert chunks[-1].finish == "length"
            spoken = engine._tokenizer.decode(
                native.prompts[-1][-160:][:limit], skip_special_tokens=True
            ).rstrip("\ufffd")
            assert whole(chunks) == spoken, (at_once, limit)


def test_closing_ends_the_work_on_the_device(opened, native):
    engine = opened()
    native.seconds_per_token = 0.05
    generation = engine.stream(asked("a long story " * 20), Sampling(temperature=0, max_tokens=400))
    next(generation)
    generation.close()
    assert settles(lambda: native.running == 0)
    last = list(generation)[-1]
    assert native.ends[-1] == CANCELLED
    assert (last.finish, last.prompt_tokens) == ("cancelled", len(native.prompts[-1]))
    assert last.new_tokens > 0
    assert list(engine.stream(asked("Hello"), GREEDY))[-1].finish == "stop"


def test_a_stuck_device_does_not_hold_the_one_who_leaves(opened, native):
    engine = opened()
    native.seconds_per_token = 0.05
    generation = engine.stream(asked("a long story " * 20), Sampling(temperature=0, max_tokens=400))
    next(generation)
    native.gate.clear()
    generation.close()
    assert list(generation)[-1].finish == "cancelled"
    assert native.running == 1
    native.gate.set()
    assert settles(lambda: native.running == 0)
    assert native.ends[-1] == CANCELLED


def test_one_who_waits_for_a_place_in_the_batch_can_leave(opened, native):
    engine = opened(max_batch=1)
    before = len(native.prompts)
    native.seconds_per_token = 0.05
    first = engine.stream(asked("a long story " * 20), Sampling(temperature=0, max_tokens=400))
    next(first)
    waiting = engine.stream(asked("never computed"), GREEDY)
    waiting.close()
    assert [chunk.finish for chunk in waiting] == ["cancelled"]
    first.close()
    assert settles(lambda: native.running == 0)
    assert whole(list(engine.stream(asked("Hello"), GREEDY)))
    assert len(native.prompts) == before + 2


def test_many_at_once_share_a_small_batch(opened, native):
    engine = opened(max_batch=4)
    native.most_running = 0
    native.seconds_per_token = 0.001
    questions = [f"number {number} 😀" for number in range(30)]
    with ThreadPoolExecutor(30) as threads:
        answers = list(
            threads.map(lambda text: list(engine.stream(asked(text), GREEDY)), questions)
        )
    assert all(
        question in whole(chunks) for question, chunks in zip(questions, answers, strict=True)
    )
    assert native.most_running == 4


def test_closing_the_engine_ends_its_answers_and_refuses_new_ones(opened, native):
    engine = opened()
    native.seconds_per_token = 0.05
    running = [engine.stream(asked("a long story " * 20), GREEDY) for _ in range(3)]
    for generation in running:
        next(generation)
    engine.close()
    engine.close()
    assert [list(generation)[-1].finish for generation in running] == ["cancelled"] * 3
    assert native.running == 0
    assert native.ends[-3:] == [CANCELLED] * 3
    with pytest.raises(EngineError) as caught:
        engine.stream(asked("Hello"), GREEDY)
    assert caught.value.code == "unavailable"
    running[0].close()


def test_a_stuck_device_does_not_hold_up_the_closing(opened, native, monkeypatch, caplog):
    monkeypatch.setattr("assistant.engines.turbomind.engine.CLOSE_SECONDS", 0.1)
    engine = opened()
    inside = engine._pipeline.internal_thread.thread
    native.seconds_per_token = 0.05
    generation = engine.stream(asked("a long story " * 20), GREEDY)
    next(generation)
    native.gate.clear()
    engine.close()
    assert native.running == 1
    assert "did not let go" in caplog.text
    assert list(generation)[-1].finish == "cancelled"
    native.gate.set()
    assert settles(lambda: native.running == 0)
    assert settles(lambda: not inside.is_alive())


@pytest.mark.parametrize(
    ("state", "code", "cure"),
    [
        (INPUT_TOO_LONG, "context_length", "cache_share"),
        (OUT_OF_MEMORY, "internal", "OUT_OF_MEMORY"),
    ],
)
def test_a_request_that_fails_on_the_device_says_so_and_fails_alone(
    opened, native, state, code, cure
):
    engine = opened()
    native.fails_with = state
    with pytest.raises(EngineError) as caught:
        list(engine.stream(asked("Hello"), GREEDY))
    native.fails_with = 0
    assert caught.value.code == code
    assert cure in caught.value.in_language("en") and cure in caught.value.in_language("zh")
    assert list(engine.stream(asked("Hello"), GREEDY))[-1].finish == "stop"


def test_a_fault_in_lmdeploy_reaches_the_reader(opened, monkeypatch):
    engine = opened()

    async def broken(*_, **__):
        raise OSError("no such thing")

    monkeypatch.setattr(engine._engine, "preprocess", broken)
    with pytest.raises(EngineError, match="no such thing") as caught:
        list(engine.stream(asked("Hello"), GREEDY))
    assert caught.value.code == "internal"


# What stops it


def refusal(weights: Path, **settings) -> EngineError:
    """Why the engine does not open, said in both languages, each with a cure."""
    with pytest.raises(EngineError) as caught:
        TurbomindEngine(weights, "small", TurbomindSettings(**settings))
    assert caught.value.code == "unavailable"
    assert caught.value.exit_code == 3
    assert caught.value.cure is not None
    assert caught.value.in_language("en") != caught.value.in_language("zh")
    return caught.value


def test_no_lmdeploy(native, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdeploy.turbomind", None)
    error = refusal(chat_folder(tmp_path, "smollm2"))
    assert "not installed" in error.message.en
    assert "pip install -r requirements.txt" in error.cure.zh


def test_no_gpu(native, tmp_path):
    native.gpus = 0
    assert "no CUDA device" in refusal(chat_folder(tmp_path, "smollm2")).message.en


def test_more_gpus_wanted_than_there_are(native, tmp_path):
    error = refusal(chat_folder(tmp_path, "smollm2"), tp=4)
    assert "tp = 4" in error.message.en and "Set tp = 1." in error.cure.en


def test_an_architecture_that_turbomind_lacks_is_named_with_those_it_has(native, tmp_path):
    from lmdeploy.turbomind.supported_models import SUPPORTED_ARCHS

    folder = chat_folder(tmp_path, "smollm2", architectures=["Gemma3ForCausalLM"])
    error = refusal(folder)
    assert "Gemma3ForCausalLM" in error.message.zh
    assert len(SUPPORTED_ARCHS) > 10
    assert all(name in error.message.en for name in SUPPORTED_ARCHS)
    told = why_not_with_a_driver(folder)
    assert "Gemma3ForCausalLM" in told.en and "Gemma3ForCausalLM" in told.zh


@pytest.mark.parametrize(
    ("quantised", "settings", "said"),
    [
        ({"quant_method": "bitsandbytes"}, {}, "bitsandbytes"),
        ({"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm"}, {}, "group_size=64"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemv"}, {}, "unsupported quant"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"},
         {"weight_format": "gptq"}, "the weights are 'awq'"),
        (None, {"weight_format": "awq"}, "no quantization_config"),
    ],
)  # fmt: skip
def test_a_wrong_quantisation(native, tmp_path, quantised, settings, said):
    extra = {"quantization_config": quantised} if quantised else {}
    error = refusal(chat_folder(tmp_path, "smollm2", **extra), **settings)
    assert said in error.message.en and said in error.message.zh
    assert "auto_awq" in error.cure.en


def test_awq_weights_are_taken_as_such(native, tmp_path):
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"}
    folder = chat_folder(tmp_path, "smollm2", quantization_config=awq)
    engine = TurbomindEngine(folder, "small")
    assert engine.describe().details["weights"] == "awq"
    engine.close()


@pytest.mark.parametrize("said", ["CUDA runtime error: out of memory", "std::bad_alloc"])
def test_too_little_memory_says_what_to_lower(native, tmp_path, said):
    native.refuses = RuntimeError(f"[TM][ERROR] {said}")
    error = refusal(chat_folder(tmp_path, "smollm2"))
    assert "Not enough GPU memory" in error.message.en
    for word in ("cache_share", "kv_bits", "tp", "context_length", "AWQ"):
        assert word in error.cure.en and word in error.cure.zh


def test_another_failure_of_the_engine_is_passed_on(native, tmp_path):
    native.refuses = RuntimeError("the GPU is too old")
    assert "the GPU is too old" in refusal(chat_folder(tmp_path, "smollm2")).message.en


def test_a_base_model_without_a_chat_template(native, tmp_path):
    folder = chat_folder(tmp_path, "smollm2")
    (folder / "chat_template.jinja").unlink()
    assert "no chat template" in refusal(folder).message.en


@pytest.mark.parametrize("needed", [False, True])
def test_a_models_own_code_is_not_run(native, tmp_path, needed):
    folder, ran = chat_folder(tmp_path / "small", "internlm2"), tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n", "utf-8")
    change(folder / "config.json", auto_map={"AutoConfig": "own.Own"})
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", "own.Own"]},
    )  # fmt: skip
    if needed:
        (folder / "tokenizer.json").unlink()
        assert "code of its own" in refusal(folder).message.en
    else:
        TurbomindEngine(folder, "small").close()
    assert not ran.exists()


def change(file: Path, **values) -> None:
    """Put values into a JSON file; None takes a key out."""
    kept = json.loads(file.read_text("utf-8")) | values
    file.write_text(json.dumps({key: value for key, value in kept.items() if value is not None}))


def test_weights_of_another_kind(native, tmp_path):
    with pytest.raises(EngineError) as caught:
        open_engine("turbomind", LocalModel("x", tmp_path, "gguf"), ServeTable(), unreported)
    assert "gguf" in caught.value.message.zh and "--engine cpu" in caught.value.cure.en


# Another engine in TurboMind's place


def swap_backends(monkeypatch, native: Native) -> None:
    """LMDeploy decides for its PyTorch engine; over the same stand-in device, as that engine's own
    device is CUDA too."""
    import lmdeploy.pytorch.engine
    from lmdeploy import PytorchEngineConfig, TurbomindEngineConfig
    from lmdeploy.turbomind.turbomind import TurboMind

    def pytorch_engine(path, engine_config, **_):
        assert isinstance(engine_config, PytorchEngineConfig)
        same = {name: getattr(engine_config, name) for name in ("session_len", "max_batch_size")}
        engine = TurboMind(path, engine_config=TurbomindEngineConfig(**same))
        engine.engine_config = engine_config
        return engine

    monkeypatch.setattr("lmdeploy.turbomind.supported_models.is_supported", lambda *_, **__: False)
    monkeypatch.setattr(lmdeploy.pytorch.engine.Engine, "from_pretrained", pytorch_engine)
    # TurboMind itself asks, too: the stand-in for the PyTorch engine must not be refused.
    monkeypatch.setattr("lmdeploy.turbomind.turbomind.is_supported", lambda *_, **__: True)


def test_a_named_turbomind_refuses_what_lmdeploy_puts_in_its_place(native, tmp_path, monkeypatch):
    swap_backends(monkeypatch, native)
    error = refusal(chat_folder(tmp_path, "smollm2"))
    assert "pytorch engine instead of TurboMind" in error.message.en
    assert "--engine auto" in error.cure.zh


def test_auto_accepts_it_and_says_so_on_the_page(native, tmp_path, monkeypatch):
    swap_backends(monkeypatch, native)
    monkeypatch.setattr("assistant.engines.turbomind.opening.count_gpus", lambda: 1)
    folder = chat_folder(tmp_path, "smollm2")
    opened = open_engine("auto", LocalModel("me/small", folder, "hf"), ServeTable(), unreported)
    answer = list(opened.engine.stream(asked("Hello"), GREEDY))
    info = opened.engine.describe()
    opened.engine.close()
    assert opened.note is not None
    assert "pytorch" in opened.note.en and "pytorch" in opened.note.zh
    assert info.details["backend"] == "pytorch"
    assert "Hello" in whole(answer)


def test_auto_takes_turbomind_without_a_note(native, tmp_path, monkeypatch):
    monkeypatch.setattr("assistant.engines.turbomind.opening.count_gpus", lambda: 1)
    folder = chat_folder(tmp_path, "smollm2")
    opened = open_engine("auto", LocalModel("me/small", folder, "hf"), ServeTable(), unreported)
    info = opened.engine.describe()
    opened.engine.close()
    assert (opened.note, info.name, info.details["backend"]) == (None, "turbomind", "turbomind")


def why_not_with_a_driver(folder: Path, kind: str = "hf"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assistant.engines.turbomind.opening.count_gpus", lambda: 1)
        return why_not(LocalModel("me/small", folder, kind))


def test_why_not_names_the_first_thing_in_the_way(native, tmp_path, monkeypatch):
    folder = chat_folder(tmp_path, "smollm2")
    assert why_not_with_a_driver(folder) is None
    assert "gguf" in why_not_with_a_driver(folder, "gguf").en
    native.gpus = 0
    assert "PyTorch sees no GPU" in why_not_with_a_driver(folder).en
    monkeypatch.setattr("assistant.engines.turbomind.opening.count_gpus", lambda: 0)
    assert "no GPU" in why_not(LocalModel("me/small", folder, "hf")).en
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "no LMDeploy" in why_not(LocalModel("me/small", folder, "hf")).en


# The same in a process of its own, with nothing in the native module's place

WITHOUT_A_STAND_IN = """
import json, sys
from pathlib import Path
from unittest import mock
from assistant.engines import why_not_turbomind
from assistant.engines.turbomind import TurbomindEngine
from assistant.errors import EngineError
from assistant.models.local import LocalModel

folder = Path(sys.argv[1])
said = {"why": why_not_turbomind(LocalModel("me/small", folder, "hf")).en}
said["light"] = not {"torch", "lmdeploy", "transformers"} & set(sys.modules)

def error():
    try:
        TurbomindEngine(folder, "small")
    except EngineError as error:
        return error.in_language("en")

said["no gpu"] = error()
from lmdeploy.archs import autoget_backend
said["lmdeploy would run"] = autoget_backend(str(folder))
with mock.patch("torch.cuda.is_available", lambda: True), mock.patch("torch.cuda.device_count", lambda: 1):
    said["no native part"] = error()
print(json.dumps(said))
"""


def test_without_a_gpu_the_real_package_says_why(tmp_path):
    folder = chat_folder(tmp_path, "smollm2")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_STAND_IN, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["why"] == "CPU engine (no GPU here)."
    assert said["light"] is True
    assert "no CUDA device" in said["no gpu"]
    assert said["lmdeploy would run"] == "pytorch"
    assert "TurboMind does not load" in said["no native part"]
    assert "requirements.txt" in said["no native part"]
