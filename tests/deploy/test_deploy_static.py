"""A page without a server: its folder, the way to a hub, and the real thing in a real browser."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect, sync_playwright
from servers.sharing import ShareServer
from sharing_fixtures import ROOT, clean_environment, deploy, deploy_json, hub, plain_lfs, project

from assistant.artifacts import Manifest, now, sha256_of, write_manifest
from assistant.config import SamplingTable, read_config
from assistant.errors import BlockedError, UsageError
from assistant.models import LocalModel
from assistant.persona import Persona, persona_from_config, write_persona
from assistant.progress import unreported
from assistant.run import Run
from deploy.apps.profiles import PROFILES
from deploy.settings import ShareTable
from deploy.static import site as sites
from deploy.static import wllama
from deploy.static.share import choose_model
from deploy.static.site import PAGE, Site, about_of, write_site
from deploy.static.words import WORDS

pytestmark = pytest.mark.xdist_group("static")
SCRIPT = (PAGE / "chat.js").read_text("utf-8")
PATIENCE = 300_000  # milliseconds


@pytest.fixture(scope="module")
def engine_files() -> Path:
    """wllama from npm; nothing else can stand for it."""
    try:
        return wllama.wllama_files(unreported)
    except BlockedError as error:
        if "cannot be reached" not in error.message.en:
            raise
        pytest.skip(f"npm's registry cannot be reached from here: {error.message.en}")


@pytest.fixture
def no_engine(tmp_path, monkeypatch) -> None:
    """A folder in place of wllama, for what is not about it."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "index.min.js").write_text("export class Wllama {}")
    monkeypatch.setattr(sites, "wllama_files", lambda report: folder)


def bella(model: LocalModel) -> Site:
    """The shipped assistant on the untrained embedded base."""
    persona = persona_from_config(read_config(ROOT / "assistant.toml")).speaking(("en",))
    return Site(persona, SamplingTable(temperature=0), model.path, "Bella Q4")


# ---- the folder ----


def test_the_page_has_what_it_says_in_both_languages(embedded_model):
    words = about_of(bella(embedded_model), embedded_model.path)["words"]
    called = [
        name
        for call in re.findall(r"say\(([^;]*?)[,)]", SCRIPT)
        for name in re.findall(r'"(\w+)"', call)
    ]
    labels = [
        name
        for loop in re.findall(r"for \(const id of \[(.*?)\]\) found", SCRIPT)
        for name in re.findall(r'"(\w+)"', loop)
    ]
    said = {*called, *labels} - {"greeting", "invitation", "examples"} | {"greeting", "invitation"}
    assert {"send", "costs", "system", "ready_threads", "no_memory"} <= said <= words.keys()
    for text in words.values():
        assert text["en"] and text["zh"]


def test_every_element_that_the_script_looks_for_is_there():
    html = (PAGE / "index.html").read_text("utf-8")
    ids = set(re.findall(r'id="([\w-]+)"', html))
    assert set(re.findall(r'found\("([\w-]+)"\)', SCRIPT)) <= ids
    assert {f"{name}-label" for name in ("box", "system", "temperature", "length", "style")} <= ids


def test_prompts_and_triggers_are_those_of_the_kits_own_answers(embedded_model, persona: Persona):
    about = about_of(Site(persona, SamplingTable(), embedded_model.path, "x"), embedded_model.path)
    own = about["prompts"][persona.languages[0]]
    assert own[""] == {"system": "你是小贝。", "asks": "", "trigger": ""}
    assert own["asked"] == {"system": "你是小贝。", "asks": "Be lively.", "trigger": ""}
    assert own["learned"] == {"system": "你是小贝。", "asks": "", "trigger": "，小红书风格"}
    assert about["styles"][0]["temperature"] == 1.5


