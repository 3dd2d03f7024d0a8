"""Conversations out of the browser, to files and back."""

from __future__ import annotations

import json

import pytest

from assistant.conversation import Message
from assistant.errors import UsageError
from assistant.persona import persona_from_config
from assistant.ui.conversations import (
    LARGEST_IMPORT,
    Kept,
    chat_messages,
    export_jsonl,
    export_markdown,
    feedback,
    from_chat,
    from_plain,
    import_jsonl,
    rated,
    read_kept,
)
from tests.browser.serve import config_with

PERSONA = persona_from_config(config_with())
TURN = [{"role": "user", "content": " 你好 <b> "}, {"role": "assistant", "content": "  在。\n"}]


def kept(**values: object) -> Kept:
    return read_kept({"title": "打招呼", "messages": TURN, **values})


def test_the_chat_shows_and_gives_back_the_same_text():
    messages = kept().messages
    shown = chat_messages(messages)
    assert shown[0] == {"role": "user", "content": [{"type": "text", "text": " 你好 <b> "}]}
    assert from_chat(shown) == messages
    assert from_chat([*shown, shown[0]]) == messages
    assert from_chat(None) == from_chat([]) == ()


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "assistant", "content": [{"type": "text", "text": "first"}]}],
        [{"role": "system", "content": [{"type": "text", "text": "obey"}]}, *chat_messages([])],
        [{"role": "user", "content": [{"type": "file", "file": {"path": "/etc/passwd"}}]}],
        [{"role": "user"}],
        ["text"],
    ],
)
def test_a_chat_that_is_not_turns_is_refused(value: list):
    with pytest.raises(UsageError, match="not a list of messages"):
        from_chat(value)


def test_plain_history_must_be_whole_turns():
    assert from_plain(TURN) == tuple(Message.model_validate(message) for message in TURN)
    for wrong in (TURN[:1], TURN[1:], [{"role": "system", "content": "x"}, *TURN], [{"a": "b"}]):
        with pytest.raises(ValueError, match=r".+"):
            from_plain(wrong)


def test_an_unanswered_question_goes_back_to_the_box():
    open_end = read_kept({"messages": [*TURN, {"role": "user", "content": "still there?"}]})
    assert open_end.unanswered() == "still there?"
    assert open_end.answered() == kept().messages
    assert kept().unanswered() == ""


@pytest.mark.parametrize(
    "damaged",
    [None, [], {"messages": "x"}, {"messages": TURN[1:]}, {"messages": [{"role": "root"}]}],
)
def test_a_damaged_conversation_is_a_clear_error(damaged: object):
    with pytest.raises(UsageError, match="cannot be read"):
        read_kept(damaged)


def test_ratings_follow_the_answers():
    shown = chat_messages(kept().messages) * 2
    assert rated([], shown, 3, True) == [None, "like"]
    assert rated(["like", "dislike"], shown, 1, False) == ["dislike", "dislike"]
    assert rated(["like"], shown, 1, "") == [None, None]
    assert rated([], shown, 99, True) == [None, None]
    assert feedback(["like", None, "dislike"]) == ["Like", None, "Dislike"]


def test_markdown_names_the_speakers():
    assert export_markdown(kept(), PERSONA, "zh") == {
        "name": "打招呼.md",
        "type": "text/markdown",
        "text": "**系统**\n\n你是小贝，贝贝的小助手。\n\n**你**\n\n 你好 <b> \n\n"
        "**小贝**\n\n  在。\n\n\n",
    }


def test_jsonl_has_the_system_prompt_and_the_marks_and_comes_back_equal():
    one = kept(style="rednote", ratings=["like"])
    other = kept(title="", system_prompt="")
    file = export_jsonl([one, read_kept({}), other], PERSONA, "en")
    assert file["name"] == "小贝.jsonl"
    lines = [json.loads(line) for line in file["text"].splitlines()]
    assert lines == [
        {
            "messages": [{"role": "system", "content": "你是小贝，贝贝的小助手。"}, *TURN],
            "meta": {"title": "打招呼", "style": "rednote", "ratings": ["like"]},
        },
        {"messages": TURN},
    ]
    assert import_jsonl(file["text"], PERSONA) == [one, other]


def test_nothing_to_export_is_said():
    for export in (lambda: export_jsonl([Kept()], PERSONA, "en"), lambda: export_markdown(
        Kept(), PERSONA, "en"
    )):  # fmt: skip
        with pytest.raises(UsageError, match="nothing to export"):
            export()


def test_import_takes_other_kits_files_and_cleans_them():
    line = {
        "messages": [{"role": "user", "content": "a\x00\u001b b"},
                     {"role": "assistant", "content": "c"}],
        "meta": {"title": "t" * 100, "ratings": "five stars", "style": 7, "other": {}},
    }  # fmt: skip
    (taken,) = import_jsonl("\ufeff\n" + json.dumps(line) + "\r\n\n", PERSONA)
    assert taken == Kept(
        title="t" * 60,
        messages=(Message(role="user", content="a b"), Message(role="assistant", content="c")),
        system_prompt="",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no conversation"),
        ("\n  \n", "no conversation"),
        ("not json", "line 1: not a conversation"),
        ('{"messages":[{"role":"user","content":"a"}]}\n{"messages":[]}', "line 2: not a"),
        ('{"messages":[{"role":"assistant","content":"a"}]}', "line 1: not a"),
        ("x" * (LARGEST_IMPORT + 1), "larger than 5 MB"),
    ],
)
def test_a_bad_file_is_named_line_by_line(text: str, said: str):
    with pytest.raises(UsageError, match=said):
        import_jsonl(text, PERSONA)


def test_a_bad_line_is_named_in_chinese_too():
    with pytest.raises(UsageError) as refused:
        import_jsonl("not json", PERSONA)
    assert refused.value.message.zh.startswith("第 1 行：不是一段对话")
