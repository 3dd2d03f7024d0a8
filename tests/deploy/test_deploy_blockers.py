"""What stands against sharing, and what is only said, for each state of a run and of a hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sharing_fixtures import clean_environment, project  # noqa: F401  (fixtures)

from assistant.config import read_config
from deploy.hubs.base import Account, Repository
from deploy.hubs.huggingface import HuggingFace
from deploy.hubs.studio import Studio
from deploy.settings import ShareTable
from deploy.sharing import blockers
from deploy.sharing.scan import Finding
from deploy.sharing.source import Source, read_source
from deploy.stage import StagedFile
from deploy.target import Target


@pytest.fixture
def source(project: Path) -> Source:  # noqa: F811
    config = read_config(project / "assistant.toml", tables={"share": ShareTable})
    return read_source(config, config.run)


def codes(found) -> list[str]:
    return [one.code for one in found]


def test_a_run_that_did_not_pass_is_not_shared_unasked(source):
    assert blockers.gate(source, anyway=False) == []
    failed = replace(source, gate="failed")
    (blocker,) = blockers.gate(failed, anyway=False)
    assert (blocker.code, blocker.exit_code) == ("check", 1)
    assert blockers.gate(failed, anyway=True) == []


def test_only_an_adapter_needs_a_base_that_others_can_name(source):
    nameless = replace(source, base=replace(source.base, public="", reference="./mine"))
    assert blockers.base_without_name(nameless) == []
    (blocker,) = blockers.base_without_name(replace(nameless, kind="adapter"))
    assert blocker.code == "base"
    assert "The base ./mine has no name" in blocker.message.en
    unknown = replace(nameless, kind="adapter", base=replace(nameless.base, reference=""))
    assert "The base ? has no name" in blockers.base_without_name(unknown)[0].message.en


def test_what_the_page_will_say_is_said_before(source):
    def said(of: Source) -> list[str]:
        return [text.en for text in blockers.warnings_of(of, [])]

    known = replace(source, base=replace(source.base, public="me/base", licence="mit"))
    assert said(known) == []
    (failed,) = said(replace(known, gate="failed"))
    assert failed.endswith("The model page will say so.")
    (nameless,) = said(replace(known, base=replace(known.base, public="")))
    assert nameless.startswith("The base has no public name")
    (unlicensed,) = said(replace(known, base=replace(known.base, licence="")))
    assert unlicensed.startswith("The base's licence is not known")
    (older,) = said(replace(known, kind="adapter"))
    assert older.startswith("Made with peft 0.21.2")
    nameless_adapter = replace(known, kind="adapter", base=replace(known.base, public=""))
    assert len(said(nameless_adapter)) == 1  # that it cannot be linked is a blocker there


def test_keys_forbid_publishing_and_personal_data_is_said(source):
    key, mail = Finding("card.md", "secret", "hf_…"), Finding("data.jsonl", "personal", "a…@b.c")
    (blocker,) = blockers.not_to_be_published([mail, key])
    assert (blocker.code, blocker.exit_code) == ("secret", 1)
    assert "card.md" in blocker.message.en
    assert "data.jsonl" not in blocker.message.en
    assert blockers.not_to_be_published([mail]) == []
    assert [text.en.split(":")[0] for text in blockers.warnings_of(source, [mail, key])][-1:] == [
        "data.jsonl"
    ]


def test_every_staged_file_is_scanned(tmp_path):
    files = []
    for name, text in (("a.md", "nothing"), ("b.json", '{"token": "hf_' + "aB3" * 12 + '"}')):
        (tmp_path / name).write_text(text, encoding="utf-8")
        files.append(StagedFile(name, tmp_path / name, len(text), ""))
    assert [(one.file, one.what) for one in blockers.findings_in(files)] == [("b.json", "secret")]


def test_a_file_beyond_the_hubs_limit_is_named(tmp_path):
    hub = Studio.__new__(Studio)
    hub.file_limit = 100
    fits, large = (StagedFile(f"{size}.bin", tmp_path, size, "") for size in (100, 101))
    (blocker,) = blockers.too_large([fits, large], hub)
    assert (blocker.code, blocker.exit_code) == ("too_large", 2)
    assert "101.bin" in blocker.message.en
    assert "100.bin" not in blocker.message.en
    assert blockers.too_large([fits], hub) == []
    hub.file_limit = None
    assert blockers.too_large([large], hub) == []
    hub.file_limit = 2 * 10**9
    both = [
        StagedFile(f"{name}.bin", tmp_path, size, "")
        for name, size in (("a", 3 * 10**9), ("b", 45 * 10**8))
    ]
    (blocker,) = blockers.too_large(both, hub)
    assert blocker.message.en == (
        "Too large for this hub, which takes 2 GB a file: a.bin (3.0 GB), b.bin (4.5 GB)."
    )
    assert (
        blocker.message.zh == "超过这个平台单个文件 2 GB 的上限：a.bin (3.0 GB), b.bin (4.5 GB)。"
    )
    assert HuggingFace.file_limit == 500 * 10**9


@pytest.mark.parametrize(
    ("who", "found"),
    [
        (Account("me"), []),
        (Account("me", owners=("me", "club"), can_write=True), []),
        (Account("you", owners=("you",)), ["owner"]),
        (Account("me", owners=("me",), can_write=False), ["scope"]),
        (Account("you", owners=("you",), can_write=False), ["owner", "scope"]),
    ],
)
def test_whose_token_may_write_there(who, found):
    assert codes(blockers.not_yours(Target("hf", "me/bei"), who)) == found


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("visibility", ["private", "public"])
def test_a_repository_of_the_other_visibility(private, visibility):
    target, there = Target("hf", "me/bei"), Repository(visibility, "")
    refused = codes(blockers.other_visibility(target, there, private))
    assert refused == (["visibility"] if private and visibility == "public" else [])
    told = [text.en for text in blockers.stays_private(target, there, private)]
    assert bool(told) == (not private and visibility == "private")


@pytest.mark.parametrize(
    ("count", "shown"), [(1, "f0"), (6, "f0, f1, f2, f3, f4, f5"), (7, "f0, f1, f2, f3, f4, f5 …")]
)
def test_files_that_stay_are_named_up_to_six(count, shown):
    left = [f"f{number}" for number in range(count)]
    assert blockers.stays_there(left).en == (
        f"{count} other files in that repository stay as they are: {shown}"
    )
