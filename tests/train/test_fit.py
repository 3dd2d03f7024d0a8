"""`train fit` with XTuner itself on a tiny base: whole runs, kills, and what can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from personas import triggered
from train_fixtures import conversations, project, write_rows

from assistant.config import read_config
from assistant.engines.echo import EchoEngine
from assistant.errors import BlockedError, FailedError, UsageError
from assistant.persona import read_persona
from assistant.records.training_status import read_status
from assistant.serving.reply import reply
from assistant.ui.shown import style_does
from train.base.tokenizer import load_tokenizer
from train.data.dataset import render_file
from train.merge import merge
from train.recipes import all_recipes
from train.settings import TrainTable
from train.trainer.checkpoints import checkpoints
from train.trainer.child import kind_of
from train.trainer.command import command, environment
from train.trainer.config import write_config
from train.trainer.fit import fit
from train.trainer.prepare import prepare
from train.trainer.process import explain
from train.trainer.scalars import read_scalars

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("xtuner")


def prepared(folder: Path, base: Path, rows: int = 32, *sets: str):
    config = project(folder, base, rows, sets)
    return prepare(config, config.run)


def styled(folder: Path, base: Path):
    """A run of eight steps over data of which twenty rows carry a style's trigger."""
    config = project(folder, base)
    rows = [json.loads(row.line()) for row in triggered("，小红书风格", 20)]
    write_rows(config.run, [*conversations(12), *rows])
    return prepare(config, config.run)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, tiny_base):
    """One run of eight steps, killed after its first checkpoint and resumed to its end. A run that
    nobody stops: `make train` in tests/test_readme.py."""
    run = styled(tmp_path_factory.mktemp("whole"), tiny_base)
    killed_after_a_checkpoint(run)
    return run, fit(run, resume=True)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, tiny_base):
    """The same run, begun once and stopped by Ctrl-C half way; how it ended, and what was said while it
    ran."""
    run = styled(tmp_path_factory.mktemp("stopped"), tiny_base)
    said, seen = [], []

    def look(progress) -> None:
        seen.append(progress)
        if (found := checkpoints(run.work)) and found[-1].iteration >= 4:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(FailedError) as caught:
        patch.setattr(
            "train.trainer.fit.LOOK_EVERY", 0.05
        )  # or it may be at its end before the look
        fit(run, report=look, say=said.append)
    return run, caught.value, said, seen


