"""The page in a real Chromium, over the echo engine: what a person does, and what must not harm."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from failures import kept_if_it_fails
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from assistant.corrections import (
    CORRECTIONS_FILE,
    keep_correction,
    made_correction,
    read_corrections,
)
from assistant.errors import BlockedError
from assistant.persona import persona_from_config
from assistant.ui import OwnerTab
from assistant.ui.importing import gradio as gr
from assistant.words import Text
from tests.browser.serve import (
    CONFIG,
    ENDLESS,
    HELD,
    HELD_AT,
    PATIENCE,
    PROJECT,
    Loading,
    Stage,
    config_with,
    loaded,
    served,
)
from train.page import corrections_tab

pytestmark = pytest.mark.xdist_group("browser")

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
]  # fmt: skip
MILLISECONDS = 1000 * PATIENCE  # as Playwright counts
LONG = HELD + "A long answer goes on and on. " * 16

expect.set_options(timeout=MILLISECONDS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail(
            "There is no Chromium for the browser tests. Install it: "
            "apt-get install chromium fonts-noto-cjk fonts-noto-color-emoji"
        )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Visitors:
    """Browsers of one person each. Tests hand them on: a new one would load Gradio's scripts again."""

    def __init__(self, browser: Browser):
        self._browser = browser
        self._made: dict[tuple[str, bool], list[BrowserContext]] = defaultdict(list)

    def one(self, language: str, touch: bool, others: list[BrowserContext]) -> BrowserContext:
        """One with that language and kind of screen who is none of the `others`."""
        alike = self._made[language, touch]
        for context in alike:
            if context not in others:
                return context
        context = self._browser.new_context(locale=language, has_touch=touch)
        context.set_default_timeout(MILLISECONDS)
        alike.append(context)
        return context


@pytest.fixture(scope="module")
def visitors(browser: Browser) -> Visitors:
    return Visitors(browser)


@pytest.fixture(scope="module")
def usual_server() -> Iterator[Stage]:
    """A served page that most tests share."""
    with served() as stage:
        yield stage


@pytest.fixture
def usual(usual_server: Stage) -> Stage:
    """The usual server, with no answer under way and nothing asked yet."""
    usual_server.engine.go_on()  # what a failed test has left held
    eventually(lambda: usual_server.engine.running == 0)
    usual_server.engine.prompts.clear()
    return usual_server


@pytest.fixture(scope="module")
def narrow_server() -> Iterator[Stage]:
    """A page for one at a time, one in line and one turn; with a tab of the owner's."""
    tab = OwnerTab(Text("Train", "训练"), lambda language: gr.Markdown("Here it is trained."))
    limits = {"concurrent": 1, "queue": 1, "history_turns": 1}
    with served(config=config_with(serve={"limits": limits}), owner_tabs=[tab]) as stage:
        yield stage


@pytest.fixture
def narrow(narrow_server: Stage) -> Stage:
    """The narrow server, with no answer under way."""
    eventually(lambda: narrow_server.engine.running == 0)
    return narrow_server


@pytest.fixture(scope="module")
def loading_server() -> Iterator[Stage]:
    """A page whose loading each test begins again."""
    with served() as stage:
        yield stage


@pytest.fixture(scope="module")
def public() -> Iterator[Stage]:
    """A page for everyone, at one message a minute. A test loads it anew."""
    config = config_with(serve={"limits": {"messages_per_minute": 1}})
    with served(config=config, public=True) as stage:
        yield stage


@pytest.fixture
def visit(visitors: Visitors) -> Iterator[Callable[..., Page]]:
    """Open a page as a visitor of its own, or in one more tab `beside` another. No script error and no
    dialog may come of it."""
    lent: list[BrowserContext] = []
    troubles: list[str] = []

    with ExitStack() as stack:

        def open_page(
            address: str,
            language: str = "en-US",
            beside: Page | None = None,
            touch: bool = False,
            size: tuple[int, int] = (1280, 800),
            scheme: str = "light",
        ) -> Page:
            if beside:
                page = beside.context.new_page()
            else:
                lent.append(visitors.one(language, touch, lent))
                page = lent[-1].new_page()
                forget_everything(page, address)
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme=scheme)
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("request", lambda asked: _at_home(asked.url, address, troubles))
            stack.enter_context(kept_if_it_fails("page.html", page.content))
            stack.enter_context(kept_if_it_fails("page.png", page.screenshot))
            begin(page, address)
            while not beside and stored(page):  # the page before wrote late, after the forgetting
                page.evaluate("localStorage.clear()")
                begin(page, address)
            return page

        yield open_page
    for context in lent:
        for page in context.pages:
            page.close()
    assert troubles == []


def forget_everything(page: Page, address: str) -> None:
    """As in a browser that never saw the page, but for Gradio's scripts."""
    page.context.clear_cookies()
    session = page.context.new_cdp_session(page)
    kinds = {"origin": address.rstrip("/"), "storageTypes": "local_storage,indexeddb"}
    session.send("Storage.clearDataForOrigin", kinds)
    session.detach()


