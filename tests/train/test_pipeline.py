"""`train all`: which stages are done anew, by what stands in the run. The stages are stood in for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from assistant.config import Config, read_config
from train.pipeline import train_all
from train.settings import TrainTable

STAGES = ["data", "lint", "fit", "choose", "merge", "check"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "assistant.toml"
    file.write_text('[assistant]\nname = "Bei"\nauthor = "Bo"\nlanguages = ["en"]\n', "utf-8")
    return read_config(file, tables={"train": TrainTable})


def leave(result: Path) -> None:
    """Let a stage's folder be there, or its file."""
    folder = result.parent if result.suffix else result
    folder.mkdir(parents=True, exist_ok=True)
    if result.suffix:
        result.write_text("{}", "utf-8")


@pytest.fixture
def told(config: Config, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stages were told, in order; each leaves in the run what the real one leaves."""
    run, said = config.run, []

    def stage(name: str, result: Path, returned: object = None):
        def call(*_: object, **how: object) -> object:
            said.append(" ".join([name, *sorted(key for key in how if how[key] is True)]))
            leave(result)
            return returned

        return call

    def prepare(*_: object) -> SimpleNamespace:
        plan = SimpleNamespace(text=lambda: "the plan", warnings=())
        parts = dict.fromkeys(("base", "recipe", "persona", "seed"))
        return SimpleNamespace(run=run, work=run.work, adapter=run.adapter, plan=plan, **parts)

    last = SimpleNamespace(notes={"iteration": 8}, inputs={}, started="")
    best = SimpleNamespace(iteration=4), SimpleNamespace(text=lambda: "the best")
    monkeypatch.setattr("train.trainer.fit.prepare", prepare)
    monkeypatch.setattr("train.trainer.prepare.prepare", prepare)
    monkeypatch.setattr("assistant.artifacts.read_manifest", lambda _: last)
    identity = "train.data.identity_set.identity"
    monkeypatch.setattr(f"{identity}.what_is_left_out", lambda _: "in English only")
    for place, call in {
        f"{identity}.make_identity_data": stage("data", run.data),
        "train.data.linting.run.lint_run": stage("lint", run.lint),
        "train.trainer.fit.fit": stage("fit", run.adapter),
        "train.check.choose.choose": stage("choose", run.choice_file, best),
        "train.trainer.adapter.write_adapter": stage("write", run.adapter),
        "train.merge.merge": stage("merge", run.merged),
        "train.check.run.check": stage("check", run.check, "the report"),
    }.items():
        monkeypatch.setattr(place, call)
    return said


def go(config: Config, force: bool = False) -> tuple[list[str], list[str]]:
    """The stages that were done, and what was said."""
    said: list[object] = []
    done = train_all(config, config.run, force=force, report=lambda _: None, say=said.append)
    assert (done.run, done.report, list(done.seconds)) == (config.run, "the report", STAGES)
    return [name for name in STAGES if done.seconds[name] > 0], [str(text) for text in said]


ALL = ["data force", "lint", "fit force", "choose", "write force", "merge force", "check force"]


def test_every_stage_is_done_in_an_empty_run_and_the_check_alone_in_a_whole_one(config, told):
    done, said = go(config)
    assert (done, told) == (STAGES, ALL)
    assert said[0] == "in English only"  # what the data leaves out is said before hours of training
    told.clear()
    done, said = go(config)
    assert (done, told) == (["check"], ["check force"])
    assert [line for line in said if "stands already" in line or "跳过" in line] == said[:-1]
    told.clear()
    go(config, force=True)
    assert told == ALL


@pytest.mark.parametrize(
    ("stands", "done"),
    [
        (["data"], ["lint", "fit force", *ALL[3:]]),
        (["data", "fit"], ["lint", "fit resume", *ALL[3:]]),  # killed while it trained
        (["data", "fit", "adapter"], ALL[3:]),
        (["data", "fit/choice.json", "adapter"], ALL[5:]),
        (["data", "fit/choice.json", "adapter", "merged"], ALL[6:]),
        (["data", "fit", "adapter", "merged"], ALL[3:]),  # another checkpoint: merged anew
        (["data", "adapter", "merged"], ALL[3:]),
        (["fit/choice.json", "adapter", "merged", "check"], ALL),  # the data is gone: all is stale
    ],
)
def test_a_run_goes_on_with_the_first_stage_whose_result_is_missing(config, told, stands, done):
    for name in stands:
        leave(config.run.folder / name)
    go(config)
    assert told == done
