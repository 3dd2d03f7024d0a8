import asyncio
import json

from assistant.config import LimitsTable
from assistant.conversation import Message, read_conversations
from assistant.engines.echo import EchoEngine
from assistant.serving.answerer import Answerer, Question, Running
from assistant.serving.host import Host, Ready
from assistant.serving.transcripts import Keeper
from assistant.ui.shown import script_words


def ask(persona, keeper):
    host = Host(lambda _: Ready(EchoEngine(0), persona, "config"), persona)
    host.start()
    host.wait(60)
    answerer = Answerer(host, LimitsTable(), public=False, keeper=keeper)

    async def run():
        history = (Message(role="user", content="a"), Message(role="assistant", content="b"))
        question = Question("hello", history, style="asked", visitor="10.0.0.1")
        return [step async for step in answerer.answer(question, Running())]

    return asyncio.run(run())


def test_nothing_is_kept_unless_the_owner_says_so(tmp_path, persona, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ask(persona, None)[-1].text == "hello"
    assert list(tmp_path.rglob("*")) == []


def test_a_kept_conversation_is_what_training_reads_and_names_no_visitor(tmp_path, persona):
    ask(persona, Keeper(tmp_path / "kept"))
    (file,) = (tmp_path / "kept").iterdir()
    (kept,) = read_conversations(file)
    assert [(m.role, m.content) for m in kept.messages] == [
        ("system", "你是小贝。"), ("user", "a"), ("assistant", "b"), ("user", "hello"),
        ("assistant", "hello"),
    ]  # fmt: skip
    assert set(kept.meta) == {"at", "style", "finish"}
    assert "10.0.0.1" not in file.read_text("utf-8")


def test_a_refusing_disk_does_not_stop_the_talk(tmp_path, persona):
    (tmp_path / "kept").write_text("a file where the folder should be")
    assert ask(persona, Keeper(tmp_path / "kept"))[-1].finish == "stop"


def test_visitors_are_told():
    assert "owner" in json.dumps(script_words(kept_by_owner=True))
    assert "owner" not in json.dumps(script_words(kept_by_owner=False))