def killed_after_a_checkpoint(run) -> None:
    """Train by the command, killed once a checkpoint and its sample answers are there; then spoil
    what looks like a later one."""
    file = run.run.folder.parent.parent / "assistant.toml"
    command = [sys.executable, "-m", "train", "fit", "--config", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (checkpoints(run.work) and (run.work / "samples.jsonl").is_file()):
        assert process.poll() is None, (run.work / "train.log").read_text("utf-8")[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (run.work / "iter_7.pth").write_bytes(b"PK half a checkpoint")
    wait_until_alone(run.work)
    assert read_status(run.work).state in ("stopped", "done")


def test_a_run_leaves_an_adapter_that_explains_itself(whole_run):
    run, adapter = whole_run
    assert sorted(file.name for file in adapter.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "manifest.json", "persona.json",
    ]  # fmt: skip
    peft = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    assert peft["base_model_name_or_path"] == "tiny"
    assert sorted(peft["target_modules"]) == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip
    assert read_persona(adapter).name == "小贝"
    manifest = json.loads((adapter / "manifest.json").read_text("utf-8"))
    assert manifest["stage"] == "fit"
    assert manifest["notes"]["step"] == 8
    assert str(run.base.folder) not in (adapter / "manifest.json").read_text("utf-8")


def test_a_run_tells_its_progress(whole_run, stopped_run):
    run, _ = whole_run
    assert [one.step for one in read_status(run.work).curve] == list(range(1, 9))
    status = read_status(run.work)
    assert (status.state, status.step, status.steps) == ("done", 8, 8)
    assert status.checkpoints == (2, 4, 6, 8)
    _, _, said, seen = stopped_run
    assert said
    assert seen[-1].done <= seen[-1].total == 8


def test_sample_answers_are_kept(whole_run):
    run, _ = whole_run
    lines = (run.work / "samples.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["step"] for row in rows} == {2, 4, 6, 8}
    assert {row["question"] for row in rows} >= {"Who are you?", "你是谁？"}


def test_the_adapter_loads_in_peft_and_its_model_has_learned_the_data(whole_run):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run, adapter = whole_run
    base = AutoModelForCausalLM.from_pretrained(run.base.folder, dtype=torch.float32)
    samples, _ = render_file(run.data, load_tokenizer(str(run.base.folder)), 512)

    def loss(model) -> float:
        with torch.no_grad():
            losses = [
                model(
                    input_ids=torch.tensor([one.input_ids]), labels=torch.tensor([one.labels])
                ).loss
                for one in samples
            ]
        return float(torch.stack(losses).mean())

    before = loss(base)
    assert loss(PeftModel.from_pretrained(base, adapter)) < before


def test_a_style_that_the_data_taught_is_asked_for_by_its_trigger(whole_run):
    """From the data to what the engine is asked: adapter, merged model, page."""
    run, adapter = whole_run
    config = read_config(
        run.run.folder.parent.parent / "assistant.toml", tables={"train": TrainTable}
    )
    persona = read_persona(merge(config, run.run))
    assert persona == read_persona(adapter)
    style = persona.style("rednote")
    assert style.trained
    assert "trained for this style" in style_does(style, "en")
    engine = Recorder()
    list(reply(persona, engine, [], "祝姐姐生日快乐", style))
    assert engine.asked[-1].content == "祝姐姐生日快乐，小红书风格"
    assert style.prompt not in engine.asked[0].content


class Recorder(EchoEngine):
    """Echo that keeps what it was asked last."""

    def __init__(self):
        super().__init__(0)
        self.asked = []

    def _start(self, messages, sampling):
        self.asked = list(messages)
        return super()._start(messages, sampling)


def test_a_finished_run_is_not_trained_over_unasked(whole_run):
    run, _ = whole_run
    with pytest.raises(UsageError, match="trained already"):
        fit(run)


def test_resuming_a_finished_run_trains_nothing(whole_run):
    run, adapter = whole_run
    before = [one.path.stat().st_mtime_ns for one in checkpoints(run.work)]
    assert fit(run, resume=True) == adapter
    assert [one.path.stat().st_mtime_ns for one in checkpoints(run.work)] == before


def wait_until_alone(work: Path, seconds: float = 300) -> None:
    """Until the training process of `work` has noticed that its parent is gone."""
    deadline = time.monotonic() + seconds
    while training(work):
        assert time.monotonic() < deadline, "the training process outlived the one that watched it"
        time.sleep(0.2)


def training(work: Path) -> bool:
    """Whether a process of that work folder runs."""
    return subprocess.run(["pgrep", "-f", str(work)], capture_output=True).returncode == 0


def test_ctrl_c_leaves_a_run_to_resume(stopped_run):
    run, error, _, _ = stopped_run
    assert "Stopped; saved up to step" in str(error)
    assert read_status(run.work).state == "stopped"
    assert not run.adapter.exists()
    assert not training(run.work)


def test_a_killed_training_resumed_to_the_same_steps_and_loss(whole_run, stopped_run):
    resumed, unbroken = (read_scalars(run.work) for run in (whole_run[0], stopped_run[0]))
    assert [one.iteration for one in resumed] == list(range(1, 9))
    assert [one.iteration for one in unbroken][:4] == list(range(1, 5))
    assert [one.loss for one in resumed[:4]] == pytest.approx(
        [one.loss for one in unbroken[:4]], rel=0.02
    )


def test_a_loss_that_is_no_number_is_said_with_a_cure(tmp_path, tiny_base):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken)
    spoil(broken)
    run = prepared(tmp_path, broken)
    with pytest.raises(FailedError, match="no longer a number") as caught:
        fit(run)
    assert "learning_rate" in caught.value.cure.en
    assert read_status(run.work).state == "failed"
    assert not run.adapter.exists()


def spoil(folder: Path) -> None:
    """Put a NaN into the model's last norm."""
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, file, metadata={"format": "pt"})


def test_a_gpu_recipe_trains_on_the_processor_too(tmp_path, tiny_base):
    """4 bits and gradient checkpointing; what the others change of it: tests/train/test_recipes.py."""
    run = prepared(
        tmp_path, tiny_base, 8, "train.recipe=qlora-8gb", "train.steps=2", "train.accumulation=1"
    )
    assert run.recipe.method == "qlora"
    fit(run)
    assert "load_in_4bit" in (run.work / "train.log").read_text("utf-8")
    assert [one.iteration for one in checkpoints(run.work)] == [2]


def test_missing_data_is_refused(tmp_path, tiny_base):
    config = project(tmp_path, tiny_base)
    (config.run.train_file).unlink()
    with pytest.raises(UsageError, match="no training data"):
        prepare(config, config.run)


def test_empty_data_is_refused(tmp_path, tiny_base):
    config = project(tmp_path, tiny_base)
    write_rows(config.run, [])
    with pytest.raises(UsageError, match="nothing to learn"):
        prepare(config, config.run)


def test_a_base_without_a_chat_template_is_refused(tmp_path, tiny_base):
    silent = tmp_path / "silent"
    shutil.copytree(tiny_base, silent)
    (silent / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="no chat template"):
        prepared(tmp_path, silent)


def test_a_quantised_base_is_refused(tmp_path, tiny_base):
    packed = tmp_path / "packed"
    shutil.copytree(tiny_base, packed)
    config = json.loads((packed / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "awq"}
    (packed / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UsageError, match="quantised"):
        prepared(tmp_path, packed)


def test_a_run_of_another_base_or_data_is_not_resumed(tmp_path, tiny_base):
    run = prepared(tmp_path, tiny_base)
    run.work.mkdir(parents=True)
    run.identity().write(run.work)
    write_rows(run.run, conversations(33))
    with pytest.raises(UsageError, match="training data"):
        fit(run, resume=True)


def test_a_run_folder_that_cannot_be_written_is_said(tmp_path, tiny_base):
    run = prepared(tmp_path, tiny_base)
    run.work.write_text("in the way", encoding="utf-8")
    with pytest.raises(BlockedError, match="Cannot write"):
        fit(run, force=True)


def test_a_full_disk_is_said_before_training(tmp_path, tiny_base, monkeypatch):
    run = prepared(tmp_path, tiny_base)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("train.trainer.fit.shutil.disk_usage", lambda _: usage)
    with pytest.raises(BlockedError, match="are free"):
        fit(run)


def test_training_twice_at_once_is_refused(tmp_path, tiny_base):
    from train.trainer.watch import note

    run = prepared(tmp_path, tiny_base)
    run.work.mkdir(parents=True)
    note(run, "running")
    assert read_status(run.work).pid == os.getpid()
    with pytest.raises(UsageError, match="being trained already"):
        fit(run)


@pytest.mark.parametrize(
    ("error", "kind", "cure"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory", "batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory", "batch_size"),
        (OSError(28, "No space left on device"), "disk", "Free some space"),
        (ValueError("odd"), "other", "whole story"),
    ],
)
def test_failures_are_told_apart(error, kind, cure):
    assert kind_of(error) == kind
    assert cure in explain(kind, str(error), Path("train.log")).cure.en


def test_a_gpu_recipe_goes_as_far_as_the_gpu(tmp_path, tiny_base):
    """Its own config, unchanged: XTuner builds model, data and loop; mixed precision needs the GPU."""
    run = prepared(tmp_path, tiny_base)
    run.work.mkdir()
    job = replace(run.job(), recipe=all_recipes()["qlora-8gb"], dtype="bfloat16")
    process = subprocess.run(
        command(job, write_config(job)), cwd=ROOT, text=True, capture_output=True, timeout=300,
        env=environment(job, 1) | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert process.returncode == 1
    word = json.loads((run.work / "failure.json").read_text("utf-8"))
    assert "only available training on gpu" in word["error"]
    assert "self.optim_wrapper = self.build_optim_wrapper" in process.stderr


@pytest.mark.parametrize("command", [["recipes"], ["recipes", "--json"], ["--help"]])
def test_light_commands_answer_without_torch(command):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "train", *command], cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout
    assert " torch" not in done.stderr
