"""Export a Hugging Face folder for OpenVINO with optimum's own command."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ...artifacts import Manifest, library_versions, now, whole_folder, write_manifest
from ...errors import BlockedError, EngineError
from ...libraries import installing
from ...progress import Progress, Report
from ...words import Text

WEIGHT_FORMAT = "fp16"  # greedy answers equal transformers' (40 of 40; int8: 24 of 40)
_KIT = Path(__file__).resolve().parents[3]
_OPTIMUM_CLI = """
from assistant.transformers_import import import_transformers
import_transformers()
from optimum.commands.optimum_cli import main
main()
"""
SAID_AT_MOST = 400  # characters of the exporter's last words that an error repeats


def export(source: Path, target: Path, report: Report, weight_format: str = WEIGHT_FORMAT) -> None:
    """Convert the folder `source`; `target` appears whole or not at all, with a manifest.

    Raises EngineError("unavailable") where optimum is missing or refuses the model,
    BlockedError where the disk is full.
    """
    if find_spec("optimum") is None:
        raise EngineError(
            "unavailable",
            Text(
                f"{source} is a Hugging Face folder; the CPU engine must convert it once, and the "
                "tools for that are not installed.",
                f"{source} 是 Hugging Face 格式的文件夹；CPU 引擎要先转换一次，但转换工具没有安装。",
            ),
            installing("optimum"),
        )
    report(Progress(Text("Converting for the CPU (once, a minute or so)",
                         "正在转换为 CPU 格式（只需一次，约一分钟）")))  # fmt: skip
    started = now()
    with whole_folder(target) as partial:
        _run(source, partial, weight_format)
        write_manifest(
            partial,
            Manifest(
                stage="export",
                inputs={"model": source.name},
                settings={"weight_format": weight_format},
                libraries=library_versions("optimum-intel", "openvino", "nncf", "transformers"),
                started=started,
                finished=now(),
            ),
        )


def _run(source: Path, target: Path, weight_format: str) -> None:
    done = subprocess.run(
        [
            sys.executable, "-c", _OPTIMUM_CLI, "export", "openvino", "--model", str(source),
            "--weight-format", weight_format, "--task", "text-generation-with-past", str(target),
        ],
        env=_surroundings(),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0 and (target / "openvino_model.xml").is_file():
        return
    said = (done.stderr or done.stdout).strip()[-SAID_AT_MOST:]
    if "No space left" in said:
        raise BlockedError(
            Text(
                f"The disk is full: {target} could not be written.",
                f"磁盘已满：无法写入 {target}。",
            ),
            Text("Free some space and start again.", "请腾出空间后重试。"),
        )
    raise EngineError(
        "unavailable",
        Text(f"{source} could not be converted: {said}", f"{source} 无法转换：{said}"),
    )


def _surroundings() -> dict[str, str]:
    """The exporter's environment: nothing is downloaded."""
    paths = [str(_KIT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
