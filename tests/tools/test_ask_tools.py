"""`ask` and `chat` with tools, as typed. The echo engine says what it is asked: a call is a call, and
what came of it is the answer."""

import json
import sys

import pytest
from click.testing import CliRunner, Result

from assistant.__main__ import main
from assistant.tools.base import ToolCall

CONFIG = '[assistant]\nname = "Bei"\nauthor = "Beibei"\n[serve]\nengine = "echo"\n'
CALL = ToolCall("python", {"code": "23*17"}).text()


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_LANG", "en")
    (tmp_path / "assistant.toml").write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, words, input=stdin)


def test_ask_shows_the_steps_on_stderr_and_the_answer_on_stdout():
    done = run("ask", CALL, "--tools", "clock,python")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "Result of python: 391\n"
    assert "· python(23*17) → 391 (" in done.stderr


def test_ask_json_has_the_steps():
    said = json.loads(run("ask", CALL, "--tools", "python", "--json").stdout)
    (step,) = said["steps"]
    assert set(step) == {"tool", "arguments", "result", "seconds", "error"}
    assert (step["tool"], step["arguments"], step["result"], step["error"]) == (
        "python", {"code": "23*17"}, "391", None
    )  # fmt: skip
    assert said["text"] == "Result of python: 391"
    assert said["completion_tokens"] == 2 * len(CALL) + len(said["text"]) - (len(CALL) - 1)


def test_without_a_call_there_are_no_steps_and_without_tools_no_key():
    assert json.loads(run("ask", "Hi", "--tools", "clock", "--json").stdout)["steps"] == []
    assert "steps" not in json.loads(run("ask", "Hi", "--json").stdout)


def test_the_table_names_the_tools_and_the_flag_replaces_them(project):
    file = project / "assistant.toml"
    file.write_text(CONFIG + '[tools]\nuse = ["python"]\nrounds = 1\n', "utf-8")
    said = json.loads(run("ask", CALL, "--json").stdout)
    assert said["text"] == "I used the tools and came to no end. The last one said: 391"
    assert "steps" not in json.loads(run("ask", CALL, "--tools", "", "--json").stdout)


def test_chat_uses_them_too():
    done = run("chat", "--tools", "python", stdin=f"{CALL}\nHi\n/quit\n")
    assert done.exit_code == 0, done.stderr
    assert "· python(23*17) → 391 (" in done.stderr
    assert "Result of python: 391" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--tools", "shell"), 2, "There is no tool 'shell'. There are: clock, python."),
        (("--set", 'tools.use=["shell"]'), 2, "There is no tool 'shell'"),
        (("--set", "tools.rounds=0"), 2, "tools"),
        (("--set", "tools.files=1"), 2, "tools"),
    ],
)
def test_wrong_use_is_said_before_a_model_is_loaded(words, code, says):
    done = run("ask", "Hi", *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr


def test_without_the_sandbox_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    done = run("ask", "Hi", "--tools", "python")
    assert done.exit_code == 3
    assert "pydantic-monty is not installed" in done.stderr
    assert "assistant/tools/requirements.txt" in done.stderr
    assert run("ask", "Hi", "--tools", "clock").exit_code == 0
