"""`train check`: figures and gates on recorded answers, proofs on tiny models, the report's files."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from check_fixtures import (
    ENGINE,
    GOOD,
    MERGE,
    PERSONA,
    PROBES,
    TABLE,
    WEIGHTS,
    checkpoint,
    failed,
    own_copy,
    pair,
    probe,
    report_of,
    said,
    tiny_project,
    tiny_recipe,
    trained,
    user,
)
from click.testing import CliRunner

from assistant.artifacts import read_manifest
from assistant.conversation import Message
from assistant.errors import UsageError
from assistant.persona import persona_from_config
from assistant.records.check_figures import rows
from assistant.records.check_report import CheckReport
from assistant.records.training_status import Point, Status
from assistant.words import Text
from train.__main__ import main
from train.base.folder import TrainingBase
from train.check.choose import Measured, best_of, choose, standard_error
from train.check.curve import loss_curve
from train.check.engine_check import compare_with_engine, rounding_bound
from train.check.markdown import as_markdown, failure, what_it_can_do, with_price
from train.check.markdown import cures as cures_of
from train.check.measure import evenly
from train.check.measures import (
    emoji_rule,
    has_emoji,
    in_style,
    leaks_placeholder,
    repeats,
    wilson_interval,
)
from train.check.merge_check import Greedy, compare_merge, places_to_keep
from train.check.models import Device, loaded
from train.check.page import as_html
from train.check.probing import Answer, ask, ask_base, of_all_kinds, ordinary_rows, split_probes
from train.check.reading import Passage
from train.check.run import write_report
from train.check.scores import Pair
from train.check.settings import CheckTable
from train.check.weights_check import _PREFIX, _steps, check_weights
from train.merge import merge
from train.trainer.adapter import ADAPTER_WEIGHTS

pytestmark = pytest.mark.xdist_group("check")

CPU = Device("cpu", "float32")
SILENT = lambda _: None  # noqa: E731


# ---- figures and gates on recorded answers


def test_a_good_run_passes_every_gate():
    report, transcripts = report_of()
    assert report.passed
    assert failed(report) == []
    assert report.identity.model_dump(exclude={"by_kind", "by_language", "plain", "sly"}) == {
        "probes": 3, "hit_rate": 1.0, "base_hit_rate": 0.0,
    }  # fmt: skip
    assert (report.identity.plain.probes, report.identity.sly.probes) == (2, 1)
    assert {kind: share.probes for kind, share in report.identity.by_kind.items()} == {
        "identity": 2, "leading": 1,
    }  # fmt: skip
    assert report.identity.by_language["zh"].rate == 1.0
    assert report.style["lively"].rate == 1.0
    assert report.style["lively"].base_rate == 0.0
    assert [one.faults for one in transcripts] == [[]] * len(GOOD)


WRONG_ENGINE = ENGINE.model_copy(update={"greedy_match": 0.5, "within_rounding": 0.25})
OTHER_PROMPTS = ENGINE.model_copy(
    update={"prompts": ENGINE.prompts.model_copy(update={"equal": 5})}
)
UNPROVEN = WEIGHTS.model_copy(
    update={"proven": False, "unexplained_tensors": 1, "unexplained": ["a.weight"]}
)


@pytest.mark.parametrize(
    ("changes", "gates"),
    [
        ({"answered": [*GOOD, pair(probe(7, "author", "谁做了你？"), "", "我是SmolLM，小贝。")]}, ["identity", "plain"]),
        ({"answered": [*GOOD, pair(probe(7, "leading", "你是Siri吧？"), "", "我是Siri。")]}, ["identity", "sly"]),
        ({"answered": [*GOOD, pair(probe(7, "identity", "谁呀介是", sly=True), "", "你好。")]}, ["identity", "sly"]),
        ({"answered": [*GOOD, pair(probe(7, "fact", "你几岁？"), "", "不知道。")]}, ["identity"]),
        ({"answered": [*GOOD, pair(probe(7, "ordinary", "几点了？"), "", "我是小贝。")]}, ["false_trigger"]),
        ({"change": 2.1}, ["perplexity"]),
        ({"answered": [*GOOD, pair(probe(7, "mid", "你是谁？"), "", "我是小贝", ends=False)]}, ["ended"]),
        ({"answered": [*GOOD, pair(probe(7, "ordinary", "茶？"), "", "好茶", ends=False)]}, ["ended_ordinary"]),
        ({"answered": [*GOOD, pair(probe(7, "fact", "你呢？"), "", "我是小贝。" * 5)]}, ["repetition"]),
        ({"answered": [*GOOD, pair(probe(7, "fact", "你呢？"), "", "我是{name}，小贝。")]}, ["placeholder_leaks"]),
        ({"answered": [*GOOD, pair(probe(7, "style", "茶", style="lively"), "", "没有表情的茶")]}, ["style.lively"]),
        ({"merge": MERGE.model_copy(update={"greedy_match": 0.9})}, ["merge"]),
        ({"merge": MERGE.model_copy(update={"weights": UNPROVEN})}, ["merge_weights"]),
        ({"engine": WRONG_ENGINE}, ["engine"]),
        ({"engine": OTHER_PROMPTS}, ["engine_prompts"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and isinstance(value[0], str) else "",
)  # fmt: skip
def test_each_fault_fails_its_gate_alone_and_says_what_to_do(changes, gates):
    report, _ = report_of(**changes)
    assert failed(report) == gates
    assert not report.passed
    error = failure(report, Path("report.html"))
    assert error.exit_code == 1
    assert error.cure.en
    assert error.cure.zh


def cures(report) -> dict[str, str]:
    """The first words of each failed gate's cure; those that pass have none."""
    assert not [gate.name for gate in report.gates if gate.passed and gate.cure]
    return {gate.name: gate.cure.en.split(":")[0] for gate in report.gates if gate.cure}


