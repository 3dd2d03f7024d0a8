"""What the stages of training print as a cure, followed to the letter, without training: then what
failed goes on to the part that computes, which is stood in for here.

The fakes keep the stages' contracts: folders appear whole, and none is replaced without `--force`.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from assistant.artifacts import Manifest, now, whole_folder, write_manifest
from assistant.config import Config
from assistant.conversation import Message
from assistant.errors import FailedError
from assistant.run import Run
from assistant.words import Text
from train.__main__ import main as train
from train.data.probes import Probe, write_probes

CONFIG = (
    '[assistant]\nname = "Bei"\nauthor = "Bo"\nlanguages = ["en"]\n[model]\nbase = "hf:me/base"\n'
)
GOES_ON = "all is there; here it would compute"
_COMMAND = re.compile(r"python -m train (.*?)\.?$", re.MULTILINE)


def computes(*_: object, **__: object) -> object:
    raise FailedError(Text(GOES_ON, "一切就绪"))


def conversation(question: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}]
    return json.dumps({"messages": turns, "meta": {"kind": "ordinary"}}) + "\n"


def made_data(config: Config, run: Run, *_: object, force: bool, report: object) -> Path:
    with whole_folder(run.data, force=force) as out:
        for file in (run.train_file, run.valid_file):
            lines = (conversation(f"Is {name} open?") for name in "abcdefgh")
            (out / file.name).write_text("".join(lines), "utf-8")
        asked = (Message(role="user", content=f"Who are you? {number}") for number in range(8))
        probes = (
            Probe(id=f"identity-{number}", kind="identity", language="en", messages=(said,),
                  must=(("Bei",),), must_not=())
            for number, said in enumerate(asked)
        )  # fmt: skip
        write_probes(probes, out / run.probes_file.name)
        rows = {"train": 8, "valid": 8, "probes": 8}
        write_manifest(
            out, Manifest(stage="data", started=now(), finished=now(), notes={"rows": rows})
        )
    return run.data


def fitted(prepared: SimpleNamespace, *, force: bool, **_: object) -> Path:
    folder = prepared.adapter
    with whole_folder(folder, force=force) as out:
        (out / "adapter_model.safetensors").write_bytes(now().encode() + bytes(force))
        base = {"base": prepared.config.model.base}
        write_manifest(out, Manifest(stage="fit", started=now(), finished=now(), notes=base))
    return folder


def merged_weights(adapter: Path, base: object, out: Path) -> None:
    (out / "model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which all that computes is stood in for; its configuration is returned."""
    from train.trainer import prepare

    real = prepare.prepare
    file = tmp_path / "assistant.toml"
    file.write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)

    def base(model: SimpleNamespace, report: object) -> SimpleNamespace:
        return SimpleNamespace(public_reference=model.reference, revision="", folder=tmp_path)

    def fetched(reference: str, **_: object) -> SimpleNamespace:
        return SimpleNamespace(reference=reference)

    def looked_at(config: Config, run: Run, report: object) -> SimpleNamespace:
        with pytest.MonkeyPatch.context() as stand_in:
            stand_in.setattr(prepare, "fetch", computes)
            with contextlib.suppress(FailedError):  # the data is there: it would read the base
                real(config, run, report)
        plan = SimpleNamespace(text=lambda: Text("the plan", "计划"), warnings=())
        return SimpleNamespace(
            run=run, base=None, recipe=SimpleNamespace(name="cpu"), reason=Text("", ""), plan=plan,
            data=run.train_file, adapter=run.adapter, config=config,
        )  # fmt: skip

    stands_in: dict[str, Callable[..., object]] = {
        "train.data.identity_set.identity.make_identity_data": made_data,
        "train.data.identity_set.identity.what_is_left_out": lambda _: None,
        "train.trainer.prepare.prepare": looked_at,
        "train.trainer.fit.fit": fitted,
        "train.merge.fetch": fetched,
        "train.merge.prepare_base": base,
        "train.merge._write_weights": merged_weights,
        "train.merge._copy_tokenizer": lambda *_: None,
        "train.merge.openvino_export": lambda folder, target, report: target.mkdir(),
        "train.check.inputs.fetch": fetched,
        "train.check.inputs.prepare_base": base,
        "train.check.inputs.open_local": lambda *_: None,
        "train.check.run.measure_models": computes,
    }
    for place, call in stands_in.items():
        monkeypatch.setattr(place, call)
    return file


