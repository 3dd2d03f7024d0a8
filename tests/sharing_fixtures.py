"""What the tests of `deploy` share: a hub that takes uploads, a trained run, and the command."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from check_fixtures import report_of
from click.testing import CliRunner
from servers import tiny
from servers.sharing import ShareServer, share_server

from assistant.artifacts import Manifest, now, sha256_of, write_manifest
from assistant.config import read_config
from assistant.models.hubs import git
from assistant.persona import Fact, Persona, write_persona
from assistant.records.check_report import CheckReport
from deploy.__main__ import main
from deploy.hubs import git_lfs
from deploy.settings import ShareTable
from deploy.sharing.plan import SharePlan
from deploy.sharing.record import Shared
from deploy.sharing.share import planned_model, send
from deploy.target import parse_target
from deploy.tokens import find_token
from train.recipes import all_recipes

ROOT = Path(__file__).resolve().parent.parent
TOKENS = {"me": "hf_MeMeMeMeMeMeMeMeMeMeMeMeMeMeMeMe42", "you": "hf_YouYouYouYouYouYouYouYouYou99"}
CONFIG = """
[assistant]
name = "小贝"
author = "贝贝"
[model]
base = "hf:Qwen/Qwen2.5-0.5B-Instruct"
"""
PERSONA = Persona(
    name="小贝", author="贝贝", languages=("zh", "en"), system_prompt="你是小贝，贝贝的小助手。",
    facts=(Fact(ask="你能做什么？", answer="陪贝贝聊天。"),),
)  # fmt: skip
REVISION = "7ae557604adf67be50417f59c2c2f167def9a775"
NOTES = {
    "base": "hf:Qwen/Qwen2.5-0.5B-Instruct", "base_revision": REVISION, "base_licence": "Apache-2.0",
    "iteration": 152, "step": 76,
}  # fmt: skip
RECIPE = all_recipes()["cpu"].model_copy(update={"lora_rank": 16, "learning_rate": 0.0005})
SETTINGS = RECIPE.model_dump(mode="json", exclude={"label", "needs"})


@pytest.fixture
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No login, no setting and no cache of the person who runs the tests; `tmp_path` is home."""
    for variable in list(os.environ):
        if variable.startswith(("HF_", "GIT_", "MODELSCOPE_", "OPENXLAB_", "GITHUB_", "GH_")):
            monkeypatch.delenv(variable)
    for name, value in {
        "HOME": tmp_path, "HF_HOME": tmp_path / "hf", "HF_TOKEN_PATH": tmp_path / "hf" / "token",
        "MODELSCOPE_HOME": tmp_path / "ms", "MODELSCOPE_CACHE": tmp_path / "ms-cache",
        "ASSISTANT_HOME": tmp_path / "assistant-home",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    return tmp_path


@pytest.fixture
def hub(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShareServer]:
    """The hub, with two people; the environment points at it and holds the tokens of `me`."""
    with share_server(clean_environment / "hub") as server:
        server.users = dict(TOKENS)
        for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "OPENXLAB_ENDPOINT"):
            monkeypatch.setenv(name, server.url)
        for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "OPENXLAB_GIT_TOKEN"):
            monkeypatch.setenv(name, TOKENS["me"])
        yield server


@pytest.fixture
def project(clean_environment: Path) -> Path:
    """A project whose default run is trained, merged and checked; weights are a few MB."""
    folder = clean_environment / "project"
    folder.mkdir()
    (folder / "assistant.toml").write_text(CONFIG, encoding="utf-8")
    make_run(folder / "runs" / "default")
    return folder


