"""A run's folders, what of them is there, and whether its weights are those that a stage was made from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assistant.artifacts import MANIFEST_FILE, Manifest, now, sha256_of, write_manifest
from assistant.config import read_config
from assistant.errors import UsageError
from assistant.models.reference import parse
from assistant.run import ADAPTER, MERGED, Run
from assistant.weights import choose_weights


def run_with(folder: Path, *names: str) -> Run:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return Run(folder)


def test_each_stage_has_its_folder(tmp_path):
    run = Run(tmp_path)
    places = (run.train_file, run.valid_file, run.probes_file, run.lint, run.work, run.adapter, run.merged, run.check, run.staging)  # fmt: skip
    assert [place.relative_to(tmp_path).as_posix() for place in places] == [
        "data/train.jsonl", "data/valid.jsonl", "data/probes.jsonl", "lint", "fit", "adapter",
        "merged", "check", "share",
    ]  # fmt: skip


def test_weights_are_those_of_a_manifest_only_all_and_unchanged(tmp_path):
    one, two = "merged/model-1.safetensors", "merged/model-2.safetensors"
    run = run_with(tmp_path, one, two, "merged/config.json")
    inputs = {name: sha256_of(tmp_path / name) for name in (one, two)}
    assert run.holds(MERGED, inputs | {"data/train.jsonl": "of no concern"})
    assert not run.holds(MERGED, {one: inputs[one]})
    assert not run.holds(MERGED, inputs | {"merged/model-3.safetensors": "more"})
    assert not run.holds(MERGED, {})
    assert not run.holds(ADAPTER, inputs)
    (tmp_path / two).write_bytes(b"trained again")
    assert not run.holds(MERGED, inputs)


ANSWERS = ("exists", "has_data", "is_begun", "is_chosen", "is_fitted", "is_merged")


def test_each_stage_is_there_once_its_result_is(tmp_path):
    run, answered = Run(tmp_path / "r"), []
    for name in (
        "",
        "data/train.jsonl",
        "fit/status.json",
        "adapter/a",
        "fit/choice.json",
        "merged/m",
    ):
        if name:
            run_with(run.folder, name)
        answered.append([answer for answer in ANSWERS if getattr(run, answer)])
    done = ["exists", "has_data", "is_begun"]
    assert answered == [
        [], done[:2], done, [*done, "is_fitted"], [*done, "is_chosen", "is_fitted"], list(ANSWERS),
    ]  # fmt: skip
    assert (str(run), run.name, run.kinds) == (str(tmp_path / "r"), "r", (MERGED, ADAPTER))
    assert run == Run(tmp_path / "r") and run != Run(tmp_path)


def manifest(folder: Path, *inputs: Path) -> None:
    """What a stage leaves in its `folder`, made from `inputs`."""
    folder.mkdir(exist_ok=True)
    known = {f"{file.parent.name}/{file.name}": sha256_of(file) for file in inputs}
    write_manifest(
        folder,
        Manifest(stage="x", inputs=known, started=now(), finished=now()),
    )


def test_a_merge_is_stale_and_a_check_proves_nothing_once_the_weights_are_others(tmp_path):
    run = run_with(tmp_path, "adapter/adapter_model.safetensors", "merged/model.safetensors")
    adapter, merged = run.adapter / "adapter_model.safetensors", run.merged / "model.safetensors"
    with pytest.raises(UsageError):
        _ = run.merged_is_stale
    manifest(run.merged, adapter)
    assert not run.merged_is_stale
    assert [run.check_proves(kind) for kind in (MERGED, ADAPTER)] == [False, False]  # none was made
    manifest(run.check, merged)
    assert [run.check_proves(kind) for kind in (MERGED, ADAPTER)] == [True, True]
    adapter.write_bytes(b"trained again")
    assert run.merged_is_stale
    assert [run.check_proves(kind) for kind in (MERGED, ADAPTER)] == [True, False]
    merged.write_bytes(b"merged again")
    assert [run.check_proves(kind) for kind in (MERGED, ADAPTER)] == [False, False]


def test_the_newer_of_merged_and_exported_adapter_is_served(tmp_path):
    run = run_with(tmp_path, "merged/model.safetensors", "adapter/adapter_model.safetensors")
    assert run.servable is None  # a merge without its manifest was not ended
    manifest(run.merged)
    manifest(run.adapter)
    os.utime(run.merged / "manifest.json", (1, 1))
    assert run.servable == run.merged  # the adapter was not made ready
    (run.adapter / "openvino").mkdir()
    assert run.servable == run.adapter
    os.utime(run.adapter / "manifest.json", (0, 0))
    assert run.servable == run.merged


def test_a_result_is_found_from_wherever_the_configuration_is_named(tmp_path, monkeypatch):
    project = tmp_path / "examples" / "mine"
    run_with(project / "runs" / "default", f"merged/{MANIFEST_FILE}")
    (project / "assistant.toml").write_text('[assistant]\nname = "Bay"\nauthor = "Ada"\n')
    for place, name in ((tmp_path, "examples/mine/assistant.toml"), (project, "assistant.toml"),
                        (tmp_path, str(project / "assistant.toml"))):  # fmt: skip
        monkeypatch.chdir(place)
        config = read_config(Path(name))
        choice = choose_weights(config)
        assert choice.source == "run"
        found = parse(choice.reference, config.folder).path
        assert found is not None
        assert found.samefile(project / "runs" / "default" / "merged")
