# ruff: noqa: F401, F811  (fixtures come by import)

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_disk import small_disk, why_no_namespace

from assistant.artifacts import (
    Manifest,
    now,
    one_builder,
    read_manifest,
    sha256_of,
    sha256_of_folder,
    whole_file,
    whole_folder,
    write_manifest,
)
from assistant.errors import BlockedError, UsageError

ROOT = Path(__file__).resolve().parents[2]


def test_a_folder_appears_whole_and_is_replaced_only_by_force(tmp_path):
    target = tmp_path / "adapter"
    with whole_folder(target) as partial:
        (partial / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    with pytest.raises(UsageError, match="--force") as caught, whole_folder(target):
        pytest.fail("must not begin")
    assert caught.value.exit_code == 2
    with whole_folder(target, force=True) as partial:
        (partial / "b").write_text("2")
    assert sorted(path.name for path in target.iterdir()) == ["b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_a_failed_folder_leaves_what_was_there(tmp_path):
    target = tmp_path / "merged"
    with whole_folder(target) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(RuntimeError), whole_folder(target, force=True) as partial:
        (partial / "b").write_text("2")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    assert [path.name for path in target.iterdir()] == ["a"]


def test_a_killed_folder_is_never_taken_for_whole(tmp_path):
    target = tmp_path / "merged"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom assistant.artifacts import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'a').write_text('half')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(target)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == ["merged.partial"]
    with whole_folder(target) as partial:
        assert list(partial.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def fill(disk: Path) -> None:
    with (
        pytest.raises(BlockedError, match="No space left") as caught,
        whole_folder(disk / "x") as partial,
    ):
        (partial / "big").write_bytes(os.urandom(1 << 20))
    assert caught.value.exit_code == 3
    with pytest.raises(BlockedError, match="No space left"), whole_file(disk / "f") as out:
        out.write("x" * (1 << 20))
    assert list(disk.iterdir()) == []


def test_a_full_disk_is_said_plainly_and_leaves_nothing(small_disk):
    small_disk.run(fill)


def test_a_full_disk_in_a_namespace_of_its_own(small_disk, monkeypatch):
    """The way of a person who may not mount, taken by whoever runs the tests."""
    if refusal := why_no_namespace():
        pytest.skip(f"this system gives no user namespace: {refusal}")
    monkeypatch.setattr("small_disk.why_not_mounted", lambda: "as if not allowed")
    small_disk.run(fill)
    with pytest.raises(AssertionError, match="No space left on device"):
        small_disk.run(overfill)


def overfill(disk: Path) -> None:
    (disk / "big").write_bytes(bytes(1 << 20))


def test_manifest_round_trip_and_refusal(tmp_path):
    manifest = Manifest(stage="merge", inputs={"a": "0"}, seed=1, started=now(), finished=now())
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="not made by this kit"):
        read_manifest(tmp_path)


def test_sha256_of_a_folder_follows_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = sha256_of_folder(tmp_path)
    (tmp_path / ".hidden").write_text("x")
    assert sha256_of_folder(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_of_folder(tmp_path) != first
    assert sha256_of(tmp_path / "b") == (
        "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )


def test_what_two_want_at_once_is_built_once(tmp_path):
    result, begun, asked, built = tmp_path / "cache" / "model", threading.Event(), [], []

    def build(name: str) -> None:
        asked.append(name)
        with one_builder(result) as missing:
            begun.set()
            if missing:
                while "second" not in asked:  # it builds until the other has come for the same
                    time.sleep(0.01)
                with whole_folder(result):
                    built.append(name)

    first = threading.Thread(target=build, args=("first",), daemon=True)
    first.start()
    assert begun.wait(60)
    build("second")
    first.join(60)
    assert built == ["first"] and result.is_dir()


def test_one_that_failed_leaves_the_building_to_the_next(tmp_path):
    result = tmp_path / "model"
    with pytest.raises(ValueError, match="no"), one_builder(result) as missing:
        raise ValueError("no")
    with one_builder(result) as missing:
        assert missing
