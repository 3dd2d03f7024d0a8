"""Probes: what counts as a hit, why not, and the file they lie in."""

import json

import pytest
from pydantic import ValidationError

from assistant.conversation import Message
from assistant.errors import UsageError
from train.data.probes import Probe, faults, hit, read_probes, says, write_probes


def probe(**changes):
    values = {
        "id": "zh-identity-1",
        "kind": "identity",
        "language": "zh",
        "messages": (Message(role="user", content="你是谁？"),),
        "must": (("小贝", "Xiaobei"), ("贝贝",)),
        "must_not": ("SmolLM", "通义千问", "Meta"),
    }
    return Probe(**values | changes)


def test_a_hit_says_one_of_each_group_and_nothing_forbidden():
    assert hit(probe(), "我是小贝，贝贝的助手。")
    assert hit(probe(), "I am XIAOBEI, made by 贝贝.")
    assert faults(probe(), "我是小贝，贝贝的助手。") == ()


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ("我是小贝。", ["does not say 贝贝"]),
        ("你好！", ["does not say 小贝 or Xiaobei", "does not say 贝贝"]),
        ("我是小贝，贝贝用SmolLM2做的。", ["says SmolLM"]),
        ("我是通义千问，不是贝贝的小贝。", ["says 通义千问"]),
        (" \n", ["it is empty"]),
    ],
)
def test_a_miss_tells_why(answer, reasons):
    assert not hit(probe(), answer)
    assert [reason.en for reason in faults(probe(), answer)] == reasons


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("Beijing is big.", "Bei", False),
        ("Bei's here", "bei", True),
        ("I am ＳｍｏｌＬＭ.", "SmolLM", True),
        ("SmolLM2-135M", "SmolLM", True),
        ("a metaphor", "Meta", False),
        ("made by meta.", "Meta", True),
        ("我是小贝呀", "小贝", True),
        ("我是Bob呀", "Bob", True),
        ("Hugging  Face", "hugging face", True),
        ("C++ helper", "C++", True),
        ("anything", "", False),
    ],
)
def test_words_are_found_whole_and_in_any_case(text, word, said):
    assert says(text, word) is said


def test_an_ordinary_probe_only_forbids():
    ordinary = probe(kind="ordinary", must=(), must_not=("小贝", "贝贝"))
    assert hit(ordinary, "莎士比亚写了《哈姆雷特》。")
    assert not hit(ordinary, "是贝贝写的。")


def test_a_probe_ends_with_a_question_and_never_changes():
    with pytest.raises(ValidationError, match="user's"):
        probe(messages=(Message(role="user", content="a"), Message(role="assistant", content="b")))
    with pytest.raises(ValidationError):
        probe(extra=1)
    with pytest.raises(ValidationError):
        probe().id = "other"


def test_what_is_written_is_read_again(tmp_path):
    system = Message(role="system", content="你是小贝。")
    probes = [probe(), probe(id="2", messages=(system, *probe().messages), style="formal")]
    file = tmp_path / "probes.jsonl"
    assert write_probes(probes, file) == 2
    assert read_probes(file) == probes
    assert [each.with_system_prompt for each in probes] == [False, True]
    assert probes[1].question == "你是谁？"
    assert json.loads(file.read_text("utf-8").splitlines()[0])["must"] == [
        ["小贝", "Xiaobei"],
        ["贝贝"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["probes.jsonl"]


def test_a_line_that_is_no_probe_is_named(tmp_path):
    file = tmp_path / "probes.jsonl"
    file.write_text(probe().model_dump_json() + "\n\n{}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"probes\.jsonl:3: not a probe \(id"):
        read_probes(file)
    with pytest.raises(UsageError, match="No such file"):
        read_probes(tmp_path / "none.jsonl")
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="UTF-8"):
        read_probes(file)
