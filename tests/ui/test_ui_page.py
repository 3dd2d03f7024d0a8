"""What the page says and how it is put together, without a browser."""

from __future__ import annotations

import re
import string
import subprocess
import sys
import unicodedata
from types import SimpleNamespace

import pytest
from personas import persona_of, triggered

from assistant.engines.base import EngineInfo
from assistant.errors import BlockedError, EngineError
from assistant.persona import persona_from_config
from assistant.progress import Progress
from assistant.serving.answerer import Running, Step
from assistant.serving.failures import said_of
from assistant.serving.host import Host, HostState
from assistant.serving.text import cleaned, escaped, file_name
from assistant.serving.visitors import visitor_of
from assistant.ui import OwnerTab, build_page, launch_options, shown, words
from assistant.ui.desk import preferred_language
from assistant.ui.importing import gradio as gr
from assistant.ui.launch import SCRIPTS, STATIC, head
from assistant.ui.visitors import Sessions
from assistant.words import LANGUAGES, Text
from tests.browser.serve import CONFIG, Loading, config_with

CONFIG_USED = config_with()
PERSONA = persona_from_config(CONFIG_USED)
INFO = EngineInfo("cpu", "AMD EPYC", "SmolLM2-135M-Instruct", 8192)


def request(headers: dict[str, str] | None = None, host: str = "10.0.0.1") -> SimpleNamespace:
    return SimpleNamespace(headers=headers or {}, client=SimpleNamespace(host=host))


def all_words() -> list[Text]:
    found: list[Text] = []
    for value in vars(words).values():
        if isinstance(value, Text):
            found.append(value)
        elif isinstance(value, dict):
            found += [text for text in value.values() if isinstance(text, Text)]
        elif isinstance(value, tuple):
            found += [text for text in value if isinstance(text, Text)]
    return found


def test_every_word_is_in_both_languages_with_the_same_placeholders():
    assert len(all_words()) > 80
    for text in all_words():
        assert text.en, text
        assert text.zh, text
        names = [
            {name for _, name, _, _ in string.Formatter().parse(said) if name} for said in text
        ]
        assert names[0] == names[1], text
        assert not re.search("[\u4e00-\u9fff]", text.en), text


def test_every_word_the_script_asks_for_is_there():
    script = "".join((STATIC / name).read_text("utf-8") for name in SCRIPTS)
    asked = set(re.findall(r"""(?:word|button|icon|tell)\("(\w+)\"""", script))
    assert asked
    assert asked <= set(words.SCRIPT)


def test_the_head_cannot_be_left_by_a_word(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(words.SCRIPT, "new", Text("</script><img src=x>", "新"))
    assert "</script><img" not in head()


def test_heading_says_model_engine_device_and_whose_persona():
    state = HostState("ready", PERSONA, "weights", info=INFO, note=Text("a <note>", "说明"))
    text = re.sub("<[^>]+>", "|", shown.heading(state, "en"))
    for part in ("小贝", "SmolLM2-135M-Instruct", "cpu · AMD EPYC", "persona from the weights",
                 "a &lt;note&gt;"):  # fmt: skip
        assert part in text
    assert "身份来自模型权重" in shown.heading(state, "zh")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("first/merged", "first/merged"),
        ("/home/me/merged", "merged"),
        (r"C:\Users\me\tea", "tea"),
        ("hf:me/bei", "hf:me/bei"),
    ],
)
def test_heading_names_the_model_but_no_path_of_this_machine(path, name):
    here = HostState("ready", PERSONA, info=EngineInfo("cpu", "CPU", path, 1))
    assert f"<span>{name}</span>" in shown.heading(here, "en")


def test_loading_shows_how_far():
    loading = HostState("loading", PERSONA)
    assert "unknown" in shown.loading_card(loading, "en", public=False)
    half = Progress(Text("Downloading", "下载"), 49_000_000, 98_000_000, "B")
    card = shown.loading_card(HostState("loading", PERSONA, progress=half), "zh", public=False)
    assert 'aria-valuenow="50"' in card
    assert "49 / 98 MB" in card
    assert "下载" in card
    assert shown.loading_card(HostState("ready", PERSONA), "en", public=False) == ""


