"""What goes up and what never does: allow-lists, scan, gates, plan, staged copy, model card."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from servers import tiny
from servers.listening import nobody_listens
from servers.sharing import ShareServer
from sharing_fixtures import (
    check_run,
    clean_environment,
    deploy,
    deploy_json,
    files_of,
    hub,
    make_run,
    plain_lfs,
    project,
)

from assistant.config import read_config
from assistant.errors import UsageError
from deploy.settings import ShareTable
from deploy.sharing.card import model_card
from deploy.sharing.kinds import choose
from deploy.sharing.scan import scan_file
from deploy.sharing.source import read_source
from deploy.target import Target, parse_target

MERGED = [
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "manifest.json",
    "model.safetensors", "openvino/openvino_model.bin", "openvino/openvino_model.xml", "persona.json",
    "tokenizer.json", "tokenizer_config.json",
]  # fmt: skip
ADAPTER = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "manifest.json",
    "persona.json",
]
STAYS = [
    ".cache/model.safetensors",
    ".env",
    "optimizer.pt",
    "pytorch_model.bin",
    "train.log",
    "training_args.bin",
]
HF = ("--to", "hf:me/bei")


def source_of(project: Path, kind=None, sets=()):
    config = read_config(project / "assistant.toml", sets, tables={"share": ShareTable})
    return read_source(config, config.run, kind)


@pytest.mark.parametrize(("kind", "expected"), [("merged", MERGED), ("adapter", ADAPTER)])
def test_only_what_the_list_allows_goes_up(hub: ShareServer, project, kind, expected):
    plan = deploy_json(project, "model", *HF, "--kind", kind, "--dry-run")["plans"][0]
    assert [file["path"] for file in plan["files"]] == expected
    assert plan["left_here"] == (STAYS if kind == "merged" else [])
    assert (
        plan["bytes_to_send"] == plan["bytes_total"] == sum(file["size"] for file in plan["files"])
    )
    assert (plan["account"], plan["exists"], plan["visibility"]) == ("me", False, "private")
    assert {file["status"] for file in plan["files"]} == {"create"}


def test_a_symbolic_link_and_a_stranger_stay_here(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "merged" / "vocab.json").symlink_to("/etc/hostname")
    (run / "merged" / "modeling_x.py").write_text("import os")
    assert {"vocab.json", "modeling_x.py"} <= set(choose(run / "merged", "merged").left)
    config = {"auto_map": {"AutoModelForCausalLM": "modeling_x.Model"}}
    (run / "merged" / "config.json").write_text(json.dumps(config))
    assert "modeling_x.py" in choose(run / "merged", "merged").taken


def test_the_cpu_engines_files_can_stay_here(hub: ShareServer, project):
    plan = deploy_json(project, "model", *HF, "--no-openvino", "--dry-run")["plans"][0]
    assert not [file for file in plan["files"] if file["path"].startswith("openvino/")]


def test_a_dry_run_changes_nothing_anywhere(hub: ShareServer, project):
    before = files_of(project)
    deploy(project, "model", *HF, "--dry-run")
    assert hub.writes() == [] and hub.received == 0 and hub.store.repos == {}
    after = files_of(project)
    assert {path for path in after if not path.endswith(".lock")} == set(before)
    assert all(after[path] == before[path] for path in before)


@pytest.mark.parametrize(
    ("state", "said"),
    [("failed", "did not pass"), ("missing", "never checked"), ("other weights", "other weights")],
)
def test_what_was_not_proven_is_not_shared(hub: ShareServer, project, plain_lfs, state, said):
    run = project / "runs" / "default"
    if state == "failed":
        check_run(run, passed=False)
    elif state == "missing":
        (run / "check" / "report.json").unlink()
    else:
        (run / "merged" / "model.safetensors").write_bytes(tiny.safetensors(5000))
    done = deploy(project, "model", *HF, "--yes", check=1)
    assert said in done.stderr and "--anyway" in done.stderr and hub.writes() == []
    plan = deploy_json(project, "model", *HF, "--dry-run", check=1)["plans"][0]
    assert (plan["check"], plan["blockers"][0]["code"]) == (state, "check")
    deploy(project, "model", *HF, "--yes", "--anyway")
    card = hub.files("model", "me/bei")["README.md"].decode()
    assert card.count("⚠️") == 2


@pytest.mark.parametrize("moved", ["adapter/adapter_model", "merged/model"])
def test_an_adapter_is_proven_only_with_the_merged_model_that_was_checked(hub, project, moved):
    """The check ran on the merged weights; they and the adapter they came from must lie there."""
    (project / "runs" / "default" / f"{moved}.safetensors").write_bytes(tiny.safetensors(5000))
    arguments = ("model", *HF, "--kind", "adapter", "--dry-run")
    plan = deploy_json(project, *arguments, check=1)["plans"][0]
    assert plan["check"] == "other weights"


def test_the_check_of_a_quantised_model_proves_no_adapter(hub, project):
    file = project / "runs" / "default" / "check" / "report.json"
    report = json.loads(file.read_text("utf-8"))
    report["merge"]["weights"] = None
    file.write_text(json.dumps(report), "utf-8")
    arguments = ("model", *HF, "--dry-run", "--kind")
    assert deploy_json(project, *arguments, "merged")["plans"][0]["check"] == "passed"
    assert (
        deploy_json(project, *arguments, "adapter", check=1)["plans"][0]["check"] == "other weights"
    )


def test_keys_and_local_paths_are_refused_and_personal_data_is_said(hub, project):
    merged = project / "runs" / "default" / "merged"
    key = "hf_" + "a1B2" * 9
    (merged / "tokenizer_config.json").write_text(
        json.dumps({"note": key, "made": "/home/somebody/run"})
    )
    plan = deploy_json(project, "model", *HF, "--dry-run", check=1)["plans"][0]
    said = plan["blockers"][0]["message"]["en"]
    assert "tokenizer_config.json: a key or token: hf_a1B***" in said and key not in json.dumps(
        plan
    )
    assert "/home/somebody/run" in said
    (merged / "tokenizer_config.json").write_text('{"mail": "bei@mail.cn", "call": "13812345678"}')
    plan = deploy_json(project, "model", *HF, "--dry-run")["plans"][0]
    warned = [one["en"] for one in plan["warnings"]]
    assert len([one for one in warned if "personal data" in one]) == 2
    assert "13812345678" not in json.dumps(plan)


def test_a_key_in_a_safetensors_header_is_found(tmp_path):
    import struct

    header = json.dumps(
        {"__metadata__": {"from": "/home/me/runs", "key": "sk-" + "x1" * 15}}
    ).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    found = scan_file(tmp_path / "a.safetensors", "a.safetensors")
    assert sorted(one.what for one in found) == ["path", "secret"]


def test_paths_of_the_hosts_and_addresses_of_the_web_are_no_findings(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(
        "https://x.cn/home/me/run /home/xlab-app-center/app ./home/x model/data/train a/b/c"
    )
    assert scan_file(file, "README.md") == []


def test_an_adapter_names_a_base_that_others_can_fetch(hub: ShareServer, project, plain_lfs):
    deploy(project, "model", *HF, "--kind", "adapter", "--yes")
    sent = json.loads(hub.files("model", "me/bei")["adapter_config.json"])
    assert sent["base_model_name_or_path"] == "Qwen/Qwen2.5-0.5B-Instruct"
    here = json.loads((project / "runs/default/adapter/adapter_config.json").read_text())
    assert here["base_model_name_or_path"].startswith("/")


def test_an_adapter_of_a_nameless_base_is_refused_until_it_is_named(hub, project):
    file = project / "runs" / "default" / "adapter" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["notes"]["base"] = "tiny"
    file.write_text(json.dumps(manifest))
    adapter = ("model", *HF, "--kind", "adapter", "--dry-run")
    plan = deploy_json(project, *adapter, check=2)["plans"][0]
    assert plan["blockers"][0]["code"] == "base"
    deploy(project, *adapter, "--set", "share.base_model=me/base")


def test_the_card_says_the_figures_in_both_languages_and_its_head_is_yaml(project):
    source = source_of(project)
    card = model_card(source, Target("hf", "me/bei"), ["model.safetensors"])
    head = yaml.safe_load(card.split("---")[1])
    assert head == {
        "license": "apache-2.0", "language": ["zh", "en"], "base_model": "Qwen/Qwen2.5-0.5B-Instruct",
        "base_model_relation": "finetune", "tags": ["conversational"], "library_name": "transformers",
        "pipeline_tag": "text-generation",
    }  # fmt: skip
    assert "## 中文" in card and "## English" in card
    for row in (
        "说得出自己是谁 | 3 | 0\u00a0% | 100\u00a0%",
        "Says who it is | 3 | 0\u00a0% | 100\u00a0%",
    ):
        assert row in card
    for word in (
        "lmdeploy serve",
        "AutoModelForCausalLM",
        "python app.py --model hf:me/bei",
        "apache-2.0",
    ):
        assert card.count(word) >= 2, word


def test_the_card_of_a_quantised_model_names_what_reads_it_and_nothing_else(project):
    file = project / "runs" / "default" / "merged" / "config.json"
    config = {**json.loads(file.read_text()), "quantization_config": {"quant_method": "awq"}}
    file.write_text(json.dumps(config))
    cards = {
        name: model_card(source_of(project), Target(name, "me/bei"), ["model.safetensors"])
        for name in ("hf", "modelscope", "openxlab")
    }
    assert cards["openxlab"].count("git clone") == 2
    head = yaml.safe_load(cards["hf"].split("---")[1])
    assert head["base_model_relation"] == "quantized" and head["tags"] == ["conversational", "awq"]
    assert "library_name" not in head
    for card in cards.values():
        _reads_quantised(card)


def _reads_quantised(card):
    assert card.count("lmdeploy serve") == 2
    assert "quantised (awq, 4 bits)" in card and "已量化（awq，4 位）" in card
    assert "AutoModelForCausalLM" not in card and "app.py" not in card


def test_the_card_is_the_same_each_time_and_speaks_of_its_hub(project):
    source = source_of(project)
    cards = {
        name: model_card(source, Target(name, "me/bei"), [])
        for name in ("hf", "modelscope", "openxlab")
    }
    assert cards["hf"] == model_card(source, Target("hf", "me/bei"), [])
    assert yaml.safe_load(cards["modelscope"].split("---")[1])["tasks"] == ["text-generation"]
    assert "HubApi" in cards["modelscope"] and "git clone" in cards["openxlab"]
    for card in cards.values():
        assert str(project) not in card


def test_the_curve_stands_in_the_card(project):
    from assistant.records.training_status import Point, Status, write_status

    points = tuple(Point(step=n, loss=3 / n, rate=0.1) for n in range(1, 77))
    status = Status(state="done", recipe="cpu", started=0, updated=0, curve=points)
    write_status(status, project / "runs" / "default" / "fit")
    card = model_card(source_of(project), Target("hf", "me/bei"), [])
    line = next(line for line in card.splitlines() if line.startswith("Loss "))
    assert line.startswith("Loss 2.25 `█") and line.endswith("▁` 0.04 (steps 1 to 76)")


def test_markdown_in_names_stays_text(project):
    file = project / "runs" / "default" / "merged" / "persona.json"
    persona = json.loads(file.read_text())
    file.write_text(json.dumps({**persona, "name": "<b>|x|</b>", "author": "a\n# b"}))
    card = model_card(source_of(project), Target("hf", "me/bei"), [])
    assert "<b>" not in card.replace("\\<b\\>", "") and "\n# b" not in card


@pytest.mark.parametrize(
    "value", ["", "hf:", "hf:me", "me/bei", "pypi:x", "hf:me/bei@main", "hf:me/b/x.gguf", "-x/y"]
)
def test_what_is_no_target_is_refused(value):
    with pytest.raises(UsageError, match="not a place to share to"):
        parse_target(value)


def test_nobody_there_to_say_yes(hub: ShareServer, project):
    done = deploy(project, "model", *HF, check=2)
    assert "--yes" in done.stderr and hub.writes() == []


def test_without_a_target_or_a_run(hub: ShareServer, project):
    assert "--to" in deploy(project, "model", check=2).stderr
    assert "no run" in deploy(project, "model", "other", *HF, check=2).stderr
    deploy(project, "model", "--dry-run", "--set", 'share.to=["hf:me/bei", "modelscope:me/bei"]')


def test_without_a_token_the_local_half_of_the_plan_is_shown(hub, project, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    plan = deploy_json(project, "model", *HF, "--dry-run", check=3)["plans"][0]
    assert [file["path"] for file in plan["files"]] == MERGED
    assert (plan["exists"], plan["account"], plan["visibility"]) == (None, None, "unknown")
    assert "HF_TOKEN" in plan["blockers"][0]["cure"]["en"]


def test_offline_the_local_half_of_the_plan_is_shown(hub, project, monkeypatch):
    with nobody_listens() as address:
        for variable in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "OPENXLAB_ENDPOINT"):
            monkeypatch.setenv(variable, address)
        for target in ("hf:me/bei", "openxlab:me/bei"):
            plan = deploy_json(project, "model", "--to", target, "--dry-run", check=3)["plans"][0]
            assert len(plan["files"]) == len(MERGED) and plan["blockers"][0]["code"] == "hub"


def test_chinese_and_english(hub: ShareServer, project, monkeypatch):
    monkeypatch.setenv("ASSISTANT_LANG", "zh")
    assert "要发送" in deploy(project, "model", *HF, "--dry-run").stdout