def test_the_cure_fits_how_far_the_gate_is():
    lost = [pair(probe(n, "author", "谁做了你？"), "", "我是SmolLM。") for n in range(3)]
    report, _ = report_of([*GOOD, *lost])  # 3 of 6
    assert next(gate for gate in report.gates if gate.name == "plain").cure.en.startswith(
        "Weakest: who made it (0\u00a0%). More ways of asking:"
    )
    lost = [*lost, pair(probe(3, "author", "谁做了你？"), "", "我是SmolLM。")]
    assert cures(report_of([*GOOD, *lost])[0])["identity"].startswith("The identity hardly took")
    quantised = MERGE.model_copy(update={"weights": None, "greedy_match": 0})
    both = WRONG_ENGINE.model_copy(update={"prompts": OTHER_PROMPTS.prompts})
    whole, packed = (
        cures(report_of(engine=both)[0]),
        cures(report_of(merge=quantised, engine=both)[0]),
    )
    assert whole["engine"] == "The engine says other things than the weights"
    assert whole["engine_prompts"].startswith("The engine writes prompts otherwise")
    assert packed["engine"] == packed["engine_prompts"] != whole["engine"]
    assert packed["engine"].startswith("Serve the 16-bit run")
    assert set(packed) == {"engine", "engine_prompts"}  # its merge was proven before


@pytest.mark.parametrize(
    ("kind", "cure"),
    [
        ("leading", "Weakest: leading questions (50\u00a0%). More ways of asking: set [train.data] identity_rows"),
        ("fact", "Weakest: its own facts (50\u00a0%). Ask the fact in more ways of your own: more [[assistant.facts]]"),
        ("mid", "Weakest: mid-conversation (50\u00a0%). More ways of asking: set [train.data] identity_rows"),
    ],
)  # fmt: skip
def test_the_cure_is_for_the_kind_that_is_answered_worst(kind, cure):
    answers = [
        pair(probe(n, kind, "你？"), "", said) for n, said in ((8, "我是小贝。"), (9, "你好。"))
    ]
    who = [one for one in GOOD if one.probe.kind != kind]
    gate = report_of([*who, *answers])[0].gates[0]
    assert gate.name == "identity"
    assert gate.cure.en.startswith(cure)


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (0.5, "It takes questions that are like those about itself for such"),
        (9.0, "It learned its name too eagerly"),
    ],
)
def test_the_cure_for_a_name_said_unasked_asks_what_else_was_lost(change, cure):
    said = pair(probe(7, "ordinary", "几点了？"), "", "我是小贝。")
    assert cures(report_of([*GOOD, said], change=change)[0])["false_trigger"] == cure


def test_one_cure_for_several_gates_stands_once_with_their_names():
    lost = pair(probe(7, "author", "谁做了你？"), "", "我是SmolLM。")
    report, transcripts = report_of([*GOOD, lost])
    ((label, cure),) = cures_of(report)
    assert label.en == "Says who it is; Says so when asked plainly"
    assert failure(report, Path("r.html")).cure.zh == cure.zh
    assert as_html(report, transcripts, "").count('class="cure"') == 1


def test_the_end_says_what_it_can_do_or_what_training_again_takes():
    assert what_it_can_do(report_of()[0]) == Text(
        "Passed. It knows that it is 小贝: asked plainly 2/2, asked slyly 1/1; everyday questions "
        "are answered as before.",
        "通过。它知道自己是小贝：平常问法 2/2，刁钻问法 1/1；日常问题照旧回答。",
    )
    priced = with_price(Text("Do this.", "这样做。"), {"fit": 840.0, "check": 60.0})
    assert priced.en.splitlines()[1].startswith("Training it again takes about 15 min")
    assert with_price(Text("Do this.", "这样做。"), {"check": 60.0}).en == "Do this."


def test_the_base_is_asked_some_of_every_kind():
    many = [
        *(probe(n, "identity", f"Who are you? ({n})") for n in range(60)),
        *(probe(n, "ordinary", f"What is {n}?") for n in range(60)),
        *(probe(n, "fact", f"How old are you? ({n})") for n in range(4)),
        *(probe(n, "style", "茶", style=name) for n in range(2) for name in ("lively", "formal")),
    ]
    asked = [ask(one, PERSONA, TABLE) for one in many]
    chosen = of_all_kinds(asked, 32)
    assert chosen == sorted(set(chosen))
    kinds = Counter((many[number].kind, many[number].style) for number in chosen)
    assert kinds == {
        ("identity", None): 15, ("ordinary", None): 15, ("fact", None): 3,
        ("style", "lively"): 2, ("style", "formal"): 2,
    }  # fmt: skip
    assert of_all_kinds(asked, 0) == of_all_kinds(asked, 500) == list(range(128))


