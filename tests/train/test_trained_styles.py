"""A style that training taught by its trigger: marked from the data, nowhere else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from assistant.config import read_config
from assistant.conversation import Conversation, Message
from assistant.persona import Persona, persona_from_config
from train.trainer.trained_styles import mark_trained_styles, trigger_rows, undertrained_styles

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wishes() -> Persona:
    return persona_from_config(read_config(ROOT / "examples" / "wishes" / "assistant.toml"))


def row(*questions: str) -> Conversation:
    """A conversation that asks these questions."""
    messages = []
    for question in questions:
        messages += [
            Message(role="user", content=question),
            Message(role="assistant", content="好。"),
        ]
    return Conversation(messages=tuple(messages))


def test_only_a_question_that_ends_with_the_trigger_counts_and_a_row_counts_once(wishes):
    rows = [
        row("祝姐姐生日快乐，小红书风格"),
        row("祝姐姐生日快乐，小红书风格", "祝奶奶长寿，小红书风格\n"),
        row("小红书风格，祝姐姐生日快乐"),
        row("祝姐姐生日快乐", "祝老师教师节快乐，严肃风格"),
    ]
    assert trigger_rows(rows, wishes.styles) == Counter(rednote=2, formal=1)


def test_enough_rows_mark_a_style_and_too_few_are_said(wishes):
    counts = Counter(rednote=20, formal=19)
    marked = mark_trained_styles(wishes, counts, 20)
    assert {style.name: style.trained for style in marked.styles} == {
        "rednote": True, "formal": False,
    }  # fmt: skip
    assert marked.model_copy(update={"styles": wishes.styles}) == wishes
    (said,) = undertrained_styles(wishes, counts, 20)
    assert "formal: 19 rows" in said.en
    assert "fewer than 20" in said.en


def test_a_style_without_rows_is_neither_marked_nor_spoken_of(wishes):
    assert mark_trained_styles(wishes, Counter(), 1) == wishes
    assert undertrained_styles(wishes, Counter(), 1) == []
