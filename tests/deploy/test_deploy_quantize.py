"""`deploy quantize` up to LMDeploy's own tool, for which a small program stands in here."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.artifacts import Manifest, read_manifest, sha256_of, write_manifest
from assistant.errors import UsageError
from deploy import quantize as stage
from deploy.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"hidden_size": 256, "intermediate_size": 512, "architectures": ["LlamaForCausalLM"]}
# What LMDeploy leaves: weights, a config that says awq, and a tokenizer saved anew.
TOOL = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
out.mkdir(parents=True)
config = {config!r}
(out / "config.json").write_text(json.dumps(config))
(out / "model.safetensors").write_bytes(b"quantised")
(out / "tokenizer.json").write_text("saved anew")
print("LMDeploy talks")
sys.exit({code})
"""
AWQ = {**CONFIG, "quantization_config": {"quant_method": "awq"}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one run, and no LMDeploy unless a test stands one in."""
    (tmp_path / "assistant.toml").write_text((ROOT / "assistant.toml").read_text("utf-8"), "utf-8")
    merged = tmp_path / "runs" / "mine" / "merged"
    merged.mkdir(parents=True)
    (merged / "config.json").write_text(json.dumps(CONFIG))
    (merged / "model.safetensors").write_bytes(b"whole")
    (merged / "tokenizer.json").write_text("proved")
    (merged / "persona.json").write_text("{}")
    write_manifest(merged, Manifest(stage="merge", inputs={"adapter/a.safetensors": "11"},
                                    started="s", finished="f", notes={"base": "b"}))  # fmt: skip
    for name in ("data", "adapter"):
        (tmp_path / "runs" / "mine" / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(main, ["quantize", "mine", *arguments])


def stand_in(monkeypatch, config: dict = AWQ, code: int = 0, check: int = 0) -> list[list[str]]:
    """LMDeploy as a program that leaves `config` and exits with `code`; the check exits with `check`."""
    ran: list[list[str]] = []

    def program(command: list[str]) -> list[str]:
        ran.append(command)
        if command[0] == "lmdeploy":
            return [sys.executable, "-c", TOOL.format(config=config, code=code), *command[1:]]
        return [sys.executable, "-c", f"raise SystemExit({check})"]

    monkeypatch.setattr(stage, "refuse_unready", lambda how: None)
    monkeypatch.setattr(stage, "with_this_python", program)
    return ran


def test_a_dry_run_prints_both_commands_and_does_nothing(project):
    done = run("--dry-run", "--json", "--calib-samples", "64", "--search-scale")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["commands"] == [
        ["lmdeploy", "lite", "auto_awq", "runs/mine/merged", "--work-dir", "runs/mine-awq/merged",
         "--calib-dataset", "wikitext2", "--calib-samples", "64", "--calib-seqlen", "2048",
         "--batch-size", "1", "--search-scale", "--w-bits", "4", "--w-group-size", "128",
         "--device", "cuda", "--dtype", "auto"],
        ["python", "-m", "train", "check", "--run", "mine-awq", "--force", "--config",
         "assistant.toml", "--set", "serve.engine=turbomind"],
    ]  # fmt: skip
    assert sorted(path.name for path in (project / "runs").iterdir()) == ["mine"]


def test_the_result_is_a_run_that_the_check_can_read(project, monkeypatch):
    ran = stand_in(monkeypatch)
    done = run("--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["checked"] is True
    assert [command[:3] for command in ran] == [["lmdeploy", "lite", "auto_awq"], ["python", "-m", "train"]]  # fmt: skip
    out = project / "runs" / "mine-awq"
    assert sorted(path.name for path in out.iterdir()) == ["adapter", "data", "merged"]
    assert (out / "adapter").resolve() == (project / "runs" / "mine" / "adapter").resolve()
    merged = out / "merged"
    assert sorted(path.name for path in merged.iterdir()) == [
        "config.json", "manifest.json", "model.safetensors", "persona.json", "tokenizer.json",
    ]  # fmt: skip
    assert (merged / "tokenizer.json").read_text() == "proved"
    manifest = read_manifest(merged)
    whole = project / "runs" / "mine" / "merged" / "model.safetensors"
    assert manifest.inputs == {
        "adapter/a.safetensors": "11", "merged/model.safetensors": sha256_of(whole),
    }  # fmt: skip
    assert (manifest.stage, manifest.notes) == ("quantize", {"base": "b"})


@pytest.mark.parametrize(("config", "code"), [(AWQ, 1), (CONFIG, 0), ({}, 0)])
def test_what_lmdeploy_left_is_looked_at(project, monkeypatch, config, code):
    stand_in(monkeypatch, config, code)
    done = run()
    assert done.exit_code == 1, done.output
    assert "left no AWQ model" in done.output
    assert sorted(path.name for path in (project / "runs").iterdir()) == ["mine"]


@pytest.mark.parametrize(("check", "code", "says"), [(1, 1, "did not pass"), (3, 3, "was not checked"), (2, 3, "was not checked")])  # fmt: skip
def test_the_checks_own_end_is_said(project, monkeypatch, check, code, says):
    stand_in(monkeypatch, check=check)
    done = run()
    assert done.exit_code == code, done.output
    assert says in done.output


@pytest.mark.parametrize(
    ("gate", "says"),
    [("missing", "never checked"), ("failed", "did not pass"), ("other weights", "other weights")],
)
def test_a_run_whose_own_check_is_in_doubt_is_named_before(project, monkeypatch, gate, says):
    stand_in(monkeypatch)
    if gate != "missing":
        monkeypatch.setattr(stage, "gate_of", lambda run, kind: gate)
    said = run().stderr
    assert says in said
    assert said.index("take from a model") < said.index("Reads runs")
    monkeypatch.setattr(stage, "gate_of", lambda run, kind: "passed")
    assert "take from a model" not in run("--force").stderr


def test_a_result_is_not_overwritten_unasked(project, monkeypatch):
    stand_in(monkeypatch)
    assert run("--no-check").exit_code == 0
    assert run("--no-check").exit_code == 2
    assert run("--no-check", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({**CONFIG, "hidden_size": 576}, "hidden_size = 576"),
        ({**CONFIG, "intermediate_size": 100}, "intermediate_size = 100"),
        (AWQ, "quantised already"),
    ],
)
def test_what_turbomind_could_not_read_is_refused_before(project, config, says):
    (project / "runs" / "mine" / "merged" / "config.json").write_text(json.dumps(config))
    done = run("--dry-run")
    assert done.exit_code == 2
    assert says in done.output


def test_nothing_to_quantise(project):
    done = CliRunner().invoke(main, ["quantize", "other"])
    assert done.exit_code == 2
    assert "python -m train all" in done.output


def test_no_gpu_is_blocked(project, monkeypatch):
    monkeypatch.setattr(stage, "refuse_without_lmdeploy", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    done = run()
    assert done.exit_code == 3
    assert "1 GPU(s) are needed" in done.output


@pytest.mark.parametrize("text", ["null", "[]", "x"])
def test_a_configuration_that_is_no_object_is_said(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="Nothing to quantise"):
        stage.refuse_unfit(tmp_path, stage.Calibration())