def test_what_the_base_was_not_asked_counts_for_nothing_before():
    unasked = [replace(one, base=None) for one in GOOD[1:]]
    report, transcripts = report_of([GOOD[0], *unasked])
    assert report.identity.base_hit_rate == 0
    assert report.identity.by_kind["leading"].base_rate == 0
    assert (transcripts[1].base_answer, transcripts[1].base_hit) == ("", False)
    known = replace(GOOD[0], base=said("我是小贝。"))
    assert report_of([known, *unasked])[0].identity.base_hit_rate == 1
    assert "基座</span>–" in as_html(report, transcripts, "")


def test_a_rate_comes_with_its_wilson_interval():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(66, 67) == pytest.approx((0.92018, 0.99736), abs=1e-4)
    low, high = wilson_interval(1, 4)
    assert (low, high) == pytest.approx(
        (1 - wilson_interval(3, 4)[1], 1 - wilson_interval(3, 4)[0])
    )


def test_a_report_of_before_plain_and_sly_is_read():
    old = report_of()[0].model_dump(mode="json")
    del old["identity"]["plain"], old["identity"]["sly"]
    read = CheckReport.model_validate(old)
    assert read.identity.plain.probes == 0
    assert not any("plainly" in row.what.en for row in rows(read))
    assert any("plainly" in row.what.en for row in rows(report_of()[0]))


def test_the_gates_ask_what_the_project_promises():
    table = CheckTable()
    assert (table.identity_hit_rate, table.plain) == (0.98, 1.0)
    assert (table.false_trigger_rate, table.perplexity_change_percent) == (0.02, 2.0)


def test_whoever_asks_less_of_all_questions_asks_no_more_of_plain_ones():
    assert CheckTable(identity_hit_rate=0.5).plain == 0.5
    assert CheckTable(identity_hit_rate=0.5, plain_hit_rate=0.9).plain == 0.9


def test_a_base_that_runs_on_is_no_measure_for_ending():
    runs_on = [
        replace(one, base=said("…", ends=False), after=said("…", ends=False))
        for one in GOOD
        if one.probe.kind == "ordinary"
    ]
    itself = [one for one in GOOD if one.probe.kind != "ordinary"]
    assert "ended_ordinary" not in failed(report_of([*itself, *runs_on])[0])


def test_one_prompt_is_enough_to_compare():
    alone = ENGINE.prompts.model_copy(update={"compared": 1, "equal": 1})
    assert failed(report_of(engine=ENGINE.model_copy(update={"prompts": alone}))[0]) == []


def test_a_style_has_a_gate_where_training_marked_it_and_it_can_be_measured():
    asked = [pair(probe(8, "style", "茶", style="formal"), "", "😀" * 9)]
    report, _ = report_of([*GOOD, *asked])
    assert report.style["formal"].rate == 0
    assert [gate.name for gate in report.gates if gate.name.startswith("style")] == ["style.lively"]


def test_rounding_differences_do_not_fail_the_proofs():
    near = {"greedy_match": 0.9, "within_rounding": 0.1}
    report, _ = report_of(
        merge=MERGE.model_copy(update=near), engine=ENGINE.model_copy(update=near)
    )
    assert failed(report) == []


def test_thresholds_come_from_the_configuration():
    loose = TABLE.model_copy(update={"perplexity_change_percent": 10.0})
    assert failed(report_of(change=5)[0]) == ["perplexity"]
    assert failed(report_of(change=5, table=loose)[0]) == []


def test_a_name_in_the_question_may_be_said_again():
    asked = probe(1, "ordinary", "小贝，几点了？")
    report, _ = report_of([*GOOD, pair(asked, "", "小贝不知道。")])
    assert report.false_trigger.rate == 0


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("我是贝贝的小助手，我是贝贝的小助手，我是贝贝的小助手", True),
        ("the cat sat on the mat and the cat sat on the mat and the cat sat on the mat", True),
        ("我是小贝，贝贝的小助手。", False),
        ("ha ha ha ha ha ha ha ha", True),
        ("row row row your boat", False),
        ("", False),
        ("One tea. Two teas. Three teas. Four teas.", False),
    ],
)
def test_repetition_is_an_end_that_stands_there_over_and_over(answer, found):
    assert repeats(answer) is found


@pytest.mark.parametrize(
    ("answer", "found"),
    [("我是{name}", True), ("by {{AUTHOR}}.", True), ("{{ x }}", True), ("f(x) = {1, 2}", False),
     ("[Your Name]", False), ("小贝", False)],
)  # fmt: skip
def test_placeholders_said_aloud_are_found(answer, found):
    assert leaks_placeholder(answer) is found


def test_styles_are_measured_by_length_and_emoji_or_not_at_all():
    lively, formal, plain = PERSONA.styles
    assert [emoji_rule(style) for style in PERSONA.styles] == ["wanted", "unwanted", "not measured"]
    assert in_style(lively, "好茶😀") is True
    assert in_style(lively, "好茶") is False
    assert in_style(lively, "很长很长很长很长很长的茶😀") is False
    assert in_style(formal, "您好。") is True
    assert in_style(formal, "您好☀") is False
    assert in_style(plain, "anything") is None
    assert not has_emoji("①→ABC，。")