def _at_home(url: str, address: str, troubles: list[str]) -> None:
    """Nothing may be fetched from anywhere else."""
    if not url.startswith((address, "data:", "blob:")):
        troubles.append(f"fetched {url}")


@pytest.fixture
def page(visit: Callable[..., Page], usual: Stage) -> Page:
    """The usual page, in English, with nothing said yet."""
    return visit(usual.address)


def begin(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("body.assistant-ready")


def box(page: Page) -> Locator:
    return page.locator("#box textarea")


def said(page: Page) -> list[tuple[str, str]]:
    """The conversation as a person reads it."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#chat [data-testid=user], #chat [data-testid=bot]")]
          .map((one) => [one.dataset.testid, one.innerText.trim()])"""
    )


def idle(page: Page) -> None:
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()


def say(page: Page, text: str) -> None:
    """Send a message and wait for its whole answer."""
    answers = page.locator("#chat [data-testid=bot]").count()
    box(page).fill(text)
    box(page).press("Enter")
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(answers + 1)
    idle(page)


def ended(page: Page, does: Callable[[], object]) -> None:
    """Do something that is answered, and wait until all of the answer is on the page: a failure shows
    its notice before it puts the text back."""
    page.evaluate(
        """() => {
          const page = window.assistantPage;
          const before = page.ended;
          window.ending = new Promise((done) => {
            page.ended = (...kept) => { page.ended = before; before(...kept); done(true); };
          });
        }"""
    )
    does()
    assert page.evaluate("() => window.ending")


def begin_long(page: Page) -> None:
    """Have an answer under way."""
    box(page).fill(LONG)
    page.locator("#send").click()
    expect(page.locator("#chat [data-testid=bot]").last).to_contain_text("A long")


def rows(page: Page) -> list[str]:
    return page.locator("#shelf .opener").all_inner_texts()


def stored(page: Page) -> list[dict[str, Any]]:
    return page.evaluate(
        """() => Object.keys(localStorage).filter((key) => key.includes(":talk:"))
          .map((key) => JSON.parse(localStorage.getItem(key)))"""
    )


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def program(stage: Stage) -> Client:
    """Another program that talks with the page."""
    return Client(
        stage.address, verbose=False, httpx_kwargs={"timeout": PATIENCE}, ssl_verify=False
    )


# ---- opening and talking


def test_it_opens_with_a_greeting_and_what_is_in_use(page: Page):
    expect(page.locator(".hello h2")).to_have_text("Hello, I am 小贝.")
    expect(page.locator("#heading")).to_contain_text("echo")
    expect(page.locator("#heading")).to_contain_text("persona from assistant.toml")
    expect(page).to_have_title("小贝")
    assert page.locator("#chat .example").count() == 4
    assert page.evaluate("document.documentElement.lang") == "en"
    assert "svg" in page.locator("link[rel~=icon]").get_attribute("href")
    expect(page.locator("footer")).to_be_hidden()


def test_a_message_is_answered_piece_by_piece(page: Page, usual: Stage):
    text = HELD + "one two three four five"
    box(page).fill(text)
    box(page).press("Enter")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(text[:HELD_AT])
    expect(page.locator("#stop")).to_be_visible()
    usual.engine.go_on()
    idle(page)
    assert said(page) == [["user", text], ["bot", text]]
    assert box(page).input_value() == ""


def test_an_example_is_a_question(page: Page, usual: Stage):
    page.locator("#chat .example").first.click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("Who are you?")
    idle(page)
    page.locator("#shelf .new").click()
    page.locator("#chat .example", has_text="Lively").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(1)
    idle(page)
    expect(page.locator("#style label.selected")).to_have_text("Lively")
    assert "小红书风格" in usual.engine.prompts[-1][0].content


def test_stop_ends_the_engine_and_keeps_what_came(page: Page, usual: Stage):
    begin_long(page)
    assert usual.engine.running == 1
    page.locator("#stop").click()
    eventually(lambda: usual.engine.running == 0)
    idle(page)
    expect(page.locator("#said")).to_contain_text("Stopped.")
    (_, question), (_, answer) = said(page)
    assert question == LONG.strip()
    assert 0 < len(answer) < len(question)
    say(page, "and again")
    assert said(page)[-1] == ["bot", "and again"]


def test_writing_goes_on_while_an_answer_comes(page: Page):
    begin_long(page)
    box(page).fill("meanwhile")
    page.locator("#stop").click()
    idle(page)
    assert box(page).input_value() == "meanwhile"


def test_a_closed_tab_ends_the_engine(visit: Callable[..., Page], usual: Stage):
    leaving = visit(usual.address)
    begin_long(leaving)
    assert usual.engine.running == 1
    leaving.close()
    eventually(lambda: usual.engine.running == 0)


def test_a_tab_closed_while_waiting_leaves_the_line(visit: Callable[..., Page], narrow: Stage):
    first = visit(narrow.address)
    second, third = (visit(narrow.address, beside=first) for _ in range(2))
    begin_long(first)
    box(second).fill("second")
    box(second).press("Enter")
    expect(second.locator("#said")).to_contain_text("In line")
    second.close()

    def room_in_line() -> bool:
        box(third).fill("third")
        box(third).press("Enter")
        expect(third.locator("#said p")).to_be_visible()
        return "In line" in third.locator("#said").inner_text()

    eventually(room_in_line)


