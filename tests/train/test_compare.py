"""`train compare`: exported files beside the merged model, by llama.cpp and by their own weights."""

from __future__ import annotations

import json

import pytest
from check_fixtures import tiny_project, trained
from click.testing import CliRunner

from assistant.persona import read_persona
from assistant.records.check_report import Prompts
from assistant.records.export_report import Beside, ExportReport, FileFigures, as_markdown
from train.__main__ import main
from train.check.compare import _faults, lower
from train.merge import merge

pytestmark = pytest.mark.xdist_group("check")

SHORT = (
    "--set", "train.check.max_tokens=6", "--set", "train.check.max_tokens_ordinary=6",
    "--set", "train.check.proof_probes=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tiny_base, tmp_path_factory):
    """A merged run, and its weights at 16 and at 4 bits. The deploying stage writes them in a process
    of its own: this one may not know it."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("compared")
    config = tiny_project(folder, tiny_base)
    trained(config, tiny_base, 0.02)
    merge(config, config.run)
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "export", "--no-check", "--quant", "f16", "--quant", "q4_0",
         "--config", str(config.file), "--json", "-q"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return config, [one["path"] for one in json.loads(done.stdout)["files"]]


def test_sixteen_bits_say_word_for_word_what_the_merged_model_says(files):
    config, (whole, small) = files
    done = CliRunner().invoke(
        main, ["compare", whole, small, "--config", str(config.file), "--json", "-q", *SHORT]
    )
    assert done.exit_code in (0, 1), done.output
    report = ExportReport.model_validate_json(done.stdout)
    f16, q4_0 = report.files
    assert (f16.file_type, q4_0.file_type) == (1, 2)
    assert f16.answers == q4_0.answers >= 8
    assert f16.prompts.equal == f16.prompts.compared == f16.answers
    assert f16.equal + f16.within_rounding == f16.answers
    assert f16.passed and abs(f16.change_percent) < 0.1
    assert q4_0.within_rounding is None and q4_0.perplexity != q4_0.merged_perplexity
    assert f16.identity.merged_rate == f16.identity.rate
    assert all(name in as_markdown(report) for name in ("F16.gguf", "Q4_0.gguf", "合并模型"))


def figures(**changed: object) -> FileFigures:
    share = Beside(probes=100, rate=1.0, merged_rate=1.0)
    none = Beside(probes=100, rate=0.0, merged_rate=0.0)
    values = {
        "file": "x.gguf", "size": 1, "file_type": 7, "identity": share, "false_trigger": none, "ended": share,
        "equal": 90, "answers": 100, "within_rounding": None, "mismatches": [],
        "prompts": Prompts(compared=100, equal=100, by="token count"), "perplexity": 2.0,
        "merged_perplexity": 2.0, "change_percent": 0.0, "seconds": 1.0, "faults": [],
    }  # fmt: skip
    return FileFigures.model_validate(values | changed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, []),
        ({"identity": Beside(probes=100, rate=0.9, merged_rate=1.0)}, ["less often who"]),
        ({"identity": Beside(probes=100, rate=0.99, merged_rate=1.0)}, []),
        ({"false_trigger": Beside(probes=100, rate=0.05, merged_rate=0.0)}, ["unasked"]),
        ({"ended": Beside(probes=100, rate=0.9, merged_rate=1.0)}, ["ends its answers"]),
        ({"prompts": Prompts(compared=100, equal=99, by="token count")}, ["other tokens"]),
        ({"change_percent": 1.5}, ["perplexity"]),
        ({"change_percent": 1.5, "file_type": 2}, []),
        ({"file_type": 1, "within_rounding": 10}, []),
        ({"file_type": 1, "within_rounding": 3}, ["7 answers"]),
    ],
)
def test_what_may_be_lost(changed, says):
    found = [text.en for text in _faults(figures(**changed))]
    assert len(found) == len(says)
    assert all(word in text for word, text in zip(says, found, strict=True))


def test_few_probes_may_lose_two():
    assert not lower(Beside(probes=10, rate=0.8, merged_rate=1.0))
    assert lower(Beside(probes=10, rate=0.7, merged_rate=1.0))


def test_what_is_missing_is_said(tmp_path, files):
    config, (whole, _) = files
    done = CliRunner().invoke(
        main, ["compare", str(tmp_path / "none.gguf"), "--config", str(config.file)]
    )
    assert done.exit_code == 2 and "none.gguf" in done.output
    done = CliRunner().invoke(
        main, ["compare", whole, "--config", str(config.file), "--run", "other"]
    )
    assert done.exit_code == 2 and "Traceback" not in done.output


def test_the_persona_travels_in_the_file(files):
    from pathlib import Path

    config, (whole, _) = files
    assert read_persona(Path(whole)) == read_persona(config.run.merged)
