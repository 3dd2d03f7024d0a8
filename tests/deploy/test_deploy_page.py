"""The Share page: the owner's own, in a real browser, before a hub that takes uploads."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from servers.sharing import Fault
from sharing_fixtures import (
    TOKENS,
    check_run,
    clean_environment,
    hub,
    make_run,
    plain_lfs,
    project,
)
from test_browser import browser, served, visit, visitors

from assistant.config import Config, read_config
from assistant.errors import FailedError, UsageError
from assistant.progress import Progress, unreported
from deploy.page import share_tab
from deploy.page.sharer import Sharer, Wish
from deploy.settings import ShareTable

MODEL = Wish("default", "merged", "hf:me/bei")


@pytest.fixture
def read(project) -> Callable[[], Config]:
    """The configuration as it is now."""
    return lambda: read_config(project / "assistant.toml", tables={"share": ShareTable})


@pytest.fixture
def share_page(hub, read, plain_lfs, visit) -> Iterator[Page]:
    """The Share tab as its owner sees it."""
    with served(owner_tabs=[share_tab(read)]) as stage:
        page = visit(stage.address)
        page.get_by_role("tab", name="Share").click()
        yield page


def test_what_there_is_to_share(project, read):
    sharer = Sharer(read)
    assert sharer.runs() == ["default"] and sharer.targets() == []
    make_run(project / "runs" / "another")
    (project / "runs" / "empty").mkdir()
    with (project / "assistant.toml").open("a") as config:
        config.write('[share]\nto = ["modelscope:me/bei"]\n')
    assert sharer.runs() == ["default", "another"]
    assert sharer.targets() == ["modelscope:me/bei"]


@pytest.mark.parametrize("what", ["merged", "adapter"])
def test_what_was_read_is_what_is_sent(hub, project, read, plain_lfs, what):
    sharer, wish = Sharer(read), Wish("default", what, "hf:me/bei")
    plan = sharer.plan(wish, unreported)
    assert hub.writes() == [] and plan.blockers == ()
    steps: list[Progress] = []
    done = sharer.share(wish, plan, steps.append)
    assert done.shared.visibility == "private" and done.steps == ()
    assert set(hub.files("model", "me/bei")) >= {file.path for file in plan.files}
    assert any(step.unit == "B" and step.fraction for step in steps)


def test_an_app_of_a_shared_model(hub, project, read, plain_lfs):
    with (project / "assistant.toml").open("a") as config:
        config.write("[share]\nprivate = false\n")
    sharer, model = Sharer(read), Wish("default", "merged", "modelscope:me/bei", public=True)
    sharer.share(model, sharer.plan(model, unreported), unreported)
    app = sharer.plan(Wish("default", "app", "modelscope:me/app", public=True), unreported)
    assert app.what == "app" and app.exists is False
    assert "app.py" in {file.path for file in app.files}
    assert not any(file.path.startswith("deploy/") for file in app.files)


def test_a_plan_that_has_become_another_is_not_done(hub, project, read, plain_lfs):
    sharer = Sharer(read)
    plan = sharer.plan(MODEL, unreported)
    (project / "runs" / "default" / "merged" / "tokenizer.json").write_text("{}")
    with pytest.raises(FailedError, match="changed since you read it"):
        sharer.share(MODEL, plan, unreported)
    assert hub.writes() == []


def test_nothing_to_share(hub, project, read):
    for wish in (Wish("", "merged", "hf:me/bei"), Wish("none", "merged", "hf:me/bei")):
        with pytest.raises(UsageError, match="nothing to share"):
            Sharer(read).plan(wish, unreported)


def test_the_plan_is_read_and_confirmed_then_it_is_there(share_page, hub):
    page = share_page
    expect(page.locator("#share-confirm")).to_be_hidden()
    page.get_by_label("Where to").fill("hf:me/bei")
    page.get_by_label("Where to").press("Enter")
    page.locator("#share-plan").click()
    plan = page.locator("section.plan")
    expect(plan).to_contain_text("hf:me/bei")
    expect(plan).to_contain_text("private")
    expect(plan.locator("tr", has_text="model.safetensors")).to_contain_text("create")
    assert hub.writes() == []
    page.locator("#share-confirm").click()
    link = page.locator(".shared a")
    expect(link).to_have_attribute("href", re.compile(r"/me/bei$"))
    expect(page.locator("#share-confirm")).to_be_hidden()
    assert hub.repo("model", "me/bei").private
    page.locator("#share-plan").click()
    expect(page.locator("#share-said")).to_contain_text("nothing is to be sent")
    expect(page.locator("#share-confirm")).to_be_hidden()
    assert TOKENS["me"] not in page.content()


def test_another_choice_takes_the_plan_away(share_page, hub):
    page = share_page
    page.get_by_label("Where to").fill("hf:me/bei")
    page.get_by_label("Where to").press("Enter")
    page.locator("#share-plan").click()
    expect(page.locator("#share-confirm")).to_have_text("Share as shown")
    page.get_by_label("Everyone (public)").check()
    expect(page.locator("section.plan")).to_have_count(0)
    expect(page.locator("#share-confirm")).to_be_hidden()
    page.locator("#share-plan").click()
    expect(page.locator("#share-confirm")).to_have_text("Share as shown, for everyone to see")
    assert hub.writes() == []


def test_what_stands_against_it_is_said_and_cannot_be_confirmed(share_page, hub, project):
    check_run(project / "runs" / "default", passed=False)
    page = share_page
    page.get_by_label("Where to").fill("hf:me/bei")
    page.get_by_label("Where to").press("Enter")
    page.locator("#share-plan").click()
    expect(page.locator("#share-said .failed")).to_contain_text("did not pass")
    expect(page.locator("#share-confirm")).to_be_hidden()
    page.get_by_label("Share although").check()
    page.locator("#share-plan").click()
    expect(page.locator("#share-confirm")).to_be_visible()


@pytest.mark.parametrize("target", ["hf:me", "", "ftp:me/bei"])
def test_a_target_that_is_none_is_said(share_page, target):
    page = share_page
    page.get_by_label("Where to").fill(target)
    page.get_by_label("Where to").press("Enter")
    page.locator("#share-plan").click()
    expect(page.locator("#share-said .failed")).to_be_visible()
    expect(page.locator("#share-confirm")).to_be_hidden()


def test_a_failure_on_the_way_is_said_without_the_token(share_page, hub):
    page = share_page
    page.get_by_label("Where to").fill("hf:me/bei")
    page.get_by_label("Where to").press("Enter")
    page.locator("#share-plan").click()
    hub.faults = [Fault(r"POST .*/commit/", status=403, message=f"{TOKENS['me']} may not")]
    page.locator("#share-confirm").click()
    expect(page.locator("#share-said .failed")).to_contain_text("does not let it write")
    assert TOKENS["me"] not in page.content()
    assert hub.files("model", "me/bei") == {}


def test_it_speaks_chinese(hub, read, plain_lfs, visit):
    with served(owner_tabs=[share_tab(read)]) as stage:
        page = visit(stage.address, "zh-CN")
        page.get_by_role("tab", name="分享").click()
        page.get_by_label("分享到哪里").fill("hf:me/bei")
        page.get_by_label("分享到哪里").press("Enter")
        page.locator("#share-plan").click()
        expect(page.locator("section.plan")).to_contain_text("可见范围")
        expect(page.locator("#share-confirm")).to_have_text("按计划分享")


def test_a_public_page_has_no_such_tab(hub, read, visit):
    with served(owner_tabs=[share_tab(read)], public=True) as stage:
        page = visit(stage.address)
        expect(page.get_by_role("tab")).to_have_count(0)
        assert "share-plan" not in page.content()