def test_retry_undo_and_edit(page: Page, usual: Stage):
    say(page, "first")
    say(page, "second")
    asked = usual.engine.prompts
    before = len(asked)
    page.get_by_role("button", name="Answer again").click()
    eventually(lambda: len(asked) == before + 1)
    assert asked[-1] == asked[-2]
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(2)
    idle(page)
    page.get_by_role("button", name="Take back").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(1)
    assert box(page).input_value() == "second"
    say(page, "third")
    page.get_by_role("button", name="Edit").first.click()
    page.locator("#chat .edit-textarea").fill("first, but <better>")
    page.get_by_role("button", name="Send edited").click()
    expect(page.locator("#chat [data-testid=user]")).to_have_count(1)
    idle(page)
    assert said(page)[0] == ["user", "first, but <better>"]
    assert [one.content for one in asked[-1]][1:] == ["first, but <better>"]


def test_an_edited_or_liked_answer_is_noted_for_training(page: Page, usual: Stage):
    (PROJECT / CORRECTIONS_FILE).unlink(missing_ok=True)
    say(page, "Who wrote Hamlet?")
    asked = len(usual.engine.prompts)
    page.get_by_role("button", name="Edit").last.click()
    page.locator("#chat .edit-textarea").fill("Shakespeare <wrote> it.")
    page.get_by_role("button", name="Send edited").click()
    expect(page.locator("#said")).to_contain_text("1 to look at")
    assert said(page) == [["user", "Who wrote Hamlet?"], ["bot", "Shakespeare <wrote> it."]]
    assert len(usual.engine.prompts) == asked
    (one,) = read_corrections(PROJECT)
    assert (one.question, one.said, one.answer, one.source, one.state) == (
        "Who wrote Hamlet?", "Who wrote Hamlet?", "Shakespeare <wrote> it.", "page", "new",
    )  # fmt: skip
    say(page, "and Faust")
    assert [m.content for m in usual.engine.prompts[-1]][1:3] == [
        "Who wrote Hamlet?",
        "Shakespeare <wrote> it.",
    ]
    page.get_by_role("button", name="Good answer").last.click()
    expect(page.locator("#said")).to_contain_text("2 to look at")
    liked = read_corrections(PROJECT)[1]
    assert (liked.answer, liked.source, [m.content for m in liked.before]) == (
        "and Faust", "liked", ["Who wrote Hamlet?", "Shakespeare <wrote> it."],
    )  # fmt: skip
    page.get_by_role("button", name="Good answer").last.click()
    eventually(lambda: len(read_corrections(PROJECT)) == 1)
    page.reload()
    expect(page.locator("#chat")).to_contain_text("Shakespeare <wrote> it.")


def test_a_cut_answer_offers_to_go_on(page: Page):
    page.locator("#open-settings").click()
    page.locator("#more button.label-wrap").click()
    page.locator("#max-tokens input[type=number]").fill("5")
    page.locator("#max-tokens input[type=number]").press("Tab")
    expect(page.locator("#max-tokens input[type=range]")).to_have_value("5")  # it was taken
    say(page, "0123456789")
    assert said(page)[-1] == ["bot", "01234"]
    expect(page.locator("#said")).to_contain_text("longest length")
    page.locator("#go-on").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(2)
    idle(page)
    assert said(page)[-1] == ["bot", "Pleas"]


def test_turns_that_no_longer_fit_are_said_quietly(visit: Callable[..., Page], narrow: Stage):
    page = visit(narrow.address)
    for text in ("one", "two", "three"):
        say(page, text)
    expect(page.locator("#said .quiet")).to_contain_text("oldest 1 turns")


# ---- style, system prompt, language


def test_a_style_says_what_it_does_and_reaches_the_engine(page: Page, usual: Stage):
    page.locator("#style label", has_text="Lively").click()
    expect(page.locator("#does")).to_contain_text("小红书风格回答")
    expect(page.locator("#does")).to_contain_text("temperature 1.0")
    say(page, "hello")
    assert "小红书风格" in usual.engine.prompts[-1][0].content


def test_the_system_prompt_can_be_changed_and_reset(page: Page, usual: Stage):
    page.locator("#open-settings").click()
    system = page.get_by_label("System prompt")
    assert system.input_value() == "你是小贝，贝贝的小助手。"
    system.fill("Answer like a pirate.")
    say(page, "hello")
    assert usual.engine.prompts[-1][0].content == "Answer like a pirate."
    page.locator("#reset").click()
    expect(system).to_have_value("你是小贝，贝贝的小助手。")
    say(page, "again")
    assert usual.engine.prompts[-1][0].content == "你是小贝，贝贝的小助手。"


