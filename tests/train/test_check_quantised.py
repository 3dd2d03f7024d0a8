"""Quantised for real: LMDeploy's own AWQ on the CPU, read back, and checked like any other run.

What serves the result here is TurboMind over the stand-in device (turbomind_native), whose answers
are not a model's: figures of answers mean nothing in these tests, the proofs around them do.
"""

import json
import subprocess
import sys

import pytest
import turbomind_native
from check_fixtures import tiny_project, trained
from click.testing import CliRunner
from train_fixtures import tiny_llama

from assistant.config import ServeTable
from assistant.engines import open_engine
from assistant.errors import BlockedError, EngineError, UsageError
from assistant.models.local import open_local
from assistant.models.weights import quantised_by
from assistant.progress import unreported
from deploy.quantize import Calibration, command, quantize
from deploy.serving.start import with_this_python
from train.__main__ import main
from train.check import measure
from train.check.inputs import read_held_out, read_inputs
from train.check.models import Device, loaded
from train.check.quantised import dequantised
from train.merge import merge

pytestmark = pytest.mark.xdist_group("check")

GROUP = 128  # the only one that TurboMind reads
PACKED = "model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def quantised(embedded_base, tmp_path_factory):
    """A merged run and, beside it, what LMDeploy made of it."""
    folder = tmp_path_factory.mktemp("awq")
    base = tiny_llama(embedded_base, folder / "base", GROUP)
    (folder / "project").mkdir()
    config = tiny_project(folder / "project", base)
    trained(config, base, 0.02)
    merge(config, config.run)
    how = Calibration(samples=0, device="cpu", group=GROUP)
    return config, config.run, quantize(config.run, how, force=False)


def test_lmdeploys_bits_stand_for_the_merged_weights(quantised):
    import torch
    from safetensors.torch import load_file

    _, run, result = quantised
    assert (quantised_by(result.merged), quantised_by(run.merged)) == ("awq", "")
    packed = load_file(result.merged / "model.safetensors")
    assert packed[f"{PACKED}.qweight"].dtype == torch.int32
    whole = dict(dequantised(result.merged, torch.float16).named_parameters())
    for name, exact in load_file(run.merged / "model.safetensors").items():
        scales = packed.get(name.replace(".weight", ".scales"))
        if scales is None:
            assert torch.equal(whole[name], exact.half()), name
            continue
        steps = scales.t().float().repeat_interleave(GROUP, dim=1)
        # half a step, and the rounding of the scales themselves, which grows with the number
        allowed = 0.5 * steps + 0.01 * exact.float().abs() + 1e-3 * steps
        assert ((whole[name].float() - exact.float()).abs() <= allowed).all(), name


def test_perplexity_of_the_quantised_model_is_near_the_merged_ones(quantised):
    _, run, result = quantised
    rows = read_held_out(run)[1]
    found = []
    for folder in (run.merged, result.merged):
        with loaded(folder, Device("cpu", "float32")) as model:
            found.append(model.perplexity(rows, None, unreported))
            assert model.stops
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_whole_check_reads_a_quantised_run(quantised, turbomind_device, monkeypatch):
    config, _, result = quantised

    def on_the_stand_in(*given):
        with turbomind_native.device(turbomind_device):
            return open_engine(*given)

    monkeypatch.setattr(measure, "open_engine", on_the_stand_in)
    done = CliRunner().invoke(main, [
        "check", "--config", str(config.file), "--run", result.name, "--json", "-q",
        "--set", "serve.engine=turbomind", "--set", "train.check.max_tokens=8",
        "--set", "train.check.max_tokens_ordinary=8",
    ])  # fmt: skip
    assert done.exit_code == 1, done.output  # a random model knows nothing
    report = json.loads(done.stdout)
    assert report["engine"]["name"] == "turbomind"
    assert report["engine"]["prompts"]["equal"] == report["engine"]["prompts"]["compared"] > 0
    assert report["merge"]["weights"] is None and report["merge"]["answers"] > 0
    gates = {gate["name"] for gate in report["gates"]}
    assert {"identity", "perplexity", "engine"} <= gates
    assert not {"merge", "merge_weights"} & gates
    assert abs(report["general"]["change_percent"]) < 20
    assert "quantised" in (result.check / "report.md").read_text("utf-8")
    assert "已量化" in (result.check / "report.html").read_text("utf-8")


def test_another_quantisation_is_named(quantised, tmp_path):
    merged = quantised[2].merged
    config = json.loads((merged / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="gptq"):
        dequantised(tmp_path, None)


def test_without_lmdeploy_it_is_said(quantised, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdeploy.pytorch.backends.default.awq_modules", None)
    with pytest.raises(BlockedError, match="LMDeploy"):
        dequantised(quantised[2].merged, None)


def test_a_stale_quantised_run_is_told_to_quantise_again(quantised, tmp_path):
    config, run, result = quantised
    file = run.adapter / "adapter_model.safetensors"
    kept = file.read_bytes()
    file.write_bytes(kept + b" ")
    try:
        with pytest.raises(UsageError, match="another adapter") as caught:
            read_inputs(config, result, unreported)
    finally:
        file.write_bytes(kept)
    assert "deploy quantize" in caught.value.cure.en and "deploy quantize" in caught.value.cure.zh


def test_shards_biases_and_sixteen_bit_scales(embedded_base, tmp_path):
    """A Qwen2 with biases and an output layer of its own, its AWQ weights cut into shards that part
    the bits from their scales, which are bfloat16 as LMDeploy writes them on a GPU."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer, GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(embedded_base)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=GROUP, intermediate_size=2 * GROUP,
            num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
            tie_word_embeddings=False, max_position_embeddings=512,
        )
    ).half()  # fmt: skip
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(tensor)
    whole, awq = tmp_path / "whole", tmp_path / "awq"
    model.save_pretrained(whole)
    GenerationConfig(eos_token_id=[2, 1]).save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    how = Calibration(samples=0, device="cpu", group=GROUP)
    subprocess.run(with_this_python(command(whole, awq, how)), check=True)
    GenerationConfig(eos_token_id=[2, 1]).save_pretrained(awq)
    before = dequantised(awq, torch.float32).state_dict()
    packed = load_file(awq / "model.safetensors")
    (awq / "model.safetensors").unlink()
    bits = {name: tensor for name, tensor in packed.items() if name.endswith("qweight")}
    rest = {
        name: tensor.bfloat16() if name.endswith("scales") else tensor
        for name, tensor in packed.items()
        if name not in bits
    }
    save_file(bits, awq / "model-00001-of-00002.safetensors")
    save_file(rest, awq / "model-00002-of-00002.safetensors")
    read = dequantised(awq, torch.bfloat16)
    assert read.dtype == torch.bfloat16 and read.generation_config.eos_token_id == [2, 1]
    assert read.state_dict().keys() == before.keys() == model.state_dict().keys()
    for name, exact in model.state_dict().items():
        if name.replace(".weight", ".qweight") in bits:
            assert torch.allclose(
                read.state_dict()[name].float(), before[name], rtol=0.02, atol=1e-3
            )
        else:
            assert torch.equal(before[name], exact.float()), name


@pytest.mark.parametrize("engine", ["cpu", "transformers"])
def test_engines_that_cannot_read_it_say_who_can(quantised, engine):
    merged = quantised[2].merged
    with pytest.raises(EngineError, match=r"awq.*TurboMind") as caught:
        open_engine(engine, open_local(str(merged), merged), ServeTable(), unreported)
    assert "16-bit" in caught.value.cure.en
