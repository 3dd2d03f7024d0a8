"""What the owner puts right: kept beside assistant.toml, looked through, and never half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assistant.conversation import Message
from assistant.corrections import (
    CORRECTIONS_FILE,
    LONGEST,
    change_corrections,
    forget_liked,
    keep_correction,
    made_correction,
    read_corrections,
)
from assistant.errors import UsageError
from train.__main__ import main as train

CONFIG = '[assistant]\nname = "Bei"\nauthor = "Beibei"\n[serve]\nengine = "echo"\n'
TURNS = (Message(role="user", content="Hi!"), Message(role="assistant", content="Hello."))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assistant.toml").write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(train, ["data", "corrections", *words])


def test_no_file_is_no_correction(project):
    assert read_corrections(project) == []
    done = run("list")
    assert done.exit_code == 0 and "/fix" in done.stdout
    assert json.loads(run("list", "--json").stdout)["counts"] == {
        "new": 0, "accepted": 0, "exam": 0, "dropped": 0,
    }  # fmt: skip


def test_the_same_question_corrected_again_takes_the_place_of_the_first(project):
    first = keep_correction(project, made_correction("q?", "a", "page", said="wrong", ways=["w"]))
    change_corrections(project, [first.id], "accepted")
    again = keep_correction(project, made_correction("q?", "b", "chat", said="a"))
    other = keep_correction(project, made_correction("q?", "c", "chat", before=TURNS))
    held = read_corrections(project)
    assert [(one.id, one.answer, one.said, one.ways, one.state) for one in held] == [
        (first.id, "b", "wrong", ("w",), "new"), (other.id, "c", "", (), "new"),
    ]  # fmt: skip
    assert again == held[0] and other.before == TURNS


def test_to_like_what_was_corrected_so_changes_nothing(project):
    kept = keep_correction(project, made_correction("q?", "a", "page", said="wrong"))
    change_corrections(project, [kept.id], "accepted")
    before = read_corrections(project)
    assert keep_correction(project, made_correction("q?", "a", "liked", said="a")) == before[0]
    forget_liked(project, "q?", ())
    assert read_corrections(project) == before


def test_a_like_is_taken_back_only_until_it_is_accepted(project):
    keep_correction(project, made_correction("q?", "a", "liked", said="a"))
    forget_liked(project, "q?", ())
    assert read_corrections(project) == []
    kept = keep_correction(project, made_correction("q?", "a", "liked", said="a"))
    change_corrections(project, [kept.id], "accepted")
    forget_liked(project, "q?", ())
    assert [one.id for one in read_corrections(project)] == [kept.id]


@pytest.mark.parametrize(
    ("question", "answer"), [("", "a"), ("q", " \n"), ("q", "x" * (LONGEST + 1))]
)
def test_what_is_no_correction_is_refused(project, question, answer):
    with pytest.raises(UsageError, match="No correction"):
        made_correction(question, answer, "page")


def test_a_damaged_line_is_named_and_nothing_is_lost(project):
    keep_correction(project, made_correction("q?", "a", "page"))
    file = project / CORRECTIONS_FILE
    file.write_text(file.read_text("utf-8") + '{"id": "x"}\n', "utf-8")
    before = file.read_bytes()
    for words in (("list",), ("accept", "all"), ("add", "q2?", "a2")):
        done = run(*words)
        assert done.exit_code == 2 and f"{CORRECTIONS_FILE}:2" in done.output
    assert file.read_bytes() == before


def test_many_at_once_are_all_kept(project):
    made = [made_correction(f"q{number}?", "a", "page") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: keep_correction(project, one), made))
    assert {one.id for one in read_corrections(project)} == {one.id for one in made}


def test_looking_through_them(project):
    assert run("add", "When do you open?", "At nine.", "--way", "Opening hours?").exit_code == 0
    assert run("add", "And close?", "At six.").exit_code == 0
    first, second = (one.id for one in read_corrections(project))
    assert "2 to look at" in run("list").stdout
    done = run("accept", first, "--answer", "At ten.", "--way", "From when?", "--json")
    (changed,) = json.loads(done.stdout)["changed"]
    assert (changed["state"], changed["answer"]) == ("accepted", "At ten.")
    assert changed["ways"] == ["Opening hours?", "From when?"]
    assert run("exam", second).exit_code == 0
    assert run("drop", "all").stdout.startswith("0 changed")
    assert [one.state for one in read_corrections(project)] == ["accepted", "exam"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("accept", "zzz"), "no correction zzz"), (("accept", "all", "--answer", "x"), "for one correction"),
        (("accept", "ID", "--answer", " "), "No correction"),
    ],
)  # fmt: skip
def test_wrong_use_changes_nothing(project, words, says):
    kept = keep_correction(project, made_correction("q?", "a", "page"))
    done = run(*(kept.id if word == "ID" else word for word in words))
    assert done.exit_code == 2 and says in done.output
    assert read_corrections(project) == [kept]


def test_the_terminal_notes_what_it_should_have_said(project):
    talk = "/fix x\nWho wrote Hamlet?\n/fix Shakespeare.\nAnd Faust?\n/keep\n/fix\n"
    done = subprocess.run(
        [sys.executable, "-m", "assistant", "chat"], input=talk, cwd=project, text=True, capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert "Nothing was answered yet" in done.stderr and "/fix needs the answer" in done.stderr
    fixed, kept = read_corrections(project)
    assert (fixed.question, fixed.said, fixed.answer, fixed.source) == (
        "Who wrote Hamlet?", "Who wrote Hamlet?", "Shakespeare.", "chat",
    )  # fmt: skip
    assert (kept.answer, kept.source) == ("And Faust?", "liked")
    assert [message.content for message in kept.before] == ["Who wrote Hamlet?", "Shakespeare."]
    following = done.stderr.split("To train on it: ")[1].splitlines()[0].split()
    assert run(*following[5:]).exit_code == 0
    assert [one.state for one in read_corrections(project)] == ["accepted", "new"]