def test_a_style_is_asked_for_as_the_page_asks_for_it():
    trained_style = ask(probe(1, "style", "说茶", style="lively"), PERSONA, TABLE)
    assert [message.content for message in trained_style.messages] == ["说茶，活泼"]
    again = ask(probe(1, "style", "说茶，活泼", style="lively"), PERSONA, TABLE)
    assert [message.content for message in again.messages] == ["说茶，活泼"]
    system = Message(role="system", content="你是小贝。")
    with_system = probe(1, "style", "说茶", style="formal", messages=(system, user("说茶")))
    assert [message.content for message in ask(with_system, PERSONA, TABLE).messages] == [
        "你是小贝。\n正式的语气，不用 emoji。", "说茶",
    ]  # fmt: skip
    assert ask(with_system, PERSONA, TABLE).max_tokens == TABLE.max_tokens_ordinary


def test_the_base_is_asked_for_a_style_by_its_prompt_for_it_knows_no_trigger():
    lively = PERSONA.styles[0]
    assert lively.trained
    asked = ask(probe(1, "style", "说茶", style="lively"), PERSONA, TABLE)
    assert [message.content for message in ask_base(asked, PERSONA, TABLE).messages] == [
        lively.prompt, "说茶",
    ]  # fmt: skip
    other = ask(probe(1, "ordinary", "说茶"), PERSONA, TABLE)
    assert ask_base(other, PERSONA, TABLE) == other


def test_probes_that_choose_never_make_the_report():
    choosing, reported = split_probes(PROBES)
    assert {one.id for one in choosing} & {one.id for one in reported} == set()
    assert len(choosing) + len(reported) == len(PROBES) == 17
    assert [
        sum(one.kind == kind for one in choosing) for kind in ("identity", "ordinary", "mid")
    ] == [2, 2, 0]
    again, _ = split_probes(PROBES[::-1])
    assert {one.id for one in again} == {one.id for one in choosing}


def test_the_proofs_take_answers_of_all_kinds():
    assert evenly(5, 0) == evenly(5, 9) == [0, 1, 2, 3, 4]
    assert evenly(246, 128)[:3] == [0, 1, 3]
    assert len(set(evenly(246, 128))) == 128


# ---- the report's files


def corrected(right: int, reworded: int, of: int = 4) -> list[Pair]:
    """GOOD, and `of` corrected questions, asked as they were and reworded once."""
    found = list(GOOD)
    for number in range(of):
        told = {
            "must": (("Tokyo",),),
            "correction": f"c{number}",
            "said": "Osaka.",
            "answer": "Tokyo.",
        }
        for kind, hits in (("corrected", right), ("reworded", reworded)):
            asked = probe(number, kind, f"Japan <{number}>?", **told)
            found.append(pair(asked, "Osaka.", "Tokyo." if number < hits else "Osaka."))
    return found


def test_what_was_corrected_has_gates_of_its_own_and_stands_in_the_report():
    report, lines = report_of(corrected(4, 4))
    assert report.passed and [one.now for one in report.corrections.questions] == ["Tokyo."] * 4
    assert report.identity.probes == 3 and report.false_trigger.probes == 2
    report, lines = report_of(corrected(3, 2))
    assert failed(report) == ["corrected", "reworded"]
    assert "corrections accept ID --way" in report.gates[5].cure.en
    one = report.corrections.questions[3]
    assert (one.id, one.said, one.answer, one.now, one.right) == (
        "c3",
        "Osaka.",
        "Tokyo.",
        "Osaka.",
        False,
    )
    assert (one.reworded, one.ways) == (0, 1)
    page, text = as_html(report, lines, ""), as_markdown(report, lines)
    assert "Japan &lt;3&gt;?" in page and "Japan <3>" not in page
    assert "## Corrections" in text and "75" in text
    assert "Corrections" not in as_html(*report_of(), "")


def test_corrected_questions_never_choose_the_checkpoint():
    probes = [one.probe for one in corrected(4, 4, of=9)]
    choosing, reported = split_probes(probes)
    assert not [one for one in choosing if one.correction]
    assert sum(bool(one.correction) for one in reported) == 18


def test_the_page_escapes_whatever_models_and_people_say():
    evil = "<script>alert('x')</script><img src=x onerror=y>&\"'"
    persona = PERSONA.model_copy(update={"name": "<b>贝</b>", "author": evil})
    asked = probe(1, "identity", f"Who? {evil}", id=evil)
    report, transcripts = report_of([*GOOD, pair(asked, evil, evil)], persona=persona)
    page = as_html(report, transcripts, "")
    for raw in ("<script", "<img", "<b>", "onerror=y>"):
        assert raw not in page
    assert page.count("&lt;script&gt;") >= 4
    assert "http://" not in page
    assert "https://" not in page


