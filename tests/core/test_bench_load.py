"""`python -m assistant bench --engine …`: load on an engine, and what is left of it."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from assistant.__main__ import main
from assistant.bench import load
from assistant.bench import run as bench_run
from assistant.bench.load_report import Loaded, LoadReport, percentiles
from assistant.bench.report import taken_here
from assistant.conversation import Message
from assistant.engines.base import Sampling
from assistant.engines.echo import EchoEngine
from assistant.errors import EngineError, FailedError
from assistant.words import Text

PNG = b"\x89PNG\r\n\x1a\n"


def test_memory_counts_what_an_engine_started():
    before = load.memory_mb()
    held = "x = b'1' * 200_000_000; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert load.memory_mb() > before + 190
        child.communicate(b"\n")


def bench(*arguments: str):
    return CliRunner().invoke(main, ["bench", "-q", *arguments])


def test_two_engines_in_turn_as_table_json_and_plot(tmp_path):
    done = bench("--engine", "echo", "--engine", "echo", "--concurrent", "1,4", "--tokens", "4",
                 "--quick", "--json", "--out", str(tmp_path))  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "load.json").read_text("utf-8"))
    assert (tmp_path / "load.png").read_bytes().startswith(PNG)
    rows = report["rows"]
    assert len(rows) == 2 * len(load.KINDS) * 2
    assert [row["concurrent"] for row in rows] == [1, 4] * 6
    assert [row["ratio"] is None for row in rows] == [True] * 6 + [False] * 6
    for row in rows:
        assert row["requests"] == 4 and row["errors"] == {}
        assert row["tokens"] == 4 * 4
        assert row["first_text_ms"] == sorted(row["first_text_ms"])
        assert len(row["between_ms"]) == 3
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / row["seconds"])
        assert row["memory_mb"] > 10
    table = (tmp_path / "load.md").read_text("utf-8")
    assert table.count("\n| echo |") == 12 and "bench --engine echo --engine echo" in table


def test_prompts_of_other_lengths_are_not_compared():
    report = LoadReport(**taken_here("a command"))
    for number, words in ((1, 480), (2, 366)):
        report.rows.append(Loaded.of(
            number, "echo", "long prompt", 1, 1.0, firsts=[0.1], gaps=[], tokens=9, requests=1,
            errors={}, memory_mb=1.0,
        ))  # fmt: skip
        report.rows[-1] = replace(report.rows[-1], words=words)
    report.compare()
    assert [row.ratio for row in report.rows] == [None, None]
    assert "long prompts of 366 and 480 words" in report.as_table()
    report.rows[1] = replace(report.rows[1], words=480)
    report.compare()
    assert report.rows[1].ratio == 1.0


class Failing(EchoEngine):
    """Every second answer breaks off after its first words."""

    asked = 0

    def stream(self, messages, sampling):
        self.asked += 1
        fails = self.asked % 2 == 0
        for number, chunk in enumerate(super().stream(messages, sampling)):
            if fails and number == 2:
                raise EngineError("truncated", Text("It broke off.", "中断了。"))
            yield chunk


def test_errors_are_counted_and_do_not_end_the_load():
    engine = Failing(seconds_per_token=0.001)
    questions = [[Message(role="user", content=f"{n} one two three four")] for n in range(6)]
    row = load.measure(engine, 1, "short", 1, 8, questions)
    assert row.errors == {"truncated": 3} and row.requests == 6
    assert row.tokens == 3 * 8 and len(row.first_text_ms) == 3


class Together(EchoEngine):
    """Answers only where so many ask at once."""

    def __init__(self, number: int):
        super().__init__(0)
        self._all_are_here = threading.Barrier(number, timeout=60)

    def stream(self, messages, sampling):
        self._all_are_here.wait()
        return super().stream(messages, sampling)


@pytest.mark.parametrize("at_once", [1, 4])
def test_so_many_are_asked_at_once_as_was_said(at_once):
    questions = [[Message(role="user", content=f"{n} one two three four")] for n in range(8)]
    row = load.measure(Together(at_once), 1, "short", at_once, 8, questions)
    assert (row.requests, row.errors, row.tokens) == (8, {}, 8 * 8)


def test_one_answer_is_timed_from_the_question_to_each_piece():
    engine = EchoEngine(seconds_per_token=0.01)
    asked = load.ask(engine, [Message(role="user", content="a b c d")], Sampling(max_tokens=4))
    assert asked.first is not None and asked.first >= 0.009
    assert len(asked.gaps) == 3 and min(asked.gaps) > 0.004
    assert (asked.tokens, asked.error) == (4, "")


def test_percentiles_are_in_milliseconds():
    assert percentiles([]) == ()
    assert percentiles([0.5]) == (500.0, 500.0, 500.0)
    assert percentiles([n / 100 for n in range(101)]) == pytest.approx((500, 950, 990))


@pytest.mark.parametrize("value", ["", "1,x", "0", "4,-1"])
def test_numbers_that_are_none_are_named(value):
    done = bench("--engine", "echo", "--concurrent", value)
    assert done.exit_code == 2
    assert "1,4,16" in done.output


def test_without_matplotlib_only_the_plot_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["bench", "--engine", "echo", "--concurrent", "1", "--tokens", "2",
                                     "--quick", "--out", str(tmp_path)])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["load.json", "load.md"]
    assert "matplotlib" in done.output


def test_long_prompts_have_so_many_words_and_no_two_share_a_beginning():
    assert len(load.diary(480).split()) == 480
    one, other = (
        load.messages("long prompt", mark, 100)[-1].content for mark in ("1-4-0", "1-4-1")
    )
    assert one[:8] != other[:8] and one[8:] == other[8:]
    shared = [load.messages("shared system prompt", mark, 100) for mark in ("1-4-0", "1-4-1")]
    assert shared[0][0] == shared[1][0] and shared[0][1] != shared[1][1]


def test_the_kit_is_measured_wherever_the_bench_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench_run._timed([sys.executable, "-m", "assistant", "--help"]) > 0


def test_a_program_that_cannot_be_measured_is_one_sentence(tmp_path, monkeypatch):
    """As where a library of the page is missing: `bench` says what the page says, and how to see it."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "app.py"
    page.write_text(
        "raise SystemExit('Error: The library gradio is not installed.\\nInstall it: pip')", "utf-8"
    )
    monkeypatch.setattr(bench_run, "APP", str(page))
    config = SimpleNamespace(file=Path("assistant.toml"))
    for measure in (
        lambda: bench_run._page_time(config), lambda: bench_run._timed([sys.executable, str(page)]),
    ):  # fmt: skip
        with pytest.raises(
            FailedError, match=r"ended at once: Error: The library gradio is not"
        ) as refused:
            measure()
        assert f"&& {sys.executable} {page}" in refused.value.cure.en
