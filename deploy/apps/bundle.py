"""The bundle: this project's own app, its configuration pinned to published weights, and the files
that a host reads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit

from assistant.artifacts import whole_folder
from assistant.config import OTHER_PACKAGES_TABLES, Config, apply_set
from assistant.errors import UsageError
from assistant.models.reference import Reference
from assistant.toml_file import read_toml_text
from assistant.words import Text

from ..target import Target
from .head import readme
from .profiles import Profile

PROJECT = Path(__file__).resolve().parents[2]
_CODE = (".py", ".js", ".css", ".json", ".toml", ".svg", ".png")
ON_ZEROGPU = "spaces>=0.42,<1\n"
_MAIN = 'if __name__ == "__main__":\n'
GPU_FUNCTION = '''\
if importlib.util.find_spec("spaces"):  # not where the app is tried before it is sent
    import spaces

    @spaces.GPU
    def for_zerogpu() -> None:
        """Never called. ZeroGPU starts no Space in which nothing asks for a GPU."""


'''
STUDIO_FILE = "ms_deploy.json"


def make_bundle(
    config: Config, weights: Reference, profile: Profile, target: Target, out: Path, licence: str
) -> None:
    """Fill `out` with everything that the host needs. Raises UsageError where `out` is
    there already, BlockedError where the disk refuses."""
    with whole_folder(out) as partial:
        for file in project_files():
            place = partial / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / file, place)
        if profile.on_zerogpu:
            _write(partial / "app.py", with_gpu_function((PROJECT / "app.py").read_text("utf-8")))
        _write(partial / "assistant.toml", pinned_config(config, weights, profile))
        _write(partial / "requirements.txt", requirements(profile, weights))
        _write(partial / "packages.txt", (PROJECT / "packages.txt").read_text("utf-8"))
        _write(partial / "README.md", readme(config, weights, profile, target, licence))
        if profile.hub == "modelscope":
            _write(partial / STUDIO_FILE, json.dumps(studio_settings(profile), indent=2) + "\n")


def project_files() -> Iterator[Path]:
    """What the app consists of, relative to the project: `assistant` knows neither train nor deploy."""
    yield Path("app.py")
    yield Path("LICENSE")
    for file in sorted((PROJECT / "assistant").rglob("*")):
        if file.is_file() and file.suffix in _CODE and "__pycache__" not in file.parts:
            yield file.relative_to(PROJECT)


def pinned_config(config: Config, weights: Reference, profile: Profile) -> str:
    """The person's assistant.toml, comments kept, with what `--set` put above it, the published
    weights and the host's engine.

    Tables of training and sharing stay here: the app reads neither.
    """
    document: Any = tomlkit.parse(read_toml_text(config.file))
    for assignment in config.sets:
        apply_set(document, assignment)
    for name in OTHER_PACKAGES_TABLES:
        document.pop(name, None)
    model = document.setdefault("model", tomlkit.table())
    model["base"] = model["weights"] = str(weights)
    model.pop("run", None)
    serve = document.setdefault("serve", tomlkit.table())
    serve["engine"] = profile.engine
    serve.pop("remote", None)
    serve.pop("keep_conversations", None)
    text: str = tomlkit.dumps(document)
    return text


def requirements(profile: Profile, weights: Reference) -> str:
    """What the host installs: the project's own list, and the client of the weights' hub."""
    text = (PROJECT / profile.requirements).read_text(encoding="utf-8")
    if weights.scheme == "modelscope":
        text += "modelscope-hub>=0.5,<0.6\n"
    if profile.on_zerogpu and not re.search(r"^spaces\b", text, re.M):
        text += ON_ZEROGPU
    return text


def with_gpu_function(app: str) -> str:
    """`app.py` with a function at its top level that asks for a GPU and is never called.

    ZeroGPU starts no Space in which it finds none, and may overlook those that are made later.
    """
    return app.replace(_MAIN, GPU_FUNCTION + _MAIN)


def studio_settings(profile: Profile) -> dict[str, Any]:
    """`ms_deploy.json` of a ModelScope studio."""
    return {
        "sdk_type": "gradio",
        "resource_configuration": profile.hardware,
        "environment_variables": [{"name": "OMP_WAIT_POLICY", "value": "PASSIVE"}],
    }


def refuse_unpublished(weights: Reference) -> None:
    """Raise UsageError unless a host can fetch these weights."""
    if weights.scheme != "local":
        return
    raise UsageError(
        Text(f"A host cannot fetch {weights}: it lies on this machine.",
             f"主机无法获取 {weights}：它在这台机器上。"),
        Text("Share it first: python -m deploy model --to hf:owner/name",
             "请先分享：python -m deploy model --to hf:用户名/名称"),
    )  # fmt: skip


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")
