"""Tools on the page: by the echo engine, which says the call that it is asked."""

import asyncio
from pathlib import Path

import pytest
from test_ui_answer import PERSONA, steps_of

from assistant.config import LimitsTable, read_config
from assistant.engines.echo import EchoEngine
from assistant.errors import UsageError
from assistant.serving.answerer import Answerer, Question, Step
from assistant.serving.host import Host
from assistant.serving.tool_step import ToolStep
from assistant.tools import opening
from assistant.tools.base import ToolCall
from assistant.tools.clock import Clock
from assistant.tools.opening import page_tools
from assistant.tools.settings import ToolsTable
from assistant.ui import shown
from tests.browser.serve import PATIENCE, loaded

CALL = ToolCall("python", {"code": "23*17"}).text()


def config_of(folder: Path, tools: str):
    file = folder / "assistant.toml"
    file.write_text(
        f'[assistant]\nname = "Bei"\nauthor = "Beibei"\n[tools]\nuse = {tools}\n', "utf-8"
    )
    return read_config(file, (), {"tools": ToolsTable})


def asked(with_tools, **question) -> Step:
    loading = loaded(EchoEngine(0.001))
    host = Host(lambda report: loading(report, PERSONA), PERSONA)
    host.start()
    host.wait(PATIENCE)
    answers = Answerer(host, LimitsTable(), public=False, with_tools=with_tools)
    return asyncio.run(steps_of(answers, Question(CALL, **question)))[-1]


def test_the_page_uses_the_tools_of_the_table_and_shows_each(tmp_path):
    with page_tools(config_of(tmp_path, '["python"]'), public=True) as with_tools:
        step = asked(with_tools, tools=True)
        assert step.text == "Result of python: 391"
        assert [(one.tool, one.result) for one in step.used] == [("python", "391")]
        assert step.finish == "stop"
        for_a_program = asked(with_tools)
    assert (for_a_program.text, for_a_program.used) == (CALL, ())


def test_without_tools_the_page_answers_as_ever(tmp_path):
    with page_tools(config_of(tmp_path, "[]"), public=False) as with_tools:
        assert with_tools is None
        assert asked(with_tools, tools=True).text == CALL


def test_a_public_page_has_no_tool_that_does_more_than_compute(tmp_path, monkeypatch):
    class Reading(Clock):
        computes = False

    monkeypatch.setitem(opening._MAKERS, "clock", Reading)
    config = config_of(tmp_path, '["clock"]')
    with pytest.raises(UsageError, match="clock does more than compute"):
        page_tools(config, public=True).__enter__()
    with page_tools(config, public=False) as with_tools:
        assert with_tools


def test_what_tools_said_is_escaped_and_cut():
    bad = ToolStep("python", {"code": "<script>1</script>" * 20}, "<b>" * 100, 0.5)
    failed = ToolStep("", {}, None, 0.1, "no & such")
    html = shown.used(Step("done", used=(bad, failed)), "en")
    assert "<script>" not in html and "<b>" not in html
    assert "&lt;script&gt;" in html
    assert 'class="failed"' in html and "failed: no &amp; such" in html
    assert len(html) < 2000
    assert "用了 2 次工具" in shown.used(Step("done", used=(bad, failed)), "zh")
    assert shown.used(Step("done"), "en") == ""