def test_a_failed_load_tells_the_owner_why_and_a_visitor_not():
    error = BlockedError(Text("No <network> at /home/me.", "没有网络。"), Text("Mend it.", "修。"))
    failed = HostState("failed", PERSONA, error=error)
    owner = shown.loading_card(failed, "en", public=False)
    assert "No &lt;network&gt; at /home/me.<br>Mend it." in owner
    visitor = shown.loading_card(failed, "en", public=True)
    assert "/home/me" not in visitor
    assert "owner" in visitor


def test_failures_are_said_in_the_visitors_language_and_insides_stay_inside():
    internal = EngineError("internal", Text("traceback /srv/x", "内部 /srv/x"))
    assert said_of(internal, "zh", public=False) == "内部 /srv/x"
    assert "/srv/x" not in said_of(internal, "zh", public=True)
    assert said_of(ValueError("secret"), "en", public=False).startswith("Something went wrong")


@pytest.mark.parametrize(
    ("code", "shown"),
    [("unavailable", "cannot answer at the moment"), ("truncated", "broke off"),
     ("context_length", "too long"), ("invalid_request", "Something went wrong")],
)  # fmt: skip
def test_what_only_operators_should_see_is_said_to_them_alone(code, shown):
    error = EngineError(code, Text("The server http://10.0.0.7: KEY_VAR", "服务器 http://10.0.0.7"))
    assert "10.0.0.7" in said_of(error, "en", public=True)  # a failure that is the visitor's own
    error.for_operators = True
    assert "10.0.0.7" in said_of(error, "en", public=False)
    assert shown in said_of(error, "en", public=True)
    assert "10.0.0.7" not in said_of(error, "zh", public=True)


def test_what_an_answer_leaves_to_say():
    assert shown.outcome(Step("done", "x", finish="stop"), "en") == ""
    said = shown.outcome(Step("done", "x", dropped_turns=3, finish="length"), "en")
    assert "oldest 3 turns" in said
    assert "longest length" in said
    assert "前面还有 2 人，约 9 秒" in shown.waiting(Step("in line", ahead=2, seconds=9), "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_are_the_personas_own_facts_first(language: str):
    found = shown.examples(PERSONA, language)
    texts = [one.text for one in found]
    assert len(texts) == len(set(texts)) == 4
    facts = {"zh": ["你是谁？", "你能做什么？"], "en": ["Who are you?"]}[language]
    assert texts[: len(facts)] == facts
    assert [one.style for one in found] == [None, None, None, PERSONA.styles[0]]
    assert (
        found[-1]
        .shown(language)["display_text"]
        .endswith({"zh": " · 小红书", "en": " · Lively"}[language])
    )
    bare = PERSONA.model_copy(update={"facts": (), "styles": ()})
    plain = shown.examples(bare, language)
    assert len(plain) == 4
    assert all(one.style is None for one in plain)


def test_styles_say_what_they_do():
    lively, brief = PERSONA.styles
    assert shown.style_choices(PERSONA, "zh") == [
        ("默认", ""), ("小红书", "rednote"), ("简短", "brief"),
    ]  # fmt: skip
    assert "小红书风格回答" in shown.style_does(lively, "zh")
    assert "温度 1.0" in shown.style_does(lively, "zh")
    assert "温度" not in shown.style_does(brief, "zh")
    styles = {"rednote": {**CONFIG["styles"]["rednote"], "prompt": "<b>"}}
    (trained,) = persona_of(CONFIG["assistant"], styles, triggered(lively.trigger)).styles
    assert "trained for this style" in shown.style_does(trained, "en")
    assert "&lt;b&gt;" in shown.style_does(trained, "en")


HOSTILE = '<img src=x onerror="alert(1)">'


def test_a_hostile_persona_stays_text():
    persona = PERSONA.model_copy(update={"name": HOSTILE, "system_prompt": f'"{HOSTILE}'})
    state = HostState("ready", persona, info=INFO)
    for markup in (shown.heading(state, "en"), shown.empty_page(persona, "en")):
        assert "<img" not in markup
        assert "&lt;img" in markup
    assert "<img" not in shown.notice(HOSTILE)
    assert escaped("a\n<b>") == "a<br>&lt;b&gt;"


def test_file_names_hold_no_paths():
    assert file_name("../../etc/passwd", ".md") == "etc-passwd.md"
    assert file_name("你好 世界", ".md") == "你好-世界.md"
    assert file_name("?!", ".jsonl") == "conversation.jsonl"


def test_cleaned_away_is_what_unicode_calls_a_control_or_a_surrogate():
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    harmless = [
        one for one in everything
        if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs")
    ]  # fmt: skip
    assert cleaned(everything.replace("\r", "")) == "".join(harmless)


def test_cleaned_keeps_inner_blanks():
    assert cleaned("  a\t b\r\n\r c ") == "  a\t b\n\n c "


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("fr-FR,zh;q=0.5", "zh"),
        ("en;q=0.3,zh-TW;q=0.7", "zh"),
        ("de", "en"),
        ("", "en"),
        ("zh;q=broken", "en"),
    ],
)
def test_the_browsers_language_is_taken(accepted: str, language: str):
    assert preferred_language(request({"accept-language": accepted})) == language