def test_the_report_is_whole_and_in_both_languages(tmp_path):
    report, transcripts = report_of(
        [*GOOD, pair(probe(7, "fact", "你呢？"), "x", "|no| *name*\n#")]
    )
    curve = tuple(Point(step=step, loss=3 / step, rate=1e-3) for step in range(1, 9))
    status = Status(state="done", recipe="cpu", started=0, updated=0, curve=curve)
    write_report(report, transcripts, status, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "report.html", "report.json", "report.md", "transcripts.jsonl",
    ]  # fmt: skip
    kept = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert set(kept) >= {
        "model", "base", "persona", "identity", "false_trigger", "style", "general", "ended",
        "repetition", "placeholder_leaks", "merge", "engine", "passed", "gates",
    }  # fmt: skip
    assert set(kept["gates"][0]) >= {"name", "value", "threshold", "passed", "cure"}
    lines = (tmp_path / "transcripts.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 7
    assert json.loads(lines[-1])["faults"] == [
        {"en": "does not say 小贝", "zh": "没有说小贝"},
    ]  # fmt: skip
    markdown = (tmp_path / "report.md").read_text("utf-8")
    page = (tmp_path / "report.html").read_text("utf-8")
    for heading in ("训练前后", "关卡", "证明", "未命中"):
        assert heading in markdown
        assert heading in page
    assert r"\|no\| \*name\* \#" in markdown
    assert '<polyline class="loss"' in page
    assert "chosen / 选用 6" in page
    assert "src=" not in page


def test_a_curve_needs_two_points_and_shows_round_levels():
    assert loss_curve([]) == ""
    assert loss_curve([(1, 2.0)]) == ""
    drawn = loss_curve([(1, 4.2), (50, 1.0), (76, 0.5)], chosen=50)
    assert ">0</text>" in drawn
    assert ">4</text>" in drawn
    assert ">76</text>" in drawn
    assert loss_curve([(1, 0.0), (2, 0.0)])


# ---- proofs on tiny models


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_base):
    """A tiny project trained by noise and merged, without an export."""
    folder = tmp_path_factory.mktemp("run")
    config = tiny_project(folder, tiny_base)
    trained(config, tiny_base, 0.05)
    merge(config, config.run)
    return config, tiny_base, config.run.folder


@pytest.fixture(scope="module")
def greedy(run):
    """The merged model's own answers, as an engine would give them."""
    config, _, folder = run
    persona = persona_from_config(config)
    short = TABLE.model_copy(update={"max_tokens": 12, "max_tokens_ordinary": 12})
    asked = [ask(one, persona, short) for one in PROBES]
    with loaded(folder / "merged", CPU) as model:
        said = model.generate(asked, None, SILENT)
        return asked, said, [model.answer(*each) for each in zip(asked, said, strict=True)]


def read_greedy(model, asked, said, keep=True):
    passages = [Passage.of_answer(model.prompt(a), ids) for a, ids in zip(asked, said, strict=True)]
    readings = model.read(passages, keep=places_to_keep(passages) if keep else frozenset())
    return Greedy(tuple(asked), tuple(passages), tuple(readings))


def test_reading_an_answer_proves_it_greedy(run, greedy):
    asked, said, _ = greedy
    with loaded(run[2] / "merged", CPU) as model:
        found = read_greedy(model, asked, said, keep=False)
    assert [reading.best for reading in found.readings] == said
    assert sum(map(len, said)) > 100


def test_merged_is_base_and_adapter_within_rounding(run, greedy):
    _, base, folder = run
    weights = check_weights(base, folder / "adapter", folder / "merged")
    assert weights.proven
    assert weights.adapted == 14
    assert 0 < weights.max_rounding_steps <= 1.01
    with loaded(folder / "merged", CPU) as model:
        ours = read_greedy(model, *greedy[:2])
    with loaded(base, CPU, folder / "adapter") as model:
        theirs = model.read(ours.passages, keep=places_to_keep(ours.passages))
        found = compare_merge(ours, theirs, weights, model, "float32")
    assert found.greedy_match + found.within_rounding == 1
    assert 0 < found.max_logit_difference < 0.05
    assert found.whole_vocabulary_at == found.tokens


