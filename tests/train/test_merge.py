"""`train merge`: what is in the folder, that nothing of the training is lost, and refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from train_fixtures import PERSONA, adapter_in, project

from assistant.conversation import Message
from assistant.engines.base import Sampling
from assistant.engines.cpu.engine import CpuEngine
from assistant.engines.cpu.weights import openvino_weights
from assistant.errors import EngineError, UsageError
from assistant.models.local import open_local
from assistant.persona import read_persona
from assistant.progress import unreported
from assistant.weights import choose_weights
from train.base.folder import TrainingBase
from train.merge import export_adapter, merge, merged_model

pytestmark = pytest.mark.xdist_group("check")


@pytest.fixture
def trained(tmp_path, tiny_base):
    config = project(tmp_path, tiny_base)
    adapter_in(config.run, tiny_base)
    return config


def test_the_merged_folder_is_whole(trained):
    merged = merge(trained, trained.run)
    assert sorted(file.name for file in merged.iterdir()) == [
        "chat_template.jinja", "config.json", "generation_config.json", "manifest.json",
        "model.safetensors", "persona.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert read_persona(merged) == PERSONA
    manifest = json.loads((merged / "manifest.json").read_text("utf-8"))
    assert (manifest["stage"], manifest["seed"]) == ("merge", 42)
    config = json.loads((merged / "config.json").read_text("utf-8"))
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert str(trained.folder) not in (merged / "config.json").read_text("utf-8")


def test_tokenizer_and_stop_tokens_are_the_bases_own(trained, tiny_base):
    merged = merge(trained, trained.run)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if name != "tokenizer_config.json":
            assert (merged / name).read_bytes() == (tiny_base / name).read_bytes()
    generation = json.loads((merged / "generation_config.json").read_text("utf-8"))
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (2, 0)


def test_merged_weights_are_base_plus_adapter_rounded_once(trained, tiny_base):
    import torch
    from safetensors.torch import load_file

    merged = load_file(merge(trained, trained.run) / "model.safetensors")
    base = load_file(tiny_base / "model.safetensors")
    adapter = load_file(trained.run.adapter / "adapter_model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    a, b = (adapter[f"base_model.model.{name}.lora_{part}.weight"].float() for part in "AB")
    expected = base[f"{name}.weight"].float() + 2.0 * (b @ a)
    got = merged[f"{name}.weight"]
    assert got.dtype == torch.bfloat16
    assert (got.float() - expected).abs().max() <= expected.abs().max() * 2**-7
    untouched = "model.embed_tokens.weight"
    assert torch.equal(merged[untouched], base[untouched])


def test_merged_answers_as_the_adapter_does(trained, tiny_base):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = trained.run.adapter
    merged = merge(trained, trained.run)
    ids = torch.arange(100, 130)[None]
    loaded = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    beside = PeftModel.from_pretrained(base, adapter)
    with torch.no_grad():
        difference = (loaded(ids).logits - beside(ids).logits).abs().max()
        size = beside(ids).logits.abs().max()
    assert difference < 0.02 * size


def test_the_base_keeps_its_own_dtype(trained, tiny_base):
    import torch

    model = merged_model(trained.run.adapter, tiny_base)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_the_export_lies_beside_the_weights_and_reads_the_same_template(exported):
    import openvino_genai
    from transformers import AutoTokenizer

    folder = exported / "openvino"
    assert (folder / "openvino_model.xml").is_file()
    theirs = openvino_genai.Tokenizer(str(folder))
    ours = AutoTokenizer.from_pretrained(exported)
    messages = [{"role": "user", "content": "你是谁？"}]
    text = theirs.apply_chat_template(messages, add_generation_prompt=True)
    assert text == ours.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = theirs.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
    assert ids == ours(text, add_special_tokens=False)["input_ids"]
    assert theirs.get_eos_token_id() == ours.eos_token_id


def test_an_adapter_alone_is_served_by_the_export_of_what_a_merge_writes(
    tmp_path, tiny_base, exported, monkeypatch
):  # fmt: skip
    config = project(tmp_path, tiny_base)
    adapter = adapter_in(config.run, tiny_base)
    with pytest.raises(EngineError, match="without its base"):
        openvino_weights(open_local(str(adapter), adapter), unreported)
    given = {}

    def export(folder: Path, target: Path, report: object) -> None:
        given.update({file.name: file.read_bytes() for file in folder.iterdir()})
        shutil.copytree(exported / "openvino", target)

    monkeypatch.setattr("train.merge.openvino_export", export)
    export_adapter(adapter, TrainingBase(tiny_base, "tiny"))

    of_the_merge_alone = {"manifest.json", "persona.json", "openvino"}
    assert given.keys() == {file.name for file in exported.iterdir()} - of_the_merge_alone
    assert [name for name in given if given[name] != (exported / name).read_bytes()] == []
    assert choose_weights(config) == (str(adapter), "run")
    assert sorted(file.name for file in config.run.folder.iterdir()) == ["adapter", "data"]
    weights = openvino_weights(open_local(str(adapter), adapter), unreported)
    assert weights.path == adapter / "openvino"
    engine = CpuEngine(weights.path, adapter.name, weights.context_length)
    greedy = Sampling(temperature=0, max_tokens=4, repetition_penalty=1.0)
    said = list(engine.stream([Message(role="user", content="Hi")], greedy))
    engine.close()
    assert said[-1].new_tokens == 4


def test_no_adapter_is_refused(tmp_path, tiny_base):
    config = project(tmp_path, tiny_base)
    with pytest.raises(UsageError, match="no adapter"):
        merge(config, config.run)


def test_a_merged_model_is_not_replaced_unasked(trained):
    first = merge(trained, trained.run)
    with pytest.raises(UsageError, match="is there already"):
        merge(trained, trained.run)
    assert merge(trained, trained.run, force=True) == first
    assert not list(trained.run.folder.glob("merged.*"))


def test_an_adapter_of_another_base_is_refused(tmp_path, tiny_base):
    config = project(tmp_path, tiny_base)
    adapter_in(config.run, tiny_base, name="hf:other/base")
    with pytest.raises(UsageError, match="trained on hf:other/base"):
        merge(config, config.run)