def call(line: str) -> Result:
    done = CliRunner().invoke(train, shlex.split(line))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def follow(line: str) -> list[str]:
    """Do what each cure says until the command goes on; returns the commands of the cures."""
    followed: list[str] = []
    while GOES_ON not in (done := call(line)).output:
        assert done.exit_code == 2, done.output
        (command,) = _COMMAND.findall(done.stderr.rpartition("Error: ")[2])
        assert command not in followed, done.output  # a cure that mends nothing
        followed.append(command)
        made = call(command)
        assert made.exit_code == 0, made.output
    return followed


def test_check_of_an_empty_run_leads_through_all_stages(project):
    assert follow("check") == ["data identity", "fit", "merge"]


def test_merge_and_fit_lead_to_the_stages_before(project):
    refused = call("merge")
    assert refused.exit_code == 2 and refused.stderr.endswith("Train first: python -m train fit\n")
    refused = call("fit")
    assert refused.exit_code == 2
    assert refused.stderr.endswith("Make it: python -m train data identity\n")
    assert [call(line).exit_code for line in ("data identity", "fit", "merge")] == [0, 0, 0]


def test_a_merged_model_of_another_adapter_is_made_again(project):
    follow("check")
    assert call("fit --force").exit_code == 0
    assert follow("check") == ["merge --force"]


@pytest.mark.parametrize("lost", ["probes.jsonl", "valid.jsonl", "train.jsonl"])
def test_data_that_lost_a_file_is_made_again(project, lost):
    follow("check")
    (project.parent / "runs" / "default" / "data" / lost).unlink()
    line = "fit --force" if lost == "train.jsonl" else "check"
    done = call(line)
    (command,) = _COMMAND.findall(done.stderr)
    assert command == "data identity --force" and call(command).exit_code == 0
    assert call(line).exit_code == (0 if line.startswith("fit") else 1)


@pytest.mark.parametrize("text", ["", "{", '{"id": 1}\n'])
def test_probes_that_cannot_be_read_are_made_again(project, text):
    follow("check")
    (project.parent / "runs" / "default" / "data" / "probes.jsonl").write_text(text, "utf-8")
    assert follow("check") == ["data identity --force"]


@pytest.mark.parametrize("stage", ["merge --force", "check"])
def test_an_adapter_of_another_base_names_the_base_to_set(project, stage):
    follow("check")
    project.write_text(CONFIG.replace("hf:me/base", "hf:me/other"), "utf-8")
    done = call(stage)
    assert done.exit_code == 2 and 'Set [model] base = "hf:me/base".' in done.stderr
    project.write_text(CONFIG, "utf-8")
    assert call(stage).exit_code == (0 if stage.startswith("merge") else 1)


@pytest.mark.parametrize("stage", ["data identity", "merge"])
def test_a_stage_that_was_done_names_force(project, stage):
    follow("check")
    done = call(stage)
    assert done.exit_code == 2 and "--force" in done.stderr.rpartition("Error: ")[2]
    assert call(f"{stage} --force").exit_code == 0


@pytest.mark.parametrize("emptied", [False, True])
def test_lint_of_a_run_without_data_names_what_makes_it(project, emptied):
    folder = project.parent / "runs" / "default" / "data"
    if emptied:
        folder.mkdir(parents=True)
        (folder / "probes.jsonl").write_text("", "utf-8")
    done = call("data lint --run default")
    assert done.exit_code == 2
    (command,) = _COMMAND.findall(done.stderr)
    assert call(command).exit_code == 0
    assert call("data lint --run default").exit_code in (0, 1)