def test_the_language_is_the_browsers_and_can_be_switched_for_good(
    visit: Callable[..., Page], usual: Stage
):
    page = visit(usual.address, "zh-CN")
    expect(page.locator("#send")).to_have_text("发送")
    expect(page.locator(".hello h2")).to_have_text("你好，我是小贝。")
    expect(page.locator("#shelf .new")).to_have_text("新对话")
    say(page, "你好")
    expect(page.get_by_role("button", name="重新回答")).to_be_visible()
    page.locator("#language label", has_text="EN").click()
    expect(page.locator("#send")).to_have_text("Send")
    expect(page.locator("#shelf .new")).to_have_text("New conversation")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    assert said(page) == [["user", "你好"], ["bot", "你好"]]
    begin(page, usual.address)
    expect(page.locator("#send")).to_have_text("Send")


# ---- conversations in the browser


def test_a_reload_finds_the_conversation_again(page: Page, usual: Stage):
    page.locator("#style label", has_text="Brief").click()
    page.locator("#open-settings").click()
    page.get_by_label("System prompt").fill("My own.")
    say(page, "remember me")
    page.get_by_role("button", name="Good answer").click()
    eventually(lambda: stored(page)[0]["ratings"] == ["like"])
    page.reload()
    page.wait_for_selector("body.assistant-ready")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("remember me")
    expect(page.locator("#style label.selected")).to_have_text("Brief")
    expect(page.locator("#system textarea")).to_have_value("My own.")
    expect(page.locator("#chat button[data-key=like]")).to_have_attribute("aria-pressed", "true")
    say(page, "go on")
    assert [one.content for one in usual.engine.prompts[-1]][1:] == [
        "remember me", "remember me", "go on",
    ]  # fmt: skip
    assert len(stored(page)) == 1


def test_a_restarted_server_finds_it_too(visit: Callable[..., Page]):
    with served() as stage:
        page = visit(stage.address)
        say(page, "before the restart")
    with served(port=httpx.URL(stage.address).port) as stage:
        begin(page, stage.address)
        expect(page.locator("#chat [data-testid=bot]")).to_have_text("before the restart")


