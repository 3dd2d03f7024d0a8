"""The two libraries behind the CPU engine: llama.cpp for one person alone, OpenVINO for many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from assistant.config import LimitsTable, ServeTable
from assistant.conversation import Message
from assistant.engines import Opened, open_engine
from assistant.engines.base import Sampling
from assistant.errors import EngineError
from assistant.models.local import LocalModel, open_local
from assistant.progress import unreported
from assistant.serving.listen import find_place
from assistant.serving.load import is_single_user
from assistant.words import Text

pytestmark = pytest.mark.xdist_group("engines")

ASK = [Message(role="user", content="What is the capital of France?")]
SHORT = Sampling(max_tokens=8, temperature=0)


@contextmanager
def opened(model: LocalModel, name: str = "cpu", *, single_user: bool) -> Iterator[Opened]:
    found = open_engine(
        name, model, ServeTable(context_length=256), unreported, single_user=single_user
    )  # fmt: skip
    try:
        yield found
    finally:
        found.engine.close()


def library(found: Opened) -> str:
    return found.engine.describe().details.get("library", "OpenVINO")


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_one_person_alone_is_answered_by_llama_cpp(embedded_model, name):
    with opened(embedded_model, name, single_user=True) as found:
        assert library(found) == "llama.cpp"
        info = found.engine.describe()
        assert (info.name, info.details["at once"]) == ("cpu", "2")
        assert "quickest for one person" in found.note.en
        assert "".join(chunk.text for chunk in found.engine.stream(ASK, SHORT)).strip()


def test_many_people_are_answered_by_openvino(embedded_model):
    with opened(embedded_model, single_user=False) as found:
        assert library(found) == "OpenVINO"
        assert found.note is None


def test_a_folder_is_openvinos_for_one_person_too(exported):
    with opened(open_local("./merged", exported), single_user=True) as found:
        assert library(found) == "OpenVINO"
        assert found.note is None


def test_without_llama_cpp_one_person_is_told_what_is_quicker(embedded_model, monkeypatch):
    monkeypatch.setattr("assistant.engines.llamacpp.process.is_installed", lambda: False)
    with opened(embedded_model, single_user=True) as found:
        assert library(found) == "OpenVINO"
        assert "-r assistant/engines/llamacpp/requirements.txt" in found.note.en


def test_where_llama_cpp_does_not_run_openvino_does_and_says_so(embedded_model, monkeypatch):
    def refused(*_):
        raise EngineError("unavailable", Text("Illegal instruction.", "非法指令。"))

    monkeypatch.setattr("assistant.engines.llamacpp.engine.ServerProcess", refused)
    with opened(embedded_model, single_user=True) as found:
        assert library(found) == "OpenVINO"
        assert found.note.en == "Illegal instruction. OpenVINO runs it instead."


@pytest.mark.parametrize(
    ("limits", "public", "root_path", "alone"),
    [
        ({}, False, None, True),
        ({}, True, None, False),
        ({}, False, "/bella", False),
        ({"concurrent": 1}, False, None, True),
        ({"concurrent": 1}, True, None, False),
        ({"concurrent": 16}, False, None, False),
    ],
)
def test_who_uses_it_alone(limits, public, root_path, alone):
    place = find_place(None, 0, root_path, public, {})
    assert is_single_user(LimitsTable(**limits), place) is alone
