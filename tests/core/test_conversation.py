import pytest

from assistant.conversation import (
    Conversation,
    Message,
    read_conversations,
    to_markdown,
    write_conversations,
)
from assistant.errors import UsageError


def talk(*contents: str, system: str | None = None) -> Conversation:
    roles = ["user", "assistant"] * len(contents)
    messages = [
        Message(role=role, content=text) for role, text in zip(roles, contents, strict=False)
    ]
    if system is not None:
        messages.insert(0, Message(role="system", content=system))
    return Conversation(messages=tuple(messages))


def test_jsonl_round_trip_keeps_everything(tmp_path):
    file = tmp_path / "data.jsonl"
    said = [talk("你好\n😀", "\u202eשלום", system="s"), talk('"quotes"', "\\ and \u2028")]
    said[1] = Conversation(messages=said[1].messages, meta={"like": True})
    assert write_conversations(said, file) == 2
    assert list(read_conversations(file)) == said
    assert file.read_text(encoding="utf-8").splitlines()[0] == (
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "你好\\n😀"}, '
        '{"role": "assistant", "content": "\u202eשלום"}]}'
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"messages": []}', "no user message"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "expected user"),
        ('{"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}', "expected assistant"),
        ('{"messages": [{"role": "owner", "content": "x"}]}', "'system', 'user' or 'assistant'"),
        ('{"messages": [{"role": "user", "content": 1}]}', "valid string"),
        ('{"messages": [{"role": "user", "content": "x"}], "extra": 1}', "extra"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path, line, said):
    file = tmp_path / "data.jsonl"
    file.write_text(talk("a", "b").line() + "\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        list(read_conversations(file))
    assert f"{file}:3: " in str(caught.value)
    assert said in str(caught.value)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "data.jsonl"
    write_conversations([talk("a", "b")], file)
    before = file.read_bytes()

    def broken():
        yield talk("c", "d")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_conversations(broken(), file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_markdown_names_the_speakers():
    names = {"user": "You", "assistant": "小贝", "system": "System"}
    assert to_markdown(talk("a", "b").messages, names) == "**You**\n\na\n\n**小贝**\n\nb\n\n"
