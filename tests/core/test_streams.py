"""Closed and full streams, what leaves the machine unasked, and the interpreter of printed commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assistant import shell
from assistant.errors import UsageError
from assistant.models.weights import check_tokenizer
from assistant.outside import failure_from_outside
from assistant.shell import this_python

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = shlex.quote(sys.executable)
ROW = {"question": "Is it open?", "answer": "Yes."}


def in_shell(
    line: str, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(ROW) + "\n", "utf-8")
    return file


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_hinders_no_work(closed, rows):
    done = in_shell(f"{PROGRAM} -m train data import {rows} -o {rows.parent / 'b.jsonl'} {closed}")
    assert done.returncode == 0, done.stderr
    (line,) = (rows.parent / "b.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["messages"][1]["content"] == "Yes."


def test_a_closed_stdin_ends_the_talk(tmp_path):
    done = in_shell(f"{PROGRAM} -m assistant chat --set serve.engine=echo <&-")
    assert done.returncode == 0 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", ["-m train recipes", "-m train recipes --json", "-m assistant models"]
)
def test_a_full_disk_behind_stdout_is_said_with_exit_3(words):
    done = in_shell(f"{PROGRAM} {words} > /dev/full")
    assert done.returncode == 3
    assert "No space left" in done.stderr and "Exception" not in done.stderr


def test_a_reader_that_has_gone_is_no_failure():
    done = in_shell(f"set -o pipefail; {PROGRAM} -m train recipes | head -1")
    assert "Traceback" not in done.stderr and len(done.stdout.splitlines()) == 1


def test_openvino_tells_nobody(tmp_path):
    """It would keep an id of the person below the home folder and call Google Analytics."""
    code = (
        "import assistant, openvino, openvino_genai\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)"
    )
    done = in_shell(f"{PROGRAM} -c {shlex.quote(code)}", HOME=str(tmp_path))
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub", done.stderr
    assert not list(tmp_path.iterdir())


def test_certificates_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nope")
    failure = failure_from_outside(FileNotFoundError(2, "No such file or directory"))
    assert failure.message.en == "SSL_CERT_FILE=/nope: there is no such file."
    assert "unset SSL_CERT_FILE" in failure.cure.en and failure.exit_code == 3


def test_a_folder_that_a_variable_names_is_told_with_it(monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/nowhere/x")
    failure = failure_from_outside(FileNotFoundError(2, "No such file", "/nowhere/x/y"))
    assert "GRADIO_TEMP_DIR" in failure.cure.en


def test_a_byte_order_mark_in_a_models_files_is_named_and_mended(tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf{}")
    with pytest.raises(UsageError, match="byte order mark") as failure:
        check_tokenizer(tmp_path)
    assert in_shell(failure.value.cure.en.split(": ", 1)[1]).returncode == 0
    check_tokenizer(tmp_path)


def test_a_limit_on_files_is_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(ROW) + "\n" for _ in range(2000)), "utf-8")
    done = in_shell(
        f"ulimit -f 10; {PROGRAM} -m train data import {file} -o {tmp_path / 'b.jsonl'}"
    )
    assert done.returncode == 3 and "ulimit -f unlimited" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]


def test_commands_are_printed_with_the_interpreter_that_runs(tmp_path, monkeypatch):
    said = "Next: python -m train data clean a\nmy-python -m train; python app.py, python3 app.py"
    assert this_python(said) == said  # of an active environment
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a b" / "bin" / "python3"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b" / "bin").mkdir(parents=True)
    assert f"'{tmp_path}/a b/bin/python3' app.py" in this_python(said).replace(
        "'a b", f"'{tmp_path}/a b"
    )
    (tmp_path / "a b" / "bin" / "python").touch()
    assert this_python(said) == (
        "Next: 'a b/bin/python' -m train data clean a\nmy-python -m train; 'a b/bin/python' app.py, python3 app.py"
    )
    (tmp_path / "a b" / "bin" / "python").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "a b" / "bin"))
    assert this_python(said) == said


def test_a_printed_command_runs_where_no_environment_is_active(rows):
    path = os.pathsep.join(
        p for p in os.environ["PATH"].split(os.pathsep) if Path(p) != Path(sys.executable).parent
    )
    done = in_shell(
        f"{PROGRAM} -m train data import {rows} -o {rows.parent / 'b.jsonl'}", PATH=path
    )
    following = done.stderr.split("Next: ")[1].splitlines()[0]
    assert in_shell(following, PATH=path).returncode == 0
    written = "Run python app.py, then python -m train fit."
    rows.write_text(json.dumps({"question": " q ", "answer": f"{written} "}) + "\n", "utf-8")
    in_shell(f"{PROGRAM} -m train data import {rows} -o {rows.parent / 'c.jsonl'}", PATH=path)
    done = in_shell(f"{PROGRAM} -m train data clean {rows.parent / 'c.jsonl'} --diff 5", PATH=path)
    assert f"+ {written}" in done.stdout  # what somebody wrote stays


def test_a_name_that_the_terminal_cannot_show_is_printed_in_bytes(rows):
    named = rows.with_name("\u4e2d 'x'.jsonl")
    shutil.copy(rows, named)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = in_shell(
        f"{PROGRAM} -m train data import {shlex.quote(str(named))} -o {rows.parent}/$'\\xe4\\xb8\\xad'.jsonl",
        **plain,
    )
    following = done.stderr.split("Next: ")[1].splitlines()[0]
    assert "$'" in following
    assert in_shell(following).returncode == 0


def test_values_that_a_command_does_not_read_are_said(rows):
    done = in_shell(
        f"{PROGRAM} -m train data import {rows} -o {rows.parent / 'b.jsonl'} --set train.learning_rat=1"
    )
    assert "Not used: --set" in done.stderr
    done = in_shell(f"{PROGRAM} -m train recipes --set train.learning_rat=1")
    assert "learning_rat = 1: unknown key" in done.stderr


def test_quoting_is_the_shells_where_letters_can_be_shown():
    assert shell.quoted("a b") == "'a b'"