def test_several_conversations(page: Page):
    say(page, "about cats")
    page.locator("#shelf .new").click()
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    say(page, "about dogs")
    assert rows(page) == ["about dogs", "about cats"]
    page.locator("#shelf .opener", has_text="about cats").click()
    expect(page.locator("#chat .literal")).to_have_text("about cats")
    line = page.locator("#shelf li", has_text="about cats")
    line.get_by_role("button", name="Rename").click()
    page.locator("#shelf li input").fill("Felines")
    page.locator("#shelf li input").press("Enter")
    assert sorted(rows(page)) == ["Felines", "about dogs"]
    say(page, "more")
    assert rows(page) == ["Felines", "about dogs"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#shelf li", has_text="Felines").get_by_role("button", name="Delete").click()
    expect(page.locator("#shelf .opener")).to_have_count(1)
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    assert [one["title"] for one in stored(page)] == ["about dogs"]


def test_another_conversation_while_an_answer_comes_stops_it(page: Page, usual: Stage):
    say(page, "short one")
    page.locator("#shelf .new").click()
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    begin_long(page)
    page.locator("#shelf .opener", has_text="short one").click()
    eventually(lambda: usual.engine.running == 0)
    expect(page.locator("#chat .literal")).to_have_text("short one")
    kept = {one["title"]: one["messages"] for one in stored(page)}
    assert set(kept) == {"short one", LONG[:60].strip()}
    assert [one["content"] for one in kept["short one"]] == ["short one"] * 2


def test_a_conversation_deleted_while_it_is_answered_stays_deleted(page: Page):
    begin_long(page)
    expect(page.locator("#shelf .opener")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#shelf li").get_by_role("button", name="Delete").click()
    idle(page)
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    say(page, "afresh")
    assert [one["title"] for one in stored(page)] == ["afresh"]


def test_two_tabs_keep_both_conversations(page: Page, usual: Stage):
    other = page.context.new_page()
    begin(other, usual.address)
    say(page, "from one")
    say(other, "from the other")
    say(page, "one again")
    assert sorted(one["title"] for one in stored(page)) == ["from one", "from the other"]
    eventually(lambda: sorted(rows(other)) == ["from one", "from the other"])


def test_a_full_browser_says_so_and_loses_nothing_kept(page: Page):
    say(page, "kept before")
    page.evaluate("window.assistantPage.keeper.limit = 600")
    page.locator("#shelf .new").click()
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    say(page, "too much " * 60)
    expect(page.locator("#shelf .notice")).to_contain_text("no room left")
    assert [one["title"] for one in stored(page)] == ["kept before"]
    page.evaluate("window.assistantPage.keeper.limit = 4000000")
    say(page, "fits again")
    expect(page.locator("#shelf .notice")).to_have_count(0)
    assert len(stored(page)) == 2


def test_a_page_closed_before_the_answer_gives_the_question_back(
    visit: Callable[..., Page], loading_server: Stage
):
    loading_server.begin_again(Loading())
    page = visit(loading_server.address)
    box(page).fill("anyone there?")
    box(page).press("Enter")
    eventually(lambda: len(stored(page)) == 1)
    page.reload()
    page.wait_for_selector("body.assistant-ready")
    expect(box(page)).to_have_value("anyone there?")
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)


# ---- files


def download(page: Page, name: str) -> tuple[str, str]:
    with page.expect_download() as waiting:
        page.locator("#shelf .files button", has_text=name).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_text("utf-8")


def test_export_and_import_give_the_same_conversation(page: Page, visit: Callable[..., Page],
                                                      usual: Stage):  # fmt: skip
    say(page, "你好 <b>you</b>")
    page.get_by_role("button", name="Poor answer").click()
    eventually(lambda: stored(page)[0]["ratings"] == ["dislike"])
    name, markdown = download(page, "Export Markdown")
    assert name == "你好-b-you-b.md"
    assert markdown == (
        "**System**\n\n你是小贝，贝贝的小助手。\n\n**You**\n\n你好 <b>you</b>\n\n"
        "**小贝**\n\n你好 <b>you</b>\n\n"
    )
    name, jsonl = download(page, "Export training JSONL")
    assert name == "你好-b-you-b.jsonl"
    assert [json.loads(line) for line in jsonl.splitlines()] == [
        {
            "messages": [
                {"role": "system", "content": "你是小贝，贝贝的小助手。"},
                {"role": "user", "content": "你好 <b>you</b>"},
                {"role": "assistant", "content": "你好 <b>you</b>"},
            ],
            "meta": {"title": "你好 <b>you</b>", "ratings": ["dislike"]},
        }
    ]
    page.locator("#shelf .new").click()
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    say(page, "second")
    _, both = download(page, "Export all as JSONL")
    assert len(both.splitlines()) == 2

    other = visit(usual.address)
    bring_in(other, both)
    expect(other.locator("#said")).to_contain_text("2 conversations imported")
    expect(other.locator("#shelf .opener")).to_have_count(2)
    expect(other.locator("#chat .literal")).to_have_text("second")
    expect(other.locator("#said")).to_contain_text("2 conversations imported")  # still
    other.locator("#shelf .opener", has_text="你好").click()
    expect(other.locator("#chat .literal")).to_have_text("你好 <b>you</b>")
    expect(other.locator("#chat button[data-key=dislike]")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert download(other, "Export training JSONL")[1] == jsonl


def bring_in(page: Page, content: str | bytes) -> None:
    with page.expect_file_chooser() as waiting:
        page.locator("#shelf .files button", has_text="Import JSONL").click()
    data = content.encode() if isinstance(content, str) else content
    waiting.value.set_files({"name": "x.jsonl", "mimeType": "text/plain", "buffer": data})


def test_bad_files_are_named_and_change_nothing(page: Page):
    good = '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}'
    bring_in(page, good + "\nbroken")
    expect(page.locator("#said .notice")).to_contain_text("line 2: not a conversation")
    bring_in(page, "")
    expect(page.locator("#said .notice")).to_contain_text("no conversation")
    bring_in(page, b"\xff\xfe\x00")
    expect(page.locator("#shelf .notice")).to_contain_text("not UTF-8")
    bring_in(page, "x" * 5_000_001)
    expect(page.locator("#shelf .notice")).to_contain_text("larger than 5 MB")
    assert stored(page) == []


def test_nothing_to_export_is_a_notice(page: Page):
    page.locator("#shelf .files button", has_text="Export Markdown").click()
    expect(page.locator("#said .notice")).to_contain_text("nothing to export")


# ---- loading, failing, waiting


def test_loading_is_shown_and_a_first_message_waits(
    visit: Callable[..., Page], loading_server: Stage
):
    loading = Loading(note=Text("Why this engine.", "为什么用它。"))
    loading.persona = persona_from_config(
        config_with(assistant={**CONFIG["assistant"], "name": "小白"})
    )
    loading_server.begin_again(loading)
    page = visit(loading_server.address)
    expect(page.locator("#loading")).to_contain_text("Getting the model ready")
    expect(page.locator("#loading")).to_contain_text("42 / 98 MB")
    expect(page.locator("#loading [role=progressbar]")).to_have_attribute("aria-valuenow", "43")
    box(page).fill("early bird")
    box(page).press("Enter")
    expect(page.locator("#said")).to_contain_text("when the model is ready")
    expect(page.locator("#stop")).to_be_visible()
    loading.go.set()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("early bird")
    idle(page)
    expect(page.locator("#loading .card")).to_have_count(0)
    expect(page.locator("#heading h1")).to_have_text("小白")
    expect(page.locator("#heading")).to_contain_text("persona from the weights")
    expect(page.locator("#heading")).to_contain_text("Why this engine.")
    assert loading.engine.prompts[-1][0].content == "你是小白，贝贝的小助手。"
    page.locator("#open-settings").click()
    expect(page.locator("#system textarea")).to_have_value("你是小白，贝贝的小助手。")


def test_a_failed_load_says_why_and_can_be_tried_again(
    visit: Callable[..., Page], loading_server: Stage
):
    broken = BlockedError(
        Text("The hub cannot be reached.", "连不上。"), Text("Check the network.", "检查网络。")
    )
    loading = Loading(error=broken)
    loading_server.begin_again(loading)
    page = visit(loading_server.address)
    box(page).fill("waiting")
    box(page).press("Enter")
    expect(page.locator("#said")).to_contain_text("when the model is ready")
    loading.go.set()
    expect(page.locator("#loading [role=alert]")).to_contain_text("The hub cannot be reached.")
    expect(page.locator("#loading")).to_contain_text("Check the network.")
    expect(page.locator("#said .notice")).to_contain_text("The hub cannot be reached.")
    expect(box(page)).to_have_value("waiting")
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    loading.error = None
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#loading .card")).to_have_count(0)
    box(page).press("Enter")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("waiting")


def test_a_failure_is_a_notice_and_the_text_comes_back(page: Page):
    say(page, "fine")
    too_long = "x" * 8001
    ended(page, lambda: (box(page).fill(too_long), box(page).press("Enter")))
    expect(page.locator("#said .notice")).to_contain_text("8001 characters; at most 8000")
    idle(page)
    assert box(page).input_value() == too_long
    assert said(page) == [["user", "fine"], ["bot", "fine"]]
    ended(page, lambda: (box(page).fill("   "), box(page).press("Enter")))
    expect(page.locator("#said .notice")).to_contain_text("Write something first")
    say(page, "fine again")
    expect(page.locator("#said .notice")).to_have_count(0)
    assert [len(one["messages"]) for one in stored(page)] == [4]


def test_a_line_is_shown_and_a_full_one_says_how_long(visit: Callable[..., Page], narrow: Stage):
    first = visit(narrow.address)
    second, third = (visit(narrow.address, beside=first) for _ in range(2))
    begin_long(first)
    box(second).fill("second")
    box(second).press("Enter")
    expect(second.locator("#said")).to_contain_text("In line: 0 ahead of you")
    box(third).fill("third")
    box(third).press("Enter")
    expect(third.locator("#said .notice")).to_contain_text("Try again in about")
    expect(box(third)).to_have_value("third")
    first.locator("#stop").click()
    expect(second.locator("#chat [data-testid=bot]")).to_have_text("second")


# ---- nothing harmful


HOSTILE = """<img src=x onerror="window.harmed=1"> <script>window.harmed=2</script>
[link](javascript:window.harmed=3) <a href="javascript:window.harmed=4">x</a>
<svg onload="window.harmed=5"> <iframe src="javascript:parent.harmed=6"></iframe>
$$\\href{javascript:window.harmed=7}{x}$$ <style>body{display:none}</style>
<form action="javascript:window.harmed=8"><button>b</button></form>"""


def unharmed(page: Page) -> None:
    assert page.evaluate("window.harmed") is None
    assert page.locator("#chat, #shelf").first.is_visible()
    links = page.locator("#page a").evaluate_all("all => all.map((one) => one.protocol)")
    assert "javascript:" not in links
    dangerous = "#page :is(script, iframe, [onerror], [onload], [onclick])"
    assert page.locator(dangerous).count() == 0


def test_hostile_text_is_shown_and_does_nothing(page: Page):
    say(page, HOSTILE)
    expect(page.locator("#chat .literal")).to_have_text(HOSTILE)
    unharmed(page)
    for link in page.locator("#chat [data-testid=bot] a").all():
        link.click(no_wait_after=True, force=True)
    unharmed(page)
    assert rows(page)[0].startswith('<img src=x onerror="window.harmed=1">')


def test_a_hostile_file_does_nothing(page: Page):
    bring_in(page, json.dumps({
        "messages": [{"role": "system", "content": HOSTILE},
                     {"role": "user", "content": HOSTILE},
                     {"role": "assistant", "content": HOSTILE}],
        "meta": {"title": HOSTILE, "style": HOSTILE, "ratings": [HOSTILE]},
    }))  # fmt: skip
    expect(page.locator("#chat .literal")).to_have_text(HOSTILE)
    unharmed(page)


def test_a_hostile_persona_does_nothing(visit: Callable[..., Page]):
    name = '<img src=x onerror="window.harmed=9">`${window.harmed=10}{{x}}'
    config = config_with(
        assistant={**CONFIG["assistant"], "name": name,
                   "facts": [{"ask": name + "?", "answer": name}]},
        styles={"bad": {"label": {"zh": name, "en": name}, "prompt": name}},
    )  # fmt: skip
    with served(config=config) as stage:
        page = visit(stage.address)
        expect(page.locator("#heading h1")).to_have_text(name)
        expect(page).to_have_title(name)
        page.locator("#style label").nth(1).click()
        expect(page.locator("#does")).to_contain_text("harmed=10")
        unharmed(page)
        page.locator("#chat .example").first.click()
        idle(page)
        unharmed(page)


KINDS_OF_TEXT = (
    "👩‍🚀🇨🇳 emoji",
    "مرحبا بالعالم",
    "# not a heading\n- not a list\n```\ncode\n```",
    "a\ttab and\n\n\nlines",
    "&lt;b&gt; &amp; <b>",
    "zalgo ẗ̵̢̛͙̪̳̖̳",
    "$$\\frac{1}{2}$$ and \\(x\\) and $5",
    "x" * 500,
)


def test_every_kind_of_text_is_shown_as_written(page: Page):
    for text in KINDS_OF_TEXT:
        say(page, text)
        shown = page.locator("#chat .literal").last.evaluate("one => one.textContent")
        assert shown == text
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    kept = stored(page)[0]["messages"]
    assert [one["content"] for one in kept if one["role"] == "user"] == list(KINDS_OF_TEXT)


def test_control_characters_are_taken_out(page: Page, usual: Stage):
    say(page, "a\x07b\x1b[0mc")
    assert usual.engine.prompts[-1][-1].content == "ab[0mc"
    assert said(page)[0] == ["user", "ab[0mc"]


# ---- phone, dark, keyboard


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_it_fits_a_phone(visit: Callable[..., Page], usual: Stage, language: str):
    page = visit(usual.address, language, touch=True, size=(390, 844))
    wide = "| " + " | ".join(["column"] * 12) + " |\n|" + "---|" * 12
    say(page, f"{'W' * 90}\n\n{wide}\n\n```\n{'code ' * 40}\n```\n\n$$x = {'y + ' * 60} z$$")

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.querySelector('#main').scrollWidth") <= 390

    fits()
    for selector in ("#send", "#box textarea", "#open-shelf", "#open-settings", "#language"):
        frame = page.locator(selector).bounding_box()
        assert frame["x"] >= 0
        assert frame["x"] + frame["width"] <= 390
    assert not page.locator("#shelf .new").is_visible()
    page.locator("#open-shelf").click()
    expect(page.locator("#shelf .new")).to_be_visible()
    fits()
    page.keyboard.press("Escape")
    expect(page.locator("#shelf .new")).to_be_hidden()
    page.locator("#open-settings").click()
    expect(page.locator("#system textarea")).to_be_visible()
    fits()
    page.locator("[data-close=settings]").click()
    expect(page.locator("#system textarea")).to_be_hidden()


def contrast(one: str, other: str) -> float:
    """The WCAG contrast of two rgb() colours."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
                  for part in parts]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((light(one), light(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(visit: Callable[..., Page], usual: Stage, scheme: str):
    page = visit(usual.address, scheme=scheme)
    say(page, "hello")
    page.locator("#open-settings").click()
    box(page).fill("   ")
    box(page).press("Enter")
    expect(page.locator("#said .notice")).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (contrast(ground, "rgb(255, 255, 255)") < 1.2) == (scheme == "light")
    seen = """(one) => {
        let behind = one;
        const ground = (it) => getComputedStyle(it).backgroundColor;
        while (behind.parentElement && /, 0\\)|transparent/.test(ground(behind)))
            behind = behind.parentElement;
        return [getComputedStyle(one).color, ground(behind)];
    }"""
    for selector in (
        "#heading h1", "#heading .facts span", "#chat .literal", "#chat [data-testid=bot] p",
        "#said .notice", "#does p", "#style label.selected span", "#send", "#shelf .opener",
        "#shelf .files button", "#settings-drawer .info-text", "#settings-title h2",
    ):  # fmt: skip
        ratio = contrast(*page.locator(selector).first.evaluate(seen))
        assert ratio >= 4.5, (selector, ratio)


def test_it_works_by_keyboard(page: Page):
    box(page).focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert box(page).input_value() == "one\ntwo"
    page.keyboard.press("Enter")
    idle(page)
    expect(page.locator("#chat .literal")).to_have_text("one\ntwo")
    page.locator("#shelf .new").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    expect(box(page)).to_be_focused()
    page.locator("#open-settings").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#system textarea")).to_be_visible()
    expect(page.locator("#open-settings")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#system textarea")).to_be_hidden()


def test_everything_to_press_has_a_name(page: Page):
    say(page, "hello")
    page.locator("#open-settings").click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("#page button, #page input, #page textarea")]
          .filter((one) => one.checkVisibility() && !(one.innerText?.trim()
            || one.getAttribute("aria-label") || one.labels?.[0]?.innerText.trim()))
          .map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_owner_tabs_fill_the_page_and_follow_the_language(
    visit: Callable[..., Page], narrow: Stage
):
    page = visit(narrow.address, "zh-CN")
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    page.get_by_role("tab", name="训练").click()
    expect(page.get_by_text("Here it is trained.")).to_be_visible()
    page.get_by_role("tab", name="聊天").click()
    page.locator("#language label", has_text="EN").click()
    expect(page.get_by_role("tab", name="Train")).to_be_visible()


# ---- public, and other programs


def test_corrections_are_looked_through(visit: Callable[..., Page], tmp_path: Path):
    config = config_with(file=tmp_path / "assistant.toml")
    with served(config=config, owner_tabs=[corrections_tab(lambda: config)]) as stage:
        page = visit(stage.address)
        say(page, "Who wrote Hamlet?")
        for question in ("<b>And Faust?</b>", "When do you open?"):
            keep_correction(tmp_path, made_correction(question, "a", "page", said="<i>b</i>"))
        page.get_by_role("tab", name="Corrections").click()
        card = page.locator("#corrections-card")
        expect(card).to_contain_text("1 of 2")
        expect(card).to_contain_text("<b>And Faust?</b>")
        page.locator("#corrections-answer textarea").fill("Goethe.")
        page.locator("#corrections-ways textarea").fill("Faust is whose?\n\n Who made Faust? ")
        page.get_by_role("button", name="Train on it").click()
        expect(card).to_contain_text("1 of 1")
        expect(page.locator("#corrections-said")).to_contain_text("To be trained on.")
        page.locator("#corrections-answer textarea").fill(" ")
        page.get_by_role("button", name="Drop").click()
        expect(page.locator("#corrections-said")).to_contain_text("No correction")
        first, second = read_corrections(tmp_path)
        assert (first.state, first.answer, first.ways) == (
            "accepted", "Goethe.", ("Faust is whose?", "Who made Faust?"),
        )  # fmt: skip
        assert (second.state, second.answer) == ("new", "a")
        page.get_by_role("radio", name="to train on 1").check()
        expect(page.locator("#corrections-answer textarea")).to_have_value("Goethe.")
        expect(page.get_by_role("button", name="Train on it")).to_be_hidden()


def test_public_is_chat_alone(visit: Callable[..., Page], public: Stage):
    broken = BlockedError(Text("No file /srv/secret.", "没有。"))
    loading = Loading(error=broken)
    loading.go.set()
    public.begin_again(loading)
    page = visit(public.address)
    expect(page.locator("#loading")).to_contain_text("owner")
    assert "/srv/secret" not in page.content()
    expect(page.locator("#try-again")).to_be_hidden()
    for path in ("file=assistant.toml", "file=/etc/passwd", "file=pyproject.toml"):
        answer = page.request.get(f"{public.address}gradio_api/{path}")
        assert answer.status in (403, 404), (path, answer.status)
    upload = page.request.post(
        f"{public.address}gradio_api/upload",
        multipart={"files": {"name": "x.txt", "mimeType": "text/plain", "buffer": b"hello"}},
    )
    assert upload.status >= 400


def test_the_rate_is_said_in_public(visit: Callable[..., Page], public: Stage):
    public.begin_again(loaded())
    page = visit(public.address)
    say(page, "one")
    expect(page.get_by_role("button", name="Edit")).to_have_count(1)  # the question; answers stay
    box(page).fill("two")
    box(page).press("Enter")
    expect(page.locator("#said .notice")).to_contain_text("many messages")
    expect(box(page)).to_have_value("two")


def test_another_program_takes_a_turn(usual: Stage):
    client = program(usual)
    assert client.predict("hello", api_name="/chat") == "hello"
    job = client.submit(
        "0123456789",
        history=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        system_prompt="S", style="brief", max_tokens=4, temperature=0.0, api_name="/chat",
    )  # fmt: skip
    assert job.result(timeout=PATIENCE) == "0123"
    assert all("0123".startswith(piece) for piece in job.outputs())
    asked = usual.engine.prompts[-1]
    assert [one.content for one in asked] == ["S\n只用一两句话回答。", "a", "b", "0123456789"]
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert list(named) == ["/chat"]


def test_two_programs_at_once(usual: Stage):
    clients = [program(usual) for _ in range(2)]
    asked = [f"{HELD}{number} and so on" for number in range(2)]
    jobs = [one.submit(text, api_name="/chat") for one, text in zip(clients, asked, strict=True)]
    eventually(lambda: usual.engine.running == 2)
    usual.engine.go_on()
    assert [job.result(timeout=PATIENCE) for job in jobs] == asked


def test_one_program_may_ask_two_things_at_once(usual: Stage):
    client = program(usual)
    jobs = [client.submit(f"{number} " * 100, api_name="/chat") for number in range(2)]
    assert [job.result(timeout=PATIENCE)[:1] for job in jobs] == ["0", "1"]


@pytest.mark.parametrize("wrong", [
    {"message": "  "}, {"message": "x", "history": [{"role": "assistant", "content": "y"}]},
    {"message": "x", "style": "nonesuch"}, {"message": "x", "max_tokens": 0},
])  # fmt: skip
def test_a_programs_mistake_is_an_error(usual: Stage, wrong: dict[str, Any]):
    client = program(usual)
    with pytest.raises(Exception, match=r"Write something|history|nonesuch|max_tokens"):
        client.predict(**wrong, api_name="/chat")


def test_a_program_that_is_cut_off_ends_the_engine(usual: Stage):
    question = [ENDLESS + "go on", *[None] * 3, 512, 0.5, 1, 0, 1, None]
    call = f"{usual.address}gradio_api/call/chat"
    asked = httpx.post(call, json={"data": question}, timeout=PATIENCE).json()
    with httpx.stream("GET", f"{call}/{asked['event_id']}", timeout=PATIENCE) as stream:
        next(stream.iter_lines())
        eventually(lambda: usual.engine.running == 1)
    eventually(lambda: usual.engine.running == 0)


def test_a_program_that_gives_up_ends_the_engine(usual: Stage):
    client = program(usual)
    job = client.submit(LONG, api_name="/chat")
    eventually(job.outputs)  # only then does the client surely know what it would cancel
    assert usual.engine.running == 1
    job.cancel()
    eventually(lambda: usual.engine.running == 0)