def test_a_visitor_is_the_address_and_the_header_counts_only_when_trusted():
    forged = {"x-forwarded-for": "1.1.1.1, 2.2.2.2"}
    assert visitor_of(request(forged), 0) == "10.0.0.1"
    assert visitor_of(request(forged), 1) == "2.2.2.2"
    assert visitor_of(request(forged), 2) == "1.1.1.1"
    assert visitor_of(request(forged), 9) == "1.1.1.1"
    assert visitor_of(request(), 1) == "10.0.0.1"


def test_one_page_has_one_answer():
    sessions = Sessions()
    first = sessions.begin("page")
    second = sessions.begin("page")
    assert (first.stopped, second.stopped) == (True, False)
    sessions.end("page", first)
    sessions.stop("other")
    assert not second.stopped
    sessions.stop("page")
    assert second.stopped
    sessions.end("page", second)
    sessions.stop("page")
    nameless = sessions.begin(None)
    sessions.stop(None)
    assert not nameless.stopped


def test_stop_before_the_engine_has_begun_stops_it_at_once():
    closed = []
    running = Running()
    running.stop()
    running.attach(SimpleNamespace(close=lambda: closed.append(True)))
    assert closed == [True]


def page_of(**options: object) -> gr.Blocks:
    loading = Loading()
    host = Host(lambda report: loading(report, PERSONA), PERSONA)
    return build_page(host, CONFIG_USED, **{"public": True, **options})


def test_only_chat_is_public():
    for public in (True, False):
        functions = page_of(public=public).fns.values()
        visible = [function.api_name for function in functions
                   if function.api_visibility != "private"]  # fmt: skip
        assert visible == ["chat"]


def test_owner_tabs_are_the_owners():
    built = []
    tab = OwnerTab(Text("Train", "训练"), built.append)
    page_of(public=True, owner_tabs=[tab])
    assert built == []
    page = page_of(public=False, owner_tabs=[tab])
    assert len(built) == 1
    assert isinstance(built[0], gr.Radio)
    labels = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert labels == ["聊天", "训练"]


def test_gradio_never_refuses_before_the_limits_do(monkeypatch: pytest.MonkeyPatch):
    options = launch_options(config_with(serve={"limits": {"concurrent": 3, "queue": 500}}))
    assert options["max_threads"] > 503
    queue, told = gr.Blocks.queue, []

    def queued(page: gr.Blocks, **options: object) -> gr.Blocks:
        told.append(options)
        return queue(page, **options)

    monkeypatch.setattr(gr.Blocks, "queue", queued)
    page = page_of()
    assert told[-1] == {"default_concurrency_limit": None, "max_size": None, "api_open": True}
    answering = [function for function in page.fns.values()
                 if function.queue and function.fn is not None]  # fmt: skip
    assert sorted(function.name for function in answering) == [
        "chat", "edit", "example", "go_on", "retry", "send", "stop",
    ]  # fmt: skip
    assert all(function.concurrency_limit in (None, "default") for function in answering)


def test_nothing_of_a_conversation_is_kept_by_gradio():
    options = launch_options(CONFIG_USED)
    assert options["run_history"] is False
    assert options["max_file_size"] <= 1
    page = page_of()
    assert not [block for block in page.blocks.values() if isinstance(block, gr.State)]


def test_the_page_is_imported_without_model_libraries_and_without_gradios_stubs_being_renewed():
    code = (
        "import ast, inspect, sys\n"
        "getfile, parsed, segment = inspect.getfile, [], ast.get_source_segment\n"
        "ast.get_source_segment = lambda *given: parsed.append(given) or segment(*given)\n"
        "import assistant.ui.page\n"
        "assert inspect.getfile is getfile\n"
        "heavy = ('torch', 'openvino', 'openvino_genai', 'lmdeploy', 'transformers')\n"
        "print(len(parsed), [name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "0 []", result.stderr
