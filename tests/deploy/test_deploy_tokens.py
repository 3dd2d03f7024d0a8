"""No token anywhere: not in what is printed, logged, staged, kept, pushed, or shown by ps."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import base64
import io
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from servers.listening import listening
from servers.sharing import Fault, Gate
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
    plain_lfs,
    project,
)

from assistant.errors import UsageError
from assistant.models.verify import Expected
from deploy import tokens
from deploy.hubs.git_lfs import GitRemote
from deploy.target import parse_target
from deploy.tokens import Secret, find_token, hide

TOKEN = TOKENS["me"]
PUBLISH = r"POST .*(?:/commit/\S+|/git-receive-pack)$"
SPELLINGS = [
    TOKEN.encode(),
    *(
        base64.b64encode(f"{user}:{TOKEN}".encode())
        for user in ("me", "oauth2", "x-access-token", "git")
    ),
]


def holds_token(data: bytes) -> bool:
    return any(spelling in data for spelling in SPELLINGS)


def command_lines() -> str:
    """What ps shows of all processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue
    return b"\n".join(found).decode(errors="replace")


def small_files(folder: Path) -> Iterator[Path]:
    """The files under 1 MiB below `folder`, of which some may vanish meanwhile, folders too."""
    for parent, _, names in os.walk(folder):  # Path.rglob raises where a folder vanishes
        for path in (Path(parent, name) for name in names):
            try:
                if path.stat().st_size < 1 << 20:
                    yield path
            except OSError:
                continue


@pytest.mark.parametrize("target", TARGETS)
def test_no_token_while_it_runs_nor_after(hub, project, clean_environment, target):
    made_by_hand(hub, target)
    upload, commit = Gate(), Gate()
    hub.faults = [Fault("PUT /lfs", gate=upload), Fault(PUBLISH, gate=commit)]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_DEBUG": "1", "GIT_TRACE": "1"}
    seen: list[str] = []

    def look() -> None:
        seen.append(command_lines())
        for path in small_files(project):  # what is staged, and the repository that git works in
            with suppress(OSError):
                if holds_token(path.read_bytes()):
                    seen.append(f"{path}: {TOKEN}")

    outputs = clean_environment / "stdout", clean_environment / "stderr"
    with outputs[0].open("wb") as out, outputs[1].open("wb") as err:
        process = subprocess.Popen(
            command(project, "model", "--to", target, "--yes", "--debug"),
            cwd=ROOT, env=environment, stdout=out, stderr=err,
        )  # fmt: skip
    try:
        for gate in (upload, commit):  # it is looked at while it waits, and on the way
            while not gate.reached.wait(0.2) and process.poll() is None:
                look()
            look()
            gate.open()
        while process.poll() is None:
            look()
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    said = b"".join(file.read_bytes() for file in outputs)
    assert process.returncode == 0, said.decode(errors="replace")
    assert upload.reached.is_set() and commit.reached.is_set()
    assert "deploy model --to" in "".join(seen)
    assert not holds_token("".join(seen).encode()) and not holds_token(said)
    kept = {
        path: data
        for path, data in files_of(clean_environment).items()
        if not path.startswith("hub/")
    }
    assert len(kept) > 20
    assert [path for path, data in kept.items() if holds_token(data)] == []
    assert not any(holds_token(data) for data in hub.files("model", "me/bei").values())


@pytest.mark.parametrize("target", TARGETS)
def test_no_token_in_a_failure_even_with_its_traceback(hub, project, plain_lfs, target):
    made_by_hand(hub, target)
    message = f"{TOKEN} may not, Authorization: Bearer {TOKEN}"
    hub.faults = [
        Fault(
            r"POST .*(?:/commit/\S+|/git-receive-pack|/create|/v1/models)$",
            status=400,
            message=message,
        )
    ]
    done = deploy(project, "model", "--to", target, "--yes", "--debug", check=None, process=True)
    assert done.returncode == 1 and "Traceback" in done.stderr
    said = done.stderr + done.stdout
    done = deploy(project, "model", "--to", target, "--yes", "--json", check=3)
    said += done.stderr + done.stdout
    assert not holds_token(said.encode())
    assert "***" in said or target.startswith("openxlab")  # git keeps the server's words to itself


def test_a_secret_shows_itself_to_nobody():
    secret = Secret(TOKEN, "HF_TOKEN")
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{TOKEN}@host/x.git", f"Authorization: Bearer {TOKEN}", "authorization: basic bWU6eA==",
        "hf_AbCdEfGhIjKl", "ghp_" + "a" * 36, "github_pat_" + "b" * 30, "https://oauth2:anything@host/y",
    ],
)  # fmt: skip
def test_what_looks_like_a_token_is_hidden(text):
    shown = hide(text)
    assert "***" in shown
    assert not re.search(r"hf_\w|ghp_|github_pat|bWU6eA|anything", shown)


def test_a_given_token_of_any_look_is_hidden():
    assert (
        hide("a plain/word b plain%2Fword", [Secret("plain/word", "a file"), None]) == "a *** b ***"
    )


