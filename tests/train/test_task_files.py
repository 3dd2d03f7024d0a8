"""`[train.data] task_files`: rows of the user's own task, added, held out, and asked again in style."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from assistant.conversation import Conversation, Message, write_conversations
from assistant.errors import UsageError
from assistant.persona import Persona, Style
from assistant.serving.reply import styled_question
from train.check.probing import ask
from train.check.settings import CheckTable
from train.data.identity_set.bases import BaseNames
from train.data.identity_set.probe_templates import ProbeMaker
from train.data.identity_set.task_files import parted, task_rows, taught
from train.trainer.trained_styles import mark_trained_styles

BASE = BaseNames(("SmolLM",), ("Hugging Face",), chinese=False)
LIVELY = Style(
    name="lively", label_zh="活泼", label_en="Lively", prompt="Be lively.", trigger=", lively style"
)
FORMAL = Style(
    name="formal", label_zh="正式", label_en="Formal", prompt="Be formal.", trigger=" (formal)"
)
PERSONA = Persona(
    name="Bay",
    author="Ada",
    languages=("en",),
    system_prompt="You are Bay.",
    styles=(LIVELY, FORMAL),
)
PLACES = ("market", "library", "harbour", "station", "bakery", "museum", "orchard", "lighthouse")


def request(place: str, number: int, trigger: str = "", system: str = "") -> Conversation:
    said = [Message(role="system", content=system)] if system else []
    return Conversation(
        messages=(
            *said,
            Message(role="user", content=f"Praise the {place} on day {number}.{trigger}"),
            Message(role="assistant", content=f"What a {place}."),
        ),
        meta={"kind": "mine", "topic": place},
    )


@pytest.fixture
def task(tmp_path):
    """Read these rows from a file."""

    def read(rows: list[Conversation], probed: tuple[str, ...] = (), seed: int = 7):
        write_conversations(rows, tmp_path / "mine.jsonl")
        return task_rows(PERSONA, ["mine.jsonl"], tmp_path, probed, seed, random.Random(seed))

    return read


def wishes(days: int) -> list[Conversation]:
    triggers = ("", LIVELY.trigger, FORMAL.trigger)
    return [request(p, day, trigger) for p in PLACES for day in range(days) for trigger in triggers]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Wish her luck, lively style", ("Wish her luck", "lively")),
        ("Wish her luck?, lively style\n", ("Wish her luck?", "lively")),
        ("Wish her luck (formal)", ("Wish her luck", "formal")),
        ("lively style", ("lively style", None)),
        ("What is a lively style?", ("What is a lively style?", None)),
    ],
)
def test_a_trigger_is_what_ends_a_question(question, found):
    text, style = parted(question, PERSONA.styles)
    assert (text, style and style.name) == found


def test_a_request_is_held_out_in_all_its_styles_together(task):
    found = task(wishes(5))
    assert (len(found.train), len(found.held)) == (96, 24)
    asked = [{parted(row.messages[-2].content, PERSONA.styles)[0] for row in side}
             for side in (found.train, found.held)]  # fmt: skip
    assert not asked[0] & asked[1]
    assert len(asked[1]) == 8
    assert taught(found.held, PERSONA.styles) == {"lively", "formal"}
    assert {row.meta["kind"] for row in (*found.train, *found.held)} == {"task"}
    assert task(wishes(5)) == found


def test_no_more_is_held_out_than_a_check_can_ask(task):
    assert len(task(wishes(20)).held) == 60


def test_rows_carry_the_system_prompts_of_serving_and_keep_their_own(task):
    own = [request("park", day, system="Answer as a poet.") for day in range(20)]
    found = task([*wishes(5), *own])
    systems = Counter(row.messages[0].content for row in found.train)
    assert systems["You are Bay."] > 40
    assert all(
        row.messages[0].content == "Answer as a poet."
        for row in found.train if row.meta["topic"] == "park"
    )  # fmt: skip


def test_what_the_check_asks_is_not_trained_on(task):
    probed = "Praise the museum on day 3."
    asked = {row.messages[-2].content for row in task(wishes(5), (probed,)).train}
    assert asked < {row.messages[-2].content for row in task(wishes(5)).train}
    assert not [question for question in asked if question.startswith(probed)]


def test_files_may_be_none_or_wrong(tmp_path, task):
    assert task_rows(PERSONA, [], tmp_path, [], 7, random.Random(7)).train == []
    with pytest.raises(UsageError, match=r"Cannot read .*none\.jsonl"):
        task_rows(PERSONA, ["none.jsonl"], tmp_path, [], 7, random.Random(7))
    with pytest.raises(UsageError, match="hold no conversation"):
        task([])


def test_a_held_out_row_is_asked_as_the_page_would_ask_it(task):
    held = task(wishes(5)).held
    probes = ProbeMaker(PERSONA, BASE, random.Random(7)).styles([], held)
    assert Counter(probe.style for probe in probes) == Counter(lively=8, formal=8)
    counts = Counter(lively=20, formal=19)
    persona = mark_trained_styles(PERSONA, counts, 20)
    for probe in probes:
        style = persona.style(probe.style)
        asked = ask(probe, persona, CheckTable())
        system = "You are Bay." if style.trained else "You are Bay.\nBe formal."
        assert [said.content for said in asked.messages] == [
            system, styled_question(probe.question, style),
        ]  # fmt: skip
    triggered = {
        row.messages[-2].content for row in held if LIVELY.trigger in row.messages[-2].content
    }
    lively = [ask(probe, persona, CheckTable()) for probe in probes if probe.style == "lively"]
    assert {asked.messages[-1].content for asked in lively} == triggered


def test_a_row_of_several_turns_is_asked_with_what_came_before():
    first = request("bakery", 1)
    last = request("market", 2, LIVELY.trigger)
    row = Conversation(messages=(*first.messages, *last.messages), meta={"language": "en"})
    made = ProbeMaker(PERSONA, BASE, random.Random(7)).styles([], [row])
    (probe,) = (probe for probe in made if probe.style == "lively")
    assert [said.content for said in probe.messages] == [
        "You are Bay.\nBe lively.", *(said.content for said in first.messages),
        "Praise the market on day 2.",
    ]  # fmt: skip
