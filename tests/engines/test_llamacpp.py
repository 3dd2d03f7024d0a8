"""The llama.cpp engine: its process, its room, and which files it is for. The contract is in
test_engine_contract.py."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import psutil
import pytest

from assistant.config import ServeTable
from assistant.conversation import Message
from assistant.engines import open_engine
from assistant.engines.base import Sampling
from assistant.engines.cpu.weights import reads
from assistant.engines.llamacpp.settings import GB, LlamaCppSettings, cache_bytes, room
from assistant.errors import EngineError
from assistant.models.gguf import read_header
from assistant.models.local import LocalModel
from assistant.progress import unreported

pytestmark = pytest.mark.xdist_group("engines")

ASK = [Message(role="user", content="What is the capital of France?")]
SHORT = Sampling(max_tokens=4, temperature=0)


def gguf_file(file: Path, architecture: str, template: str | None = "{{ messages }}") -> Path:
    """A GGUF with a header and one small tensor: no model."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(256)
    if template:
        writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_a_token_takes_what_the_header_says(embedded_model):
    header = read_header(embedded_model.path)
    layers, heads, size = 30, 3, 64  # SmolLM2-135M
    assert cache_bytes(header) == 2 * layers * heads * size * 2


@pytest.mark.parametrize(
    ("asked", "cache_gb", "concurrent", "slots", "context"),
    [
        (None, 1, 16, 4, 8192),  # the cache would hold five
        (None, 1, 1, 1, 8192),
        (1024, 1, 3, 3, 1024),
        (100_000, 1, 16, 4, 8192),  # no more than it was trained for
    ],
)
def test_as_many_answers_at_once_as_the_cache_holds(
    embedded_model, asked, cache_gb, concurrent, slots, context
):
    found = room(embedded_model.path, 8192, LlamaCppSettings(asked, cache_gb, concurrent))
    assert (found.slots, found.context_length) == (slots, context)


def test_a_context_that_the_cache_cannot_hold_is_cut(embedded_model):
    tokens = GB // cache_bytes(read_header(embedded_model.path))
    found = room(embedded_model.path, 10 * tokens, LlamaCppSettings())
    assert (found.slots, found.context_length) == (1, tokens)


def test_the_repetition_penalty_reaches_llama_cpp(llamacpp_engine):
    ask = [Message(role="user", content="Repeat after me: yes yes yes yes yes yes yes yes")]

    def distinct(penalty: float) -> float:
        sampling = Sampling(max_tokens=32, temperature=0, repetition_penalty=penalty)
        words = "".join(chunk.text for chunk in llamacpp_engine.stream(ask, sampling)).split()
        return len(set(words)) / len(words)

    assert distinct(1.5) > distinct(1.0)


def test_nobody_else_may_ask_its_server(llamacpp_engine):
    address = llamacpp_engine._process.address
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{address}/v1/chat/completions", json=body).status_code == 401
    shown = psutil.Process(llamacpp_engine._process._process.pid).cmdline()
    assert not any(llamacpp_engine._process.key in word for word in shown)


def test_a_ctrl_c_in_the_terminal_does_not_reach_its_server(llamacpp_engine):
    assert os.getpgid(llamacpp_engine._process._process.pid) != os.getpgid(0)


def test_its_process_ends_with_it_and_a_killed_one_is_said(embedded_model):
    engine = open_engine(
        "llamacpp", embedded_model, ServeTable(context_length=256), unreported
    ).engine
    process = psutil.Process(engine._process._process.pid)
    assert "".join(chunk.text for chunk in engine.stream(ASK, SHORT))
    process.kill()
    with pytest.raises(EngineError) as caught:
        list(engine.stream(ASK, SHORT))
    assert caught.value.code == "unavailable"
    engine.close()
    assert not process.is_running()


def test_openvino_reads_some_architectures_and_llama_cpp_the_others(embedded_model, tmp_path):
    assert reads(embedded_model)
    other = LocalModel("./other.gguf", gguf_file(tmp_path / "other.gguf", "gemma3"), "gguf")
    assert not reads(other)
    with pytest.raises(EngineError, match=r"llama\.cpp cannot load .*other\.gguf") as caught:
        open_engine("cpu", other, ServeTable(), unreported)
    assert caught.value.code == "unavailable"


def test_a_file_without_a_chat_template_is_refused(tmp_path):
    bare = LocalModel("./bare.gguf", gguf_file(tmp_path / "bare.gguf", "llama", None), "gguf")
    with pytest.raises(EngineError, match="no chat template"):
        open_engine("llamacpp", bare, ServeTable(), unreported)


def test_a_folder_is_for_another_engine(embedded_folder):
    with pytest.raises(EngineError, match="GGUF") as caught:
        open_engine("llamacpp", embedded_folder, ServeTable(), unreported)
    assert 'engine = "cpu"' in str(caught.value.cure)


def test_a_missing_library_is_said_with_the_command(embedded_model, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="not installed") as caught:
        open_engine("llamacpp", embedded_model, ServeTable(), unreported)
    assert "assistant/engines/llamacpp/requirements.txt" in str(caught.value.cure)
