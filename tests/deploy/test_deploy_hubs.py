"""Sharing to the three hubs with their real clients: round trips, nothing sent twice, verification."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from servers.listening import nobody_listens, wait_until
from servers.sharing import Fault, Gate, ShareServer
from servers.sharing.xet import lots, noted, stored_bytes
from sharing_fixtures import (
    ROOT,
    TARGETS,
    TOKENS,
    clean_environment,
    command,
    deploy,
    deploy_json,
    files_of,
    hub,
    made_by_hand,
    make_run,
    plain_lfs,
    project,
    shape_of,
    shared,
)

from assistant.errors import BlockedError, FailedError, UsageError
from assistant.run import Run
from deploy.sharing.verify_published import status_of_shared, verify_shared

RUN = Path("runs") / "default"


def sent(project: Path) -> dict[str, bytes]:
    """What should lie on the hub: the allowed files of the merged model."""
    never = (
        ".cache",
        ".env",
        "optimizer.pt",
        "pytorch_model.bin",
        "train.log",
        "training_args.bin",
    )
    found = files_of(project / RUN / "merged")
    return {path: data for path, data in found.items() if not path.startswith(never)}


def on_hub(hub: ShareServer) -> dict[str, bytes]:
    found = hub.files("model", "me/bei")
    return {
        path: data for path, data in found.items() if path not in ("README.md", ".gitattributes")
    }


@pytest.mark.parametrize("target", TARGETS)
def test_a_round_trip_is_equal_and_a_second_one_sends_nothing(hub, project, target):
    made_by_hand(hub, target)
    first = deploy_json(project, "model", "--to", target, "--yes", process=True)["shared"][0]
    assert on_hub(hub) == sent(project)
    assert (first["visibility"], first["check"], hub.repo("model", "me/bei").private) == (
        "private",
        "passed",
        True,
    )
    written, received = len(hub.writes()), hub.received
    again = deploy_json(project, "model", "--to", target, "--yes")["shared"][0]
    assert (len(hub.writes()), hub.received) == (written, received)
    assert again["commit"] == first["commit"]
    assert "all as sent" in deploy(project, "verify", "--download").stdout
    record = (project / RUN / "deploy.json").read_text()
    assert TOKENS["me"] not in record and str(project) not in record


def test_plain_lfs_in_parts(hub: ShareServer, project, plain_lfs):
    hub.multipart = True
    deploy(project, "model", "--to", "hf:me/bei", "--yes")
    assert on_hub(hub) == sent(project)
    assert [one for one in hub.log if one.endswith("/complete")]


def test_xet_is_used_where_it_is_there(hub: ShareServer, project):
    deploy(project, "model", "--to", "hf:me/bei", "--yes", process=True)
    assert hub.received == 0 and stored_bytes(hub.store.xet) > 2 << 20


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_changed_is_sent(hub, project, plain_lfs, target):
    made_by_hand(hub, target)
    shared(project, target)
    received = hub.received
    (project / RUN / "merged" / "generation_config.json").write_text('{"do_sample": false}')
    plan, _ = shared(project, target)
    assert [file.path for file in plan.to_send] == ["generation_config.json"]
    assert hub.received == received and on_hub(hub) == sent(project)


@pytest.mark.parametrize("target", TARGETS)
def test_a_public_repository_is_not_used_for_a_private_model(hub, project, plain_lfs, target):
    branch = "master" if target.startswith("modelscope") else "main"
    hub.store.create("model", "me/bei", False, branch)
    with pytest.raises(UsageError, match="public, and you asked for private"):
        shared(project, target)
    assert hub.writes() == [] and hub.received == 0
    plan, result = shared(project, target, private=False)
    assert plan.visibility == result.visibility == "public"


@pytest.mark.parametrize("target", TARGETS[:2])
def test_a_hub_that_makes_it_public_all_the_same_gets_nothing(hub, project, plain_lfs, target):
    hub.all_public = True
    with pytest.raises(UsageError, match="public, and you asked for private"):
        shared(project, target)
    assert hub.received == 0 and hub.files("model", "me/bei") == {}


@pytest.mark.parametrize("target", TARGETS)
def test_private_stays_private(hub, project, plain_lfs, target):
    made_by_hand(hub, target)
    shared(project, target)
    plan, _ = shared(project, target, private=False)
    assert hub.repo("model", "me/bei").private
    assert any("stays so" in one.en for one in plan.warnings)


def test_openxlab_wants_a_person_first(hub: ShareServer, project):
    done = deploy(project, "model", "--to", "openxlab:me/bei", "--yes", check=3)
    assert "1. Sign in at https://openxlab.org.cn/models" in done.stderr and "4. " in done.stderr


def test_git_attributes_come_along_and_keep_what_was_made_by_hand(hub, project, plain_lfs):
    made_by_hand(hub, TARGETS[2])
    repo = hub.repo("model", "me/bei")
    hub.store.commit(
        repo, {".gitattributes": b"*.png binary\n", "notes.txt": b"mine"}, [], "by hand"
    )
    plan, _ = shared(project, TARGETS[2])
    found = hub.files("model", "me/bei")
    lines = found[".gitattributes"].decode().splitlines()
    assert (
        lines[0] == "*.png binary" and "*.safetensors filter=lfs diff=lfs merge=lfs -text" in lines
    )
    assert found["notes.txt"] == b"mine" and plan.left_there == ("notes.txt",)


@pytest.mark.parametrize("target", TARGETS)
def test_verify_finds_what_is_not_as_sent(hub, project, plain_lfs, target):
    made_by_hand(hub, target)
    shared(project, target)
    hub.store.rehash("model", "me/bei", "model.safetensors")
    ((_, found),) = verify_shared(Run(project / RUN), (), None)
    assert [(one.path, one.problem) for one in found] == [("model.safetensors", "differs")]
    done = deploy(project, "verify", check=1)
    assert "model.safetensors: differs" in done.stderr
    assert (
        deploy_json(project, "verify", check=1)["verified"][0]["mismatches"][0]["path"]
        == "model.safetensors"
    )
    hub.store.commit(hub.repo("model", "me/bei"), {}, ["config.json"], "x")
    ((_, found),) = verify_shared(Run(project / RUN), (), None)
    assert [one.problem for one in found] == ["missing", "differs"]
    assert [state for _, state, _ in status_of_shared(Run(project / RUN), None)] == ["changed"]
    shared(project, target)
    assert verify_shared(Run(project / RUN), (), None)[0][1] == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_byte_that_the_hub_lost_is_found_by_downloading(hub, project, plain_lfs, target):
    made_by_hand(hub, target)
    shared(project, target)
    hub.store.flip("model", "me/bei", "model.safetensors")
    assert verify_shared(Run(project / RUN), (), None)[0][1] == []
    ((_, found),) = verify_shared(Run(project / RUN), (), None, download=True)
    assert [one.problem for one in found] == ["damaged"]


def test_status_says_gone_unknown_and_offline(hub, project, plain_lfs, monkeypatch):
    shared(project, "hf:me/bei")

    def states(**more):
        return [state for _, state, _ in status_of_shared(Run(project / RUN), None, **more)]

    assert states() == ["same"] and states(offline=True) == ["not asked"]
    del hub.store.repos["model", "me/bei"]
    assert states() == ["gone"]
    with nobody_listens() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert states() == ["unknown"]
    assert "was shared" in deploy(project, "status", "--offline").stdout


def test_three_hubs_with_one_command(hub: ShareServer, project):
    hub.store.create("model", "me/ox", True)
    to = [
        part
        for name in ("hf:me/bei", "modelscope:me/ms", "openxlab:me/ox")
        for part in ("--to", name)
    ]
    done = deploy_json(project, "model", *to, "--yes", process=True)
    assert [one["target"] for one in done["shared"]] == [
        "hf:me/bei",
        "modelscope:me/ms",
        "openxlab:me/ox",
    ]
    assert len({json.dumps(one["files"]["model.safetensors"]) for one in done["shared"]}) == 1


def test_two_processes_do_not_share_the_same_thing_at_once(hub, project, plain_lfs):
    from deploy.stage import staging

    with staging(Run(project / RUN), "merged--model--hf--me--bei"):
        with pytest.raises(BlockedError, match="Another process"):
            shared(project, "hf:me/bei")


@pytest.mark.parametrize("way", ["xet", "plain", "modelscope:me/bei", "openxlab:me/bei"])
def test_killed_halfway_it_goes_on_and_nothing_was_published(
    hub, clean_environment, monkeypatch, way
):
    target = way if ":" in way else "hf:me/bei"
    made_by_hand(hub, target)
    folder = clean_environment / "project"
    folder.mkdir()
    (folder / "assistant.toml").write_text((ROOT / "assistant.toml").read_text("utf-8"))
    # What was on its way is lost: with Xet a lot of up to 64 MB, else the files that went up at once.
    size, shards, at_once = (24 << 20, 3, 1) if way == "xet" else (400_000, 40, 5)
    make_run(folder / "runs" / "default", size=size, shards=shards)
    if way == "plain":
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    total = sum(file.stat().st_size for file in (folder / RUN / "merged").glob("*.safetensors"))
    upload, commit = Gate(), Gate()
    hub.faults = [
        Fault("PUT /lfs", gate=upload, gate_from=total // 3), Fault(r"POST .*/commit/", gate=commit),
    ]  # fmt: skip

    def arrived() -> int:
        return stored_bytes(hub.store.xet) if way == "xet" else hub.received

    def halfway() -> bool:
        """Held at a third; with Xet, which no server holds, the first of two lots is noted."""
        return noted(hub.store.xet) > 0 if way == "xet" else upload.reached.is_set()

    log = clean_environment / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(folder, "model", "--to", target, "--yes"), cwd=ROOT,
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: halfway() or process.poll() is not None, log.read_text, 240)
        assert process.poll() is None, f"ended before it could be killed: {log.read_text()}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        upload.open()
        commit.open()
    wait_until(lambda: hub.busy == 0)  # what was on its way arrives or breaks
    before, there = arrived(), lots(hub.store.xet)
    assert ("model", "me/bei") not in hub.store.repos or hub.files("model", "me/bei") == {}
    hub.faults = []
    deploy(folder, "model", "--to", target, "--yes", process=target == "hf:me/bei")
    assert {path: data for path, data in on_hub(hub).items() if "safetensors" in path} == {
        path: data for path, data in sent(folder).items() if "safetensors" in path
    }
    if way == "xet":  # what the client noted, a lot at least, is not sent again
        assert arrived() - before <= 1.1 * total - min(there), (arrived(), before, there, total)
    else:
        assert arrived() <= 1.1 * total + at_once * size, arrived() / total
    assert not list((folder / RUN / "share").glob("merged*"))


def test_a_real_adapter_and_a_real_merged_model(hub, clean_environment, plain_lfs, tiny_base):
    from check_fixtures import own_copy, tiny_project, trained

    from assistant.models import fetch
    from train.merge import merge

    folder = clean_environment / "real"
    folder.mkdir()
    config = tiny_project(folder, own_copy(tiny_base, clean_environment / "base"))
    adapter = trained(config, tiny_base, 0.01)
    merged = merge(config, config.run)
    by_hand = make_run(
        clean_environment / "by-hand"
    )  # what the other tests of sharing take for a run
    for made in (adapter, merged):
        assert shape_of(by_hand / made.name) == shape_of(made)
        assert {file.name for file in made.iterdir()} <= {
            file.name for file in (by_hand / made.name).iterdir()
        }
    sets = ("--set", "share.base_model=me/base", "--anyway", "--yes")
    deploy(folder, "model", "--to", "hf:me/whole", *sets)
    deploy(folder, "model", "--to", "hf:me/part", "--kind", "adapter", *sets)
    whole = fetch("hf:me/whole", base_folder=folder)
    part = fetch("hf:me/part", base_folder=folder)
    assert (whole.format, part.format) == ("hf", "adapter")
    assert (whole.path / "model.safetensors").read_bytes() == (
        merged / "model.safetensors"
    ).read_bytes()
    ours = (config.run.adapter / "adapter_model.safetensors").read_bytes()
    assert (part.path / "adapter_model.safetensors").read_bytes() == ours
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(whole.path).config.hidden_size == 64


def test_a_failed_verification_is_said(hub, project, plain_lfs, monkeypatch):
    """A hub that takes everything and keeps something else."""
    from servers.sharing.store import Store

    plain = Store.commit

    def careless(self, repo, files, *rest):
        return plain(
            self, repo, {path: data for path, data in files.items() if path != "config.json"}, *rest
        )

    monkeypatch.setattr(Store, "commit", careless)
    with pytest.raises(FailedError, match=r"config\.json: not there"):
        shared(project, "hf:me/bei")
    assert not (project / RUN / "deploy.json").exists()


def test_weights_that_are_too_large_for_git_are_refused(hub, project, monkeypatch):
    monkeypatch.setattr("deploy.hubs.openxlab.OpenXLab.file_limit", 1 << 20)
    made_by_hand(hub, TARGETS[2])
    with pytest.raises(UsageError, match="Too large for this hub") as caught:
        shared(project, TARGETS[2])
    assert "python -m train merge --force" in str(caught.value)
