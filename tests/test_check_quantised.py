"""Quantised for real: LMDeploy's own AWQ on the CPU, read back, and checked like any other run.

What serves the result here is TurboMind over the stand-in device (turbomind_native), whose answers
are not a model's: figures of answers mean nothing in these tests, the proofs around them do.
"""
# ruff: noqa: F401, F811  (fixtures come by import)

import json
import sys

import pytest
import turbomind_native
from check_fixtures import tiny_project, trained
from click.testing import CliRunner
from train_fixtures import embedded_base, tiny_llama

from assistant.config import ServeTable
from assistant.engines import open_engine
from assistant.errors import BlockedError, EngineError, UsageError
from assistant.models.local import open_local
from assistant.models.weights import quantised_by
from assistant.progress import unreported
from deploy.quantize import Calibration, quantize
from train.__main__ import main
from train.check import measure
from train.check.inputs import read_held_out
from train.check.models import Place, loaded
from train.check.quantised import dequantised
from train.merge import merge

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
    merge(config, config.run_folder)
    how = Calibration(samples=0, device="cpu", group=GROUP)
    run = config.run_folder
    return config, run, quantize(run, run / "merged", how, force=False)


def test_lmdeploys_bits_stand_for_the_merged_weights(quantised):
    import torch
    from safetensors.torch import load_file

    _, run, result = quantised
    assert (quantised_by(result / "merged"), quantised_by(run / "merged")) == ("awq", "")
    packed = load_file(result / "merged" / "model.safetensors")
    assert packed[f"{PACKED}.qweight"].dtype == torch.int32
    whole = dict(dequantised(run.with_name(result.name) / "merged").named_parameters())
    for name, exact in load_file(run / "merged" / "model.safetensors").items():
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
    for folder in (run / "merged", result / "merged"):
        with loaded(folder, Place("cpu", "float32")) as model:
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
    assert "quantised" in (result / "check" / "report.md").read_text("utf-8")
    assert "已量化" in (result / "check" / "report.html").read_text("utf-8")


def test_another_quantisation_is_named(quantised, tmp_path):
    merged = quantised[2] / "merged"
    config = json.loads((merged / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="gptq"):
        dequantised(tmp_path)


def test_without_lmdeploy_it_is_said(quantised, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdeploy.pytorch.backends.default.awq_modules", None)
    with pytest.raises(BlockedError, match="LMDeploy"):
        dequantised(quantised[2] / "merged")


@pytest.mark.parametrize("engine", ["cpu", "transformers"])
def test_engines_that_cannot_read_it_say_who_can(quantised, engine):
    merged = quantised[2] / "merged"
    with pytest.raises(EngineError, match=r"awq.*TurboMind") as caught:
        open_engine(engine, open_local(str(merged), merged), ServeTable(), unreported)
    assert "16-bit" in caught.value.cure.en