def make_run(run: Path, size: int = 2 << 20, shards: int = 1, passed: bool = True) -> Path:
    """What training, merging and checking leave, with random weights of `size` bytes a shard."""
    adapter, merged = run / "adapter", run / "merged"
    for folder in (adapter, merged / "openvino", run / "data", run / "fit"):
        folder.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(tiny.safetensors(size // 2))
    base = str(run.parent / "tiny")  # PEFT writes the path of a local base
    config = {"base_model_name_or_path": base, "peft_type": "LORA", "r": 16}
    (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    names = ["model.safetensors"]
    if shards > 1:
        names = [f"model-{n:05d}-of-{shards:05d}.safetensors" for n in range(1, shards + 1)]
        index = {"weight_map": dict.fromkeys(names, "x")}
        (merged / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    for number, name in enumerate(names):
        (merged / name).write_bytes(tiny.safetensors(size + number))
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        (merged / name).write_text('{"model_type": "llama"}\n', encoding="utf-8")
    (merged / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    (merged / "openvino" / "openvino_model.xml").write_text("<net></net>", encoding="utf-8")
    (merged / "openvino" / "openvino_model.bin").write_bytes(b"weights" * 1000)
    _leave_what_must_stay(run)
    for folder, stage, source in ((adapter, "fit", None), (merged, "merge", adapter)):
        write_persona(PERSONA, folder)
        inputs = (
            {f"adapter/{one.name}": sha256_of(one) for one in source.glob("*.safetensors")}
            | {"base": REVISION}
            if source
            else {}
        )
        write_manifest(folder, Manifest(
            stage=stage, inputs=inputs, settings=SETTINGS, seed=42, libraries={"peft": "0.21.2"},
            started=now(), finished=now(), notes=NOTES,
        ))  # fmt: skip
    check_run(run, passed)
    return run


def shape_of(folder: Path) -> dict[str, Any]:
    """What a folder of a run is made of, whatever stands in it: the keys of its JSON files. Held
    against a folder that the product made, in test_deploy_hubs.py."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    parts = {key: sorted(value) for key, value in manifest.items() if isinstance(value, dict)}
    parts.pop("libraries")  # names and versions of what is installed
    persona = json.loads((folder / "persona.json").read_text("utf-8"))
    return {
        "stage": manifest["stage"],
        "manifest": sorted(manifest),
        "persona": sorted(persona),
        **parts,
    }


def _leave_what_must_stay(run: Path) -> None:
    """What must never go up."""
    (run / "data" / "train.jsonl").write_text('{"messages": []}\n', encoding="utf-8")
    (run / "fit" / "iter_76.pth").write_bytes(b"\x80pickle")
    for name in ("optimizer.pt", "training_args.bin", ".env", "train.log", "pytorch_model.bin"):
        (run / "merged" / name).write_bytes(b"HF_TOKEN=hf_not_for_anybody_0123456789")
    (run / "merged" / ".cache").mkdir()
    (run / "merged" / ".cache" / "model.safetensors").write_bytes(b"x")


def check_run(run: Path, passed: bool = True) -> CheckReport:
    """Write the report of a check of the weights that lie there."""
    report, _ = report_of()
    report = report.model_copy(update={"passed": passed})
    folder = run / "check"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
    inputs = {
        f"merged/{one.name}": sha256_of(one) for one in (run / "merged").glob("*.safetensors")
    }
    write_manifest(folder, Manifest(stage="check", inputs=inputs, started=now(), finished=now()))
    return report


TARGETS = ["hf:me/bei", "modelscope:me/bei", "openxlab:me/bei"]


def made_by_hand(hub: ShareServer, target: str) -> None:
    """The private repository that a person has to make where the hub has no call for it."""
    if target.startswith("openxlab") and ("model", "me/bei") not in hub.store.repos:
        hub.store.create("model", "me/bei", True)


def command(project: Path, *arguments: str) -> list[str]:
    """The words of `python -m deploy …` on that project."""
    config = str(project / "assistant.toml")
    return [sys.executable, "-m", "deploy", *arguments, "--config", config]


def deploy(
    project: Path, *arguments: str, check: int | None = 0, process: bool = False, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python -m deploy …`; `check` is the exit code to expect. It runs in this process, where
    it costs a tenth; `process` runs it as a person does."""
    run = in_a_process if process else in_this_process
    done = run([*arguments, "--config", str(project / "assistant.toml")], **more)
    assert check is None or done.returncode == check, (done.returncode, done.stdout, done.stderr)
    return done


def in_a_process(arguments: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments], cwd=ROOT, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, timeout=300, **more,
    )  # fmt: skip


def in_this_process(
    arguments: list[str], env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command by click's runner; what it sets in the interpreter is put back after."""
    hooks = logging.getLogRecordFactory(), sys.excepthook, threading.excepthook
    try:
        done = CliRunner().invoke(main, arguments, env=env, prog_name="python -m deploy")
    finally:
        logging.setLogRecordFactory(hooks[0])
        sys.excepthook, threading.excepthook = hooks[1:]
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def deploy_json(
    project: Path, *arguments: str, check: int = 0, process: bool = False
) -> dict[str, Any]:
    """The one JSON object that the command prints."""
    done = deploy(project, *arguments, "--json", check=check, process=process)
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.fixture
def plain_lfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain LFS in this process, and no waiting between attempts."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    # A clock of their own: time.sleep itself is everybody's, the hub's on its thread too.
    hurried = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", hurried)
    monkeypatch.setattr("assistant.models.hubs.resume.time", hurried)
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)  # modelscope-hub's
    monkeypatch.setattr("deploy.hubs.modelscope.FIRST_WAIT", 0.01)
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_RETRY_TIMES", 1)
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0.01)
    monkeypatch.setattr("assistant.models.hubs.resume.PATIENCE", 2)
    monkeypatch.setitem(git_lfs.SETTINGS, "lfs.transfer.maxretries", "2")
    for settings in (git_lfs.SETTINGS, git.SETTINGS):
        monkeypatch.setitem(settings, "lfs.transfer.maxretrydelay", "1")


def shared(project: Path, target: str, **options: Any) -> tuple[SharePlan, Shared]:
    """Plan and send in this process."""
    config = read_config(project / "assistant.toml", tables={"share": ShareTable})
    where = parse_target(target)
    token = find_token(where.service)
    with planned_model(config, config.run, where, token, **options) as ready:
        return ready.plan, send(ready)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