def test_the_folder_is_whole_and_is_not_overwritten(embedded_model, tmp_path, no_engine):
    write_site(bella(embedded_model), tmp_path / "out", unreported)
    files = {
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert files == {
        "index.html", "chat.js", "chat.css", "sw.js", "assistant.json", "model/Bella-Q4.gguf", "wllama/index.min.js",
    }  # fmt: skip
    about = json.loads((tmp_path / "out" / "assistant.json").read_text("utf-8"))
    assert about["model"]["bytes"] == embedded_model.path.stat().st_size
    assert about["languages"] == ["en"] and about["context"] == 4096
    with pytest.raises(UsageError, match="is there already"):
        write_site(bella(embedded_model), tmp_path / "out", unreported)


def test_another_assistant_is_another_version_of_the_page(embedded_model, tmp_path, no_engine):
    site = bella(embedded_model)
    write_site(site, tmp_path / "one", unreported)
    write_site(site, tmp_path / "same", unreported)
    other = site.persona.model_copy(update={"name": "Ada"})
    write_site(Site(other, site.sampling, site.model, site.name), tmp_path / "two", unreported)
    one, same, two = (
        re.findall(r"page-(\w{16})", (tmp_path / name / "sw.js").read_text())[0]
        for name in ("one", "same", "two")
    )
    assert one == same != two


def test_a_model_that_cannot_talk_or_is_too_large_is_refused(
    embedded_model, tmp_path, monkeypatch, no_engine
):
    from test_llamacpp import gguf_file

    mute = gguf_file(tmp_path / "mute.gguf", "llama", template=None)
    site = bella(embedded_model)
    with pytest.raises(UsageError, match="no chat template"):
        write_site(Site(site.persona, site.sampling, mute, "m"), tmp_path / "out", unreported)
    monkeypatch.setattr(sites, "LARGEST", 1000)
    with pytest.raises(UsageError, match="holds at most 2"):
        write_site(site, tmp_path / "out", unreported)
    assert not (tmp_path / "out").exists()


# ---- wllama ----


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder served as npm's registry, and an empty cache."""
    folder = tmp_path / "registry"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(wllama.VARIABLE, f"http://127.0.0.1:{server.server_address[1]}/")
        monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "home"))
        yield folder
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain file server that writes no log."""

    def log_message(self, *_: object) -> None:
        pass


def test_a_registry_that_is_not_there_or_sends_something_else(registry):
    with pytest.raises(BlockedError, match="cannot be reached") as caught:
        wllama.wllama_files(unreported)
    assert caught.value.cure is not None and wllama.VARIABLE in caught.value.cure.en
    file = registry / "@wllama" / "wllama" / "-" / f"wllama-{wllama.VERSION}.tgz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"something else")
    with pytest.raises(BlockedError, match="sent something else"):
        wllama.wllama_files(unreported)


# ---- the command, and a hub ----


def test_without_a_gguf_it_says_how_to_make_one(project):
    done = deploy(project, "app", "--profile", "hf-static", "--out", "page", check=2)
    assert "python -m deploy export" in done.stderr
    done = deploy(project, "app", "--profile", "hf-static", check=2)
    assert "--to" in done.stderr


def test_a_model_that_did_not_pass_is_not_put_on_a_page(project, monkeypatch, hub, no_engine):
    monkeypatch.setattr(sites, "refuse_unfit", lambda model: None)
    config = read_config(project / "assistant.toml", tables={"share": ShareTable})
    run = config.run
    (run.check / "report.json").unlink()
    exported_files(run)
    refused = choose_model(config, run, None, anyway=False)
    assert [one.code for one in refused.blockers] == ["check", "export"]
    assert choose_model(config, run, None, anyway=True).blockers == ()
    assert refused.site.model.name == "small.gguf"  # the smallest
    (run.gguf / "small.gguf").write_bytes(b"another")
    with pytest.raises(UsageError, match="not of the merged model"):
        choose_model(config, run, None, anyway=True)


def exported_files(run: Run) -> None:
    """What `deploy export --no-check` leaves, in two sizes."""
    run.gguf.mkdir()
    for name, size in (("large.gguf", 20), ("small.gguf", 10)):
        (run.gguf / name).write_bytes(bytes(size))
    write_persona(persona_from_config(read_config(ROOT / "assistant.toml")), run.gguf)
    digests = {file.name: sha256_of(file) for file in run.gguf.glob("*.gguf")}
    weights = {f"merged/{file.name}": sha256_of(file) for file in run.merged.glob("*.safetensors")}
    made = Manifest(
        stage="export", inputs=weights, started=now(), finished=now(), notes={"sha256": digests}
    )
    write_manifest(run.gguf, made)


def test_it_goes_to_a_static_space_and_a_static_studio(
    project, hub: ShareServer, embedded_model, no_engine
):
    model = ("--model", str(embedded_model.path))
    for profile in ("hf-static", "modelscope-static"):
        scheme = PROFILES[profile].hub
        done = deploy_json(
            project, "app", "--profile", profile, *model, "--to", f"{scheme}:me/page", "--yes"
        )
        assert done["shared"][0]["files"]
    files = hub.files("space", "me/page")
    head = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert head["sdk"] == "static" and head["app_file"] == "index.html"
    assert head["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert hub.repo("space", "me/page").settings["sdk"] == "static"
    studio = hub.files("studio", "me/page")
    assert json.loads(studio["ms_deploy.json"]) == {"sdk_type": "static"}
    assert files["assistant.json"] == studio["assistant.json"]


# ---- in a browser ----


@pytest.fixture(scope="module")
def served(embedded_model, engine_files, tmp_path_factory) -> Iterator[str]:
    """The page under a path of a plain file server that sends no header of its own."""
    root = tmp_path_factory.mktemp("host")
    (root / "u").mkdir()
    write_site(bella(embedded_model), root / "u" / "bella", unreported)
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/u/bella/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "There is no Chromium for the browser tests. Install it: make browser"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def visit(browser: Browser, **how: Any) -> tuple[Page, list[str]]:
    """A page of a new visitor, and what its script fails with."""
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(
        viewport={"width": 390, "height": 760}, **({"locale": "en-US"} | how)
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    return page, errors


def test_it_talks_in_the_visitors_browser_and_offline(served, chromium):
    page, errors = visit(chromium)
    asked: set[str] = set()
    page.context.on("request", lambda request: asked.add(request.url))
    page.goto(served)
    expect(page.locator("#load")).to_have_text("Load the model")
    expect(page.locator("#costs")).to_contain_text("99 MB")
    page.wait_for_function("crossOriginIsolated")  # by its worker alone
    page.route("**/*.gguf", lambda route: route.abort())
    page.click("#load")
    expect(page.locator("#trouble")).to_contain_text("could not be loaded")
    expect(page.locator("#load")).to_have_text("Try again")
    page.unroute("**/*.gguf")
    page.fill("#box", "Who are you?")
    page.press("#box", "Enter")  # asked before the model is there: that loads it
    expect(page.locator("#offer")).to_be_hidden()
    expect(page.locator("#talk .assistant")).to_contain_text("Bella")
    page.click("#stop")
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#notice")).to_have_text("Stopped.")
    page.click("#language")
    expect(page.locator("#send")).to_have_text("发送")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#offer")).to_be_hidden()
    expect(page.locator("#talk .user")).to_have_text("Who are you?")  # kept
    page.fill("#box", "And your name?")
    page.press("#box", "Enter")
    expect(page.locator("#talk .assistant").nth(1)).not_to_be_empty()
    page.click("#stop")
    assert not errors
    assert {url for url in asked if not url.startswith((served, "blob:", "data:"))} == set()
    page.context.close()


def test_a_browser_that_cannot_run_it_is_told_so(served, chromium):
    page, _ = visit(chromium, locale="zh-CN", service_workers="block")
    page.add_init_script("delete window.Worker")
    page.goto(served)
    expect(page.locator("#trouble")).to_contain_text("不支持 WebAssembly")
    expect(page.locator("#load")).to_be_hidden()
    page.context.close()
