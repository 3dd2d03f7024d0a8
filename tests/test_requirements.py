"""The requirement lists: consistent with one another, and resolvable on every supported Python."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ("3.10", "3.11", "3.12")


def names(file: str) -> dict[str, str]:
    """Requirement lines by package name."""
    lines = [line.split(" #")[0].strip() for line in (ROOT / file).read_text("utf-8").splitlines()]
    return {
        re.split(r"[<>=~\[ ;]", line)[0].lower(): line
        for line in lines
        if line and not line.startswith(("#", "-"))
    }


def test_a_gpu_host_gets_all_that_a_laptop_gets():
    laptop, gpu = names("requirements-cpu.txt"), names("requirements.txt")
    assert {name: gpu.get(name) for name in laptop} == laptop
    assert {"lmdeploy", "torch", "transformers"} <= set(gpu)


def test_a_laptop_gets_no_torch_and_no_cuda():
    done = resolve("requirements-cpu.txt", "3.11")
    packages = {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert "openvino-genai" in packages
    assert not {name for name in packages if name.startswith(("torch", "nvidia", "triton"))}


def test_the_tests_run_the_lmdeploy_that_gpu_hosts_get():
    assert names("tests/requirements-nodeps.txt") == {
        "lmdeploy": names("requirements.txt")["lmdeploy"]
    }


def test_training_pins_agree_with_the_laptops():
    laptop, training = names("requirements-cpu.txt"), names("train/requirements.txt")
    for name in ("openvino", "openvino-genai"):
        assert training[name] == laptop[name]


def resolve(file: str, python: str) -> subprocess.CompletedProcess[str]:
    """Resolve a list for a Python that need not be here."""
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
        "--python-version", python, "--python-platform", "x86_64-manylinux_2_28", str(ROOT / file),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize(
    "file",
    [
        "requirements-cpu.txt",
        "requirements.txt",
        "train/requirements.txt",
        "deploy/requirements.txt",
    ],
)
def test_the_lists_resolve_for_every_supported_python(file, python):
    resolve(file, python)
