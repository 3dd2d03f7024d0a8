"""A run's folders, and whether its weights are those that a stage was made from."""

from __future__ import annotations

from pathlib import Path

from assistant.artifacts import sha256_of
from assistant.run import ADAPTER, MERGED, Run


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
