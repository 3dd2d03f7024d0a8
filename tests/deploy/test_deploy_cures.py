"""What `deploy` and `assistant` print as a cure, followed to the letter: then what failed succeeds.

Cures of training (`train fit`, `merge`, `check`) are followed where these run anyway: test_fit.py,
test_check.py, test_readme.py. Those for a GPU host (`[serve.turbomind] tp`, `--servers`, another
driver) cannot be followed without one; their commands exist (test_printed_commands.py).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sharing_fixtures import (  # noqa: F401
    CONFIG,
    TOKENS,
    check_run,
    clean_environment,
    hub,
    make_run,
    plain_lfs,
    project,
)

from assistant.__main__ import main as assistant
from assistant.libraries import KIT
from deploy.__main__ import main as deploy
from train.__main__ import main as train

PROGRAMS = {"assistant": assistant, "deploy": deploy, "train": train}
# A command, or the options to add to the one that failed; up to where the sentence goes on.
_COMMAND = re.compile(r"python -m (?P<program>\w+) (?P<words>.*?)(?: - | lists|\.?$)", re.MULTILINE)
_OPTIONS = re.compile(r"(?<= )--[a-z][a-z-]*(?:[ =](?!-|or\b|and\b)[^ \n,;)]+)?")


def call(program: str, line: str, config: Path) -> Result:
    words = shlex.split(line)
    if "--config" not in words:
        words += ["--config", str(config)]
    done = CliRunner().invoke(PROGRAMS[program], words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def agreed(line: str, config: Path) -> Result:
    """Run a command that sends: its first answer is a cure too, for nobody is here to say yes."""
    assert "Read it with --dry-run, then add --yes." in cure_of(call("deploy", line, config))
    assert call("deploy", f"{line} --dry-run", config).exit_code == 0
    done = call("deploy", f"{line} --yes", config)
    assert done.exit_code == 0, done.output
    return done


def planned(line: str, config: Path) -> None:
    """Plan an app, whose private weights ask for a token."""
    refused = call("deploy", line, config).output.rpartition("Not possible: ")[2]
    assert "put it into a file, and add --weights-token-file FILE" in refused
    file = config.with_name("token")
    file.write_text(TOKENS["me"], "utf-8")
    file.chmod(0o600)
    done = call("deploy", f"{line} --weights-token-file {shlex.quote(str(file))}", config)
    assert done.exit_code == 0, done.stderr[-600:]


def cure_of(done: Result) -> str:
    """The lines after the one that says what is wrong."""
    assert done.exit_code, done.output
    return done.stderr.split("Error: ", 1)[1].partition("\n")[2]


@pytest.fixture
def sharing(hub, project, plain_lfs, monkeypatch) -> Path:  # noqa: F811
    """The configuration of a checked run that `[share]` sends to a hub."""
    config = project / "assistant.toml"
    config.write_text(config.read_text("utf-8") + '[share]\nto = ["hf:me/bei"]\n', "utf-8")
    monkeypatch.chdir(KIT)
    return config


@pytest.mark.parametrize(
    "line",
    ["verify", "app --to hf:me/app --dry-run"],
)
def test_the_command_that_a_cure_names(sharing, line):
    cure = cure_of(call("deploy", line, sharing))
    found = _COMMAND.search(cure)
    assert found is not None and found["program"] == "deploy"
    agreed(found["words"], sharing)
    if line == "verify":
        done = call("deploy", line, sharing)
        assert done.exit_code == 0, done.output
    else:
        planned(line, sharing)


def test_a_model_named_instead(sharing):
    line = "app --to hf:me/app --dry-run"
    cure = cure_of(call("deploy", line, sharing))
    agreed("model --to hf:me/other", sharing)
    (sharing.parent / "runs" / "default" / "deploy.json").unlink()  # as on another machine
    (option,) = [one for one in _OPTIONS.findall(cure) if one.startswith("--model")]
    named = option.replace("owner/name", "me/other")
    planned(f"{line} {named}", sharing)


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("serve", "--dry-run"),
        ("quantize", "--dry-run"),
        ("plan --model MODEL", "--users 50 --tokens-per-second 20 --gpu L4"),
        ("model", "--anyway"),
    ],
)
def test_the_options_that_a_cure_names(sharing, monkeypatch, embedded_model, line, option):
    line = line.replace("MODEL", str(embedded_model.path))
    monkeypatch.setattr("deploy.serving.start.count_gpus", lambda: 0)
    if option == "--anyway":
        check_run(sharing.parent / "runs" / "default", passed=False)
    cure = cure_of(call("deploy", line, sharing))
    assert " ".join(_OPTIONS.findall(" " + cure)) == option
    if option == "--anyway":
        agreed(f"{line} {option}", sharing)
        return
    done = call("deploy", f"{line} {option}", sharing)
    assert done.exit_code == 0, done.output


def test_what_a_warning_says_to_set(sharing):
    run = sharing.parent / "runs" / "default"
    for folder in ("merged", "adapter"):
        manifest = run / folder / "manifest.json"
        text = manifest.read_text("utf-8").replace('"Apache-2.0"', '""')
        manifest.write_text(text.replace("hf:Qwen/Qwen2.5-0.5B-Instruct", "./tiny"), "utf-8")
    line = "model --dry-run"
    said = call("deploy", line, sharing).output
    options = re.findall(r"--set (share\.\w+)=", said)
    assert options == ["share.base_model", "share.licence"], said
    values = {"share.base_model": "Qwen/Qwen2.5-0.5B-Instruct", "share.licence": "apache-2.0"}
    sets = " ".join(f"--set {name}={values[name]}" for name in options)
    done = call("deploy", f"{line} {sets}", sharing)
    assert done.exit_code == 0 and "--set share." not in done.output


@pytest.mark.parametrize("engine", ["transformers", "turbomind"])
def test_the_engine_that_a_cure_names(tmp_path, engine, embedded_model, cpu_engine, monkeypatch):
    config = tmp_path / "assistant.toml"
    config.write_text(CONFIG, "utf-8")
    line = f"ask hi --max-tokens 1 --model {embedded_model.path}"
    cure = cure_of(call("assistant", f"{line} --engine {engine}", config))
    (option,) = [one for one in _OPTIONS.findall(cure) if one.startswith("--engine")]
    # The engine itself is opened in test_engine_contract.py, which takes seconds.
    monkeypatch.setattr("assistant.engines.cpu.engine.CpuEngine", lambda *_: cpu_engine)
    monkeypatch.setattr(cpu_engine, "close", lambda: None)
    done = call("assistant", f"{line} {option.rstrip('.')}", config)
    assert done.exit_code == 0, done.output


def test_models_that_are_here_are_listed_where_there_is_no_network(sharing, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    cure = cure_of(call("assistant", "ask hi --engine cpu --model hf:me/nothing", sharing))
    found = _COMMAND.search(cure)
    assert found is not None and call(found["program"], found["words"], sharing).exit_code == 0


def test_a_configuration_that_is_elsewhere(sharing, tmp_path, monkeypatch):
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    monkeypatch.chdir(nowhere)
    cure = cure_of(call("deploy", "status", nowhere / "assistant.toml"))
    assert "Run in the project's folder, or name the file with --config FILE." in cure
    assert call("deploy", f"status --config {shlex.quote(str(sharing))}", sharing).exit_code == 0
    monkeypatch.chdir(sharing.parent)
    assert CliRunner().invoke(deploy, ["status"]).exit_code == 0
