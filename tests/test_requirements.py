"""The requirement lists: consistent with one another, and resolvable on every supported Python."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

from deploy.apps.bundle import ON_ZEROGPU
from deploy.apps.profiles import PROFILES

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / ".pytest_cache" / "resolved"
SUPPORTED = ("3.10", "3.11", "3.12")
# https://huggingface.co/docs/hub/spaces-zerogpu, August 2026
ZEROGPU_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")
# What its builds of September 2026 put beside an app's list, with the Gradio of the README's head
ADDED_BY_ZEROGPU = (
    "torch<=2.13.0", "gradio[oauth,mcp]==6.31.0", "uvicorn>=0.14.0", "websockets>=10.4", "spaces==0.51.3",
)  # fmt: skip


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


def test_zerogpu_gets_what_a_laptop_gets_but_its_engine():
    laptop, zero = names("requirements-cpu.txt"), names("deploy/requirements-zerogpu.txt")
    assert {name for name in laptop if name not in zero} == {"openvino", "openvino-genai"}
    assert {name: line for name, line in zero.items() if name in laptop} == {
        name: line for name, line in laptop.items() if name in zero
    }
    assert set(zero) - set(laptop) == {"spaces", "torch", "transformers"}
    assert zero["torch"].removeprefix("torch==") in ZEROGPU_TORCH
    assert zero["transformers"] == names("requirements.txt")["transformers"]


@pytest.mark.parametrize("python", ["3.10", "3.12"])
def test_zerogpu_can_install_its_list_with_what_a_space_adds(python, tmp_path):
    listed = (ROOT / "deploy" / "requirements-zerogpu.txt").read_text("utf-8")
    both = tmp_path / "both.txt"
    both.write_text("\n".join([listed, *ADDED_BY_ZEROGPU]), encoding="utf-8")
    assert "\ntorch==2.10.0\n" in resolve(str(both), python)


def test_zerogpu_can_install_a_laptops_list_too(tmp_path):
    both = tmp_path / "both.txt"
    listed = (ROOT / "requirements-cpu.txt").read_text("utf-8")
    both.write_text("\n".join([listed, ON_ZEROGPU, *ADDED_BY_ZEROGPU]), encoding="utf-8")
    found = resolve(str(both), PROFILES["hf-zerogpu-cpu"].python.rpartition(".")[0])
    assert "\nopenvino==" in found and "\nspaces==0.51.3\n" in found


def test_a_laptop_gets_no_torch_and_no_cuda():
    found = resolve("requirements-cpu.txt", "3.11")
    packages = {line.split("==")[0] for line in found.splitlines() if "==" in line}
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


def resolve(file: str, python: str) -> str:
    """What a list resolves to for a Python that need not be here. Where the list is as it was, what
    was found then is read again: a fresh clone, as CI has it, resolves everything."""
    stamp = FOUND / f"{_key(ROOT / file, python)}.txt"
    if stamp.exists():
        return stamp.read_text("utf-8")
    found = _resolved(file, python)
    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=FOUND, delete=False, encoding="utf-8") as out:
        out.write(found)
    Path(out.name).replace(stamp)
    return found


def _key(file: Path, python: str) -> str:
    """The sha256 of a list and of those that it names, with the Python and the resolver."""
    texts = [python, version("uv")]
    todo = [file]
    for one in todo:
        texts.append(one.read_text("utf-8"))
        named = re.findall(
            r"^(?:-[rc]|--requirement|--constraint)[ =]*(\S+)", texts[-1], re.MULTILINE
        )
        todo += [one.parent / name for name in named]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _resolved(file: str, python: str) -> str:
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
        "--python-version", python, "--python-platform", "x86_64-manylinux_2_28", str(ROOT / file),
    ]  # fmt: skip
    # An index behind a certificate of the system's own: pip trusts those, uv where it is told to.
    trusting = os.environ | {"UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"}  # its old and new names
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500, env=trusting
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize(
    "file",
    [
        "requirements-cpu.txt",
        "requirements.txt",
        "train/requirements.txt",
        "deploy/requirements.txt",
        "deploy/requirements-zerogpu.txt",
    ],
)
def test_the_lists_resolve_for_every_supported_python(file, python):
    resolve(file, python)