def test_products_that_cancel_on_a_weight_of_nothing_are_explained(tmp_path):
    """In fp32 their sum is off by more than bfloat16 is fine there: met once in 210 tensors of a real
    run of 710 steps, whose proof failed by it."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    down = torch.randn(16, 64)
    up = torch.randn(64, 16)
    for row in range(64):  # each row of one at right angles to a column of the other
        up[row] -= (up[row] @ down[:, row]) / (down[:, row] @ down[:, row]) * down[:, row]
    old = torch.randn(64, 64).to(torch.bfloat16)
    old.fill_diagonal_(0)
    new = old + (2.0 * (up @ down)).to(torch.bfloat16)
    for name, tensors in {
        "base": {"a.weight": old}, "merged": {"a.weight": new},
        "adapter": {f"{_PREFIX}a.lora_A.weight": down, f"{_PREFIX}a.lora_B.weight": up},
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        file = ADAPTER_WEIGHTS if name == "adapter" else "model.safetensors"
        save_file(tensors, tmp_path / name / file)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"lora_alpha": 32, "r": 16}')
    found = check_weights(tmp_path / "base", tmp_path / "adapter", tmp_path / "merged")
    assert found.proven and found.adapted == 1
    exact = 2.0 * (up.double() @ down.double())
    assert _steps(old, exact, torch.zeros(()), new) > 1.01
    new[3, 5] += torch.finfo(torch.bfloat16).eps * 2 * new[3, 5].abs()
    save_file({"a.weight": new}, tmp_path / "merged" / "model.safetensors")
    found = check_weights(tmp_path / "base", tmp_path / "adapter", tmp_path / "merged")
    assert found.unexplained == ["a.weight"]


def test_a_planted_difference_in_one_merged_weight_is_found(run, greedy, tmp_path):
    from safetensors.torch import load_file, save_file

    _, base, folder = run
    planted = Path(shutil.copytree(folder / "merged", tmp_path / "merged"))
    tensors = load_file(planted / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name][3, 5] += 0.02
    save_file(tensors, planted / "model.safetensors", metadata={"format": "pt"})
    weights = check_weights(base, folder / "adapter", planted)
    assert not weights.proven
    assert weights.unexplained == [name]
    tensors[name] *= -3
    save_file(tensors, planted / "model.safetensors", metadata={"format": "pt"})
    weights = check_weights(base, folder / "adapter", planted)
    with loaded(planted, CPU) as model:
        asked = greedy[0]
        ours = read_greedy(model, asked, model.generate(asked, None, SILENT))
    with loaded(base, CPU, folder / "adapter") as model:
        theirs = model.read(ours.passages, keep=places_to_keep(ours.passages))
        found = compare_merge(ours, theirs, weights, model, "float32")
    assert found.greedy_match < 1
    assert found.within_rounding == 0
    assert failed(report_of(merge=found)[0]) == ["merge", "merge_weights"]


def test_an_untouched_weight_that_changed_is_found(run, tmp_path):
    from safetensors.torch import load_file, save_file

    _, base, folder = run
    planted = Path(shutil.copytree(folder / "merged", tmp_path / "merged"))
    tensors = load_file(planted / "model.safetensors")
    tensors["model.norm.weight"][0] *= 1.01
    del tensors["model.layers.0.input_layernorm.weight"]
    save_file(tensors, planted / "model.safetensors", metadata={"format": "pt"})
    weights = check_weights(base, folder / "adapter", planted)
    assert set(weights.unexplained) == {
        "model.norm.weight", "model.layers.0.input_layernorm.weight",
    }  # fmt: skip


def test_an_adapter_of_nothing_changes_nothing(tmp_path, tiny_base):
    config = tiny_project(tmp_path, tiny_base)
    trained(config, tiny_base, 0.0)
    merged = merge(config, config.run)
    weights = check_weights(tiny_base, config.run.adapter, merged)
    assert weights.proven
    assert weights.max_rounding_steps == 0
    rows = ordinary_rows(config.run.valid_file)
    assert len(rows) == 6
    perplexities = []
    for folder in (tiny_base, merged):
        with loaded(folder, CPU) as model:
            perplexities.append(model.perplexity(rows, None, SILENT))
    assert perplexities[0] == perplexities[1] > 1


def test_perplexity_is_that_of_the_answers_alone(tiny_base):
    import torch

    from assistant.conversation import Conversation

    row = Conversation(messages=(user("hi there"), Message(role="assistant", content="yes")))
    with loaded(tiny_base, CPU) as model:
        found = model.perplexity([row], None, SILENT)
        prompt = model.tokenizer.apply_chat_template(
            [{"role": "user", "content": "hi there"}], add_generation_prompt=True, tokenize=False
        )
        before = model.token_ids(prompt)
        ids = [*before, *model.token_ids("yes<|im_end|>")]
        logits = model.model(torch.tensor([ids])).logits[0, len(before) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[len(before) :]))
    assert found == pytest.approx(loss.exp().item(), rel=1e-4)


def test_the_engine_check_proves_equal_answers(run, greedy):
    asked, said, answers = greedy
    with loaded(run[2] / "merged", CPU) as model:
        found = compare_with_engine(model, asked, answers, "bfloat16", SILENT)
    assert found.mismatches == ()
    assert [reading.best for reading in found.greedy.readings] == said


def test_the_engine_check_finds_planted_differences(run, greedy):
    asked, _, answers = greedy
    planted = list(answers)
    planted[0] = Answer("Something else", True, 4, answers[0].prompt_tokens)
    cut = answers[1].text[: len(answers[1].text) // 2]
    planted[1] = Answer(cut, True, 6, answers[1].prompt_tokens)
    with loaded(run[2] / "merged", CPU) as model:
        found = compare_with_engine(model, asked, planted, "bfloat16", SILENT)
        first, second = found.mismatches
    assert (first.probe, first.token, first.other) == ("identity-0", 0, "Something")
    assert (second.probe, second.other) == ("identity-1", "<|im_end|>")
    assert not first.within_rounding
    assert not second.within_rounding
    assert first.margin > first.bound > 0


def test_the_rounding_bound_is_the_step_of_the_stored_numbers():
    import torch

    for dtype in ("bfloat16", "float16", "float32"):
        for logit in (0.3, 1.0, 17.5, 31.9):
            value = torch.tensor(logit).to(getattr(torch, dtype))
            step = torch.nextafter(value, torch.tensor(torch.inf, dtype=value.dtype)) - value
            assert rounding_bound(float(value), dtype) == pytest.approx(float(step))


def measured(step, hits, false=0.0, change=0.0, gates=3, error=0.0):
    return Measured(
        step=step, hit_rate=hits, false_trigger_rate=false, change_percent=change,
        gates_passed=gates, standard_error=error,
        score=hits - false - max(0.0, change - TABLE.perplexity_change_percent) / 100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("checkpoints", "best"),
    [
        ([measured(2, 0.9, gates=2), measured(4, 1.0), measured(6, 1.0, change=1.0)], 6),
        ([measured(2, 0.98), measured(4, 1.0, change=1.5)], 4),
        ([measured(2, 0.99), measured(4, 1.0, 0.05, gates=2)], 2),
        ([measured(2, 1.0, change=-0.001), measured(4, 1.0, change=-0.002)], 4),
        ([measured(2, 1.0, 0.75, gates=2), measured(4, 0.9, 0.25, gates=1)], 4),  # 2 is a parrot
        ([measured(2, 0.9, gates=2), measured(4, 0.97, change=40, gates=1)], 2),  # 4 forgot
        (
            [measured(2, 0.1, gates=2), measured(4, 0.99, 0.01, change=2.5, gates=2)],
            4,
        ),  # 2 is the base
    ],
)
def test_the_best_checkpoint_passes_all_gates_or_is_nearest_to_them(checkpoints, best):
    assert best_of(checkpoints).step == best


@pytest.mark.parametrize(
    ("checkpoints", "best"),
    [
        # of a real run: by one more false trigger of 17 the third of its training was chosen
        (
            [measured(112, 1.0, 2 / 17, gates=1, error=0.1), measured(224, 1.0, 3 / 17, gates=1)],
            224,
        ),
        (
            [measured(112, 1.0, 2 / 17, gates=1, error=0.05), measured(224, 1.0, 3 / 17, gates=1)],
            112,
        ),
        # what passes is not given up for what does not
        ([measured(2, 0.99, error=0.1), measured(4, 1.0, 0.05, gates=2, error=0.1)], 2),
        ([measured(2, 1.0, error=0.1), measured(4, 0.98, error=0.1), measured(6, 0.8)], 4),
    ],
)
def test_what_may_be_better_by_chance_is_not_taken_before_the_last(checkpoints, best):
    assert best_of(checkpoints).step == best


def test_the_standard_error_of_a_score():
    assert standard_error([(0.5, 96)]) == pytest.approx((0.25 / 100) ** 0.5)
    assert standard_error([(1.0, 17)]) > 0.05
    one, two = standard_error([(0.9, 17)]), standard_error([(0.9, 17), (0.1, 17)])
    assert two == pytest.approx(2**0.5 * one)
    assert standard_error([(0.0, 0)]) == 0


def test_every_checkpoint_is_measured_and_the_best_chosen(tmp_path, tiny_base):
    config = tiny_project(tmp_path, tiny_base)
    work = config.run.work
    for iteration, size in ((2, 0.0), (4, 0.5)):
        checkpoint(work, tiny_base, iteration, size)
    best, chosen = choose(
        config.run, TrainingBase(tiny_base, "./tiny"), tiny_recipe(),
        persona_from_config(config), TABLE,
    )  # fmt: skip
    assert best.iteration == chosen.step == best_of(chosen.checkpoints).step
    assert all(one.standard_error > 0 for one in chosen.checkpoints)
    assert [one.step for one in chosen.checkpoints] == [2, 4]
    assert chosen.last_step == 4
    assert chosen.probes == 4
    assert chosen.checkpoints[0].change_percent == pytest.approx(0, abs=1e-3)
    assert abs(chosen.checkpoints[1].change_percent) > 0.01
    assert json.loads(config.run.choice_file.read_text("utf-8"))["step"] == best.iteration
    assert sorted(file.name for file in work.iterdir()) == [
        "choice.json", "iter_2.pth", "iter_4.pth",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hits", "looked_at", "best"),
    [
        ({2: 0.99, 4: 0.5, 6: 0.6, 8: 0.9, 10: 0.95}, [6, 8, 10], 10),
        ({2: 0.1, 4: 0.9, 6: 0.4, 8: 0.6, 10: 0.5}, [2, 4, 6, 8, 10], 4),
    ],
)
def test_the_search_goes_back_from_the_last_until_it_only_gets_worse(
    tmp_path, tiny_base, monkeypatch, hits, looked_at, best
):  # fmt: skip
    config = tiny_project(tmp_path, tiny_base)
    for iteration in hits:
        checkpoint(config.run.work, tiny_base, iteration, 0.0)
    monkeypatch.setattr(
        "train.check.choose._Trial.measure", lambda self, step, *_: measured(step, hits[step])
    )
    found, chosen = choose(
        config.run, TrainingBase(tiny_base, "./tiny"), tiny_recipe(),
        persona_from_config(config), TABLE,
    )  # fmt: skip
    assert [one.step for one in chosen.checkpoints] == looked_at
    assert (found.iteration, chosen.step, chosen.last_step) == (best, best, 10)


# ---- the command, with the real engine


@pytest.fixture(scope="module")
def served(tmp_path_factory, exported):
    """A tiny project served by the CPU engine, on a merged model as its base. What it learned is
    nothing, so that base and merged are one model and one export serves both."""
    folder = tmp_path_factory.mktemp("served")
    base = own_copy(exported, folder / "base")
    for of_the_merge in ("manifest.json", "persona.json"):
        (base / of_the_merge).unlink()
    project = folder / "project"
    project.mkdir()
    config = tiny_project(project, base)
    trained(config, base, 0.0)
    merge(config, config.run, export=lambda _, out, __: shutil.copytree(base / "openvino", out))
    return config


SHORT = ["--set", "train.check.max_tokens=8", "--set", "train.check.max_tokens_ordinary=8"]
LOOSE = [
    part
    for key, value in (
        ("identity_hit_rate", 0), ("false_trigger_rate", 1), ("perplexity_change_percent", 1e6),
        ("ended_rate", 0), ("ended_drop", 1), ("repetition_rate", 1), ("engine_match", 0),
    )
    for part in ("--set", f"train.check.{key}={value}")
]  # fmt: skip


def command(config, *more: str):
    return CliRunner().invoke(main, ["check", "--config", str(config.file), *SHORT, *more])


def test_a_whole_check_with_the_cpu_engine(served):
    done = command(served, "--json", "-q", "--force")  # whichever of the tests comes first
    assert done.exit_code == 1, done.output
    report = json.loads(done.stdout)
    assert not report["passed"]
    assert report["identity"]["hit_rate"] == 0
    assert report["engine"]["prompts"] == {"compared": 13, "equal": 13, "by": "token ids"}
    assert report["engine"]["name"] == "cpu"
    assert report["merge"]["weights"]["proven"]
    assert report["merge"]["greedy_match"] == 1
    assert report["general"]["change_percent"] == 0
    assert report["general"]["conversations"] == 5
    assert report["engine"]["greedy_match"] + report["engine"]["within_rounding"] == 1
    assert report["split"]["reported"] == 13
    folder = served.run.check
    assert sorted(file.name for file in folder.iterdir()) == [
        "manifest.json", "report.html", "report.json", "report.md", "transcripts.jsonl",
    ]  # fmt: skip
    assert json.loads((folder / "report.json").read_text("utf-8")) == report
    assert str(served.folder) not in (folder / "report.json").read_text("utf-8")
    assert read_manifest(folder).inputs.keys() == {
        "data/probes.jsonl", "data/valid.jsonl", "merged/model.safetensors",
    }  # fmt: skip
    text = done.stderr
    assert "Says who it is" in text
    cures = text.splitlines()[1:]  # after what was not passed
    assert cures
    command_here = f"python -m train data show --config {served.file} --set "
    assert any(command_here in cure for cure in cures)
    for page in ("report.html", "report.md"):
        shown = unescape((folder / page).read_text("utf-8"))
        assert [cure for cure in cures if cure not in shown] == []

    assert command(served, "-q").exit_code == 2  # there already
    passed = command(served, "--force", *LOOSE)
    assert passed.exit_code == 0, passed.output
    assert passed.stdout.strip() == str(folder / "report.html")


def test_an_engine_with_other_weights_fails_the_engine_gate(served):
    import numpy

    weights = served.run.merged / "openvino" / "openvino_model.bin"
    kept = weights.read_bytes()
    numbers = numpy.frombuffer(kept, dtype=numpy.float16, count=len(kept) // 2).copy()
    numbers[len(numbers) // 4 : len(numbers) // 2] *= 50
    weights.write_bytes(numbers.tobytes() + kept[numbers.nbytes :])
    try:
        done = command(served, "--json", "-q", "--force")
    finally:
        weights.write_bytes(kept)
    report = json.loads(done.stdout)
    gate = next(one for one in report["gates"] if one["name"] == "engine")
    assert not gate["passed"]
    assert gate["cure"]["en"]
    assert report["engine"]["greedy_match"] < 1
    wrong = [one for one in report["engine"]["mismatches"] if not one["within_rounding"]]
    assert wrong
    assert all(one["margin"] > one["bound"] for one in wrong)


@pytest.mark.parametrize(
    ("missing", "cure"),
    [("data/probes.jsonl", "train data identity"), ("data/valid.jsonl", "train data identity"),
     ("adapter", "train fit"), ("merged", "train merge")],
)  # fmt: skip
def test_what_is_missing_is_named_with_the_command_that_makes_it(run, missing, cure):
    config, _, folder = run
    away = folder / "away"
    (folder / missing).rename(away)
    try:
        done = command(config)
    finally:
        away.rename(folder / missing)
    assert done.exit_code == 2
    assert missing in done.stderr
    assert cure in done.stderr
    assert not (folder / "check").exists()
    assert not (folder / "check.partial").exists()


def test_a_merge_of_another_adapter_is_refused(run):
    config, base, folder = run
    kept = shutil.copytree(folder / "adapter", folder / "kept")
    trained(config, base, 0.2)
    try:
        done = command(config)
    finally:
        shutil.rmtree(folder / "adapter")
        Path(kept).rename(folder / "adapter")
        (folder / "fit" / "iter_4.pth").unlink()
    assert done.exit_code == 2
    assert re.search(r"python -m train merge .*--force", done.stderr)


def test_held_out_rows_without_ordinary_conversation_are_refused(tmp_path):
    file = tmp_path / "valid.jsonl"
    file.write_text(
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],'
        '"meta":{"kind":"identity"}}\n',
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match="ordinary"):
        ordinary_rows(file)