def test_where_tokens_come_from(clean_environment, tmp_path, monkeypatch):
    assert find_token("hf") is None and find_token("modelscope") is None
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_login\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(
        "huggingface_hub.utils._auth.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token")
    )
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored")
    )
    login = find_token("hf")
    assert login is not None and (login.reveal(), login.source) == ("hf_login", "hf auth login")
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    file = tmp_path / "token"
    file.write_text(" hf_file \n")
    assert [one.reveal() for one in (find_token("hf"), find_token("hf", file)) if one] == [
        "hf_env",
        "hf_file",
    ]
    for content in ("", "two words"):
        file.write_text(content)
        with pytest.raises(UsageError, match="one token"):
            find_token("hf", file)
    with pytest.raises(UsageError, match="Cannot read"):
        find_token("hf", tmp_path / "none")


def test_a_token_from_a_file(hub, project, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    (project / "token").write_text(TOKEN)
    deploy(
        project, "model", "--to", "hf:me/bei", "--dry-run", "--token-file", str(project / "token")
    )


@pytest.mark.parametrize("option", [["--to", "modelscope:me/bei"], ["--to", "openxlab:me/bei"]])
@pytest.mark.parametrize("stage", ["model", "check"])
def test_the_token_of_one_service_is_not_handed_to_another(hub, project, stage, option):
    (project / "token").write_text(TOKEN)
    done = deploy(
        project,
        stage,
        "--to",
        "hf:me/bei",
        *option,
        "--token-file",
        str(project / "token"),
        check=2,
    )
    assert "would all be handed it" in done.stderr and TOKEN not in done.stderr
    assert hub.log == []


def test_a_server_that_points_elsewhere_does_not_get_the_token_there():
    """A hub's LFS service may send a request on to another host; the token is the hub's alone."""
    sent: list[tuple[str, str | None]] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(("elsewhere", self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"objects": []}')

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

    class Hub(Elsewhere):
        to = ""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            sent.append(("hub", self.headers["Authorization"]))
            self.send_response(302)
            self.send_header("Location", self.to)
            self.end_headers()

    with listening(Elsewhere) as there, listening(Hub) as here:
        Hub.to = f"{there}/lfs"
        remote = GitRemote(
            parse_target("openxlab:me/bei"), here, f"{here}/me/bei.git", Secret(TOKEN, "test"), "me"
        )
        remote._missing_objects([Expected("model.safetensors", 5, sha256="0" * 64)])
    assert [who for who, _ in sent] == ["hub", "elsewhere"]
    assert sent[0][1] == Secret(TOKEN, "test").basic("me") and sent[1][1] is None


@pytest.fixture
def hidden(monkeypatch):
    """Everything hidden, as the commands do it, and the interpreter's hooks put back after."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    before = logging.getLogRecordFactory(), sys.excepthook, threading.excepthook
    tokens.hide_everywhere()
    yield
    logging.setLogRecordFactory(before[0])
    sys.excepthook, threading.excepthook = before[1:]


def test_hiding_twice_is_hiding_once(hidden):
    factory = logging.getLogRecordFactory()
    tokens.hide_everywhere()
    assert logging.getLogRecordFactory() is factory


def test_a_token_of_damaged_bytes_is_hidden_too(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_\udcc4secret")
    assert tokens.hide("sent hf_\udcc4secret", tokens.known_secrets()) == "sent ***"


def test_logs_hide_tokens(hidden):
    record = logging.getLogRecordFactory()("x", 10, "f", 1, "sent %s", (TOKEN,), None)
    assert record.getMessage() == "sent ***"


def test_tracebacks_in_logs_and_threads_hide_tokens(hidden, capsys):
    def fails() -> None:
        raise ValueError(f"cannot send {TOKEN}")

    stream = io.StringIO()
    logger = logging.getLogger("some.client")
    logger.addHandler(handler := logging.StreamHandler(stream))
    try:
        fails()
    except ValueError:
        logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    for said in (stream.getvalue(), capsys.readouterr().err):
        assert "cannot send ***" in said and "Traceback" in said and TOKEN not in said


def test_check_says_who_and_what(hub, project):
    done = deploy_json(project, "check", "--to", "hf:me/bei", "--to", "modelscope:me/bei")
    said = {item["name"]: (item["state"], item["said"]["en"]) for item in done["items"]}
    assert done["ready"] and said["account hf"] == ("ok", "Hugging Face: me (token from HF_TOKEN)")
    assert said["default/merged"] == ("ok", "default/merged: The check passed.")
    assert {"git", "git-lfs", "huggingface_hub", "modelscope-hub", "disk"} <= set(said)


def test_check_says_what_is_in_the_way(hub, project, monkeypatch):
    hub.read_only = {"me"}
    done = deploy_json(project, "check", "--to", "hf:me/bei", check=3)
    assert (
        next(item for item in done["items"] if item["name"] == "account hf")["state"] == "blocked"
    )
    hub.read_only = set()
    (project / "runs/default/check/report.json").unlink()
    assert "never checked" in deploy(project, "check", "--to", "hf:me/bei", check=1).stdout
    monkeypatch.delenv("HF_TOKEN")
    assert "no token" in deploy(project, "check", "--to", "hf:me/bei", check=3).stdout
    assert (
        "may not write"
        in deploy(
            project, "check", "--to", "hf:you/x", check=3, env={**os.environ, "HF_TOKEN": TOKEN}
        ).stdout
    )
