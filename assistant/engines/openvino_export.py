"""What the CPU engine can read: a GGUF as it is, an OpenVINO export, or a folder exported once.

An export is kept in the cache under the sha256 of what it was made from.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..artifacts import now, sha256_of_folder, whole_folder, write_manifest
from ..artifacts import Manifest, library_versions
from ..errors import BlockedError, EngineError
from ..models import home
from ..models.gguf import read_header
from ..models.local import LocalModel
from ..progress import Progress, Report
from ..words import Text

OPENVINO_FOLDER = "openvino"  # beside a merged model, where training exported it
WEIGHT_FORMAT = "int8"
TRUNCATED_OUTPUT = 400


@dataclass(frozen=True)
class Readable:
    """Weights that OpenVINO GenAI opens, and how many tokens they read at most."""

    path: Path
    context_length: int


def openvino_weights(model: LocalModel, report: Report) -> Readable:
    """Weights of `model` that OpenVINO reads, exporting a Hugging Face folder once.

    Raises EngineError("unavailable") where the export's tools are not installed.
    """
    if model.format == "gguf":
        return Readable(model.path, gguf_context_length(model.path))
    if model.format == "openvino":
        return Readable(model.path, folder_context_length(model.path))
    beside = model.path / OPENVINO_FOLDER
    if (beside / "openvino_model.xml").is_file():
        return Readable(beside, folder_context_length(beside))
    exported = home() / "openvino" / sha256_of_folder(model.path)[:16]
    if not exported.is_dir():
        export(model.path, exported, report)
    return Readable(exported, folder_context_length(exported))


def export(source: Path, target: Path, report: Report, weight_format: str = WEIGHT_FORMAT) -> None:
    """Convert a Hugging Face folder for OpenVINO; `target` appears whole or not at all."""
    report(Progress(Text("Converting for the CPU (once)", "正在转换为 CPU 格式（只需一次）")))
    started = now()
    with whole_folder(target) as partial:
        _run_exporter(source, partial, weight_format)
        write_manifest(
            partial,
            Manifest(
                stage="export",
                inputs={str(source.name): sha256_of_folder(source)},
                settings={"weight_format": weight_format},
                libraries=library_versions("optimum-intel", "openvino", "nncf", "transformers"),
                started=started,
                finished=now(),
            ),
        )


def _run_exporter(source: Path, target: Path, weight_format: str) -> None:
    command = Path(sys.executable).with_name("optimum-cli")
    if not command.exists():
        raise EngineError(
            "unavailable",
            Text(
                f"{source} is a Hugging Face folder; the CPU engine must convert it once, and the "
                "tools for that are not installed.",
                f"{source} 是 Hugging Face 格式的文件夹；CPU 引擎要先转换一次，但转换工具没有安装。",
            ),
            Text("Install them: make train-env", "安装它们：make train-env"),
        )
    done = subprocess.run(
        [
            str(command), "export", "openvino", "--model", str(source),
            "--weight-format", weight_format, "--task", "text-generation-with-past", str(target),
        ],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0 and (target / "openvino_model.xml").is_file():
        return
    said = (done.stderr or done.stdout).strip()[-TRUNCATED_OUTPUT:]
    if "No space left" in said:
        raise BlockedError(
            Text(f"The disk is full: {target} could not be written.", f"磁盘已满：无法写入 {target}。"),
            Text("Free some space and start again.", "请腾出空间后重试。"),
        )
    raise EngineError(
        "unavailable",
        Text(f"{source} could not be converted: {said}", f"{source} 无法转换：{said}"),
    )


def gguf_context_length(file: Path) -> int:
    """`<architecture>.context_length` of a GGUF's header, in tokens."""
    header = read_header(file)
    architecture = header.texts.get("general.architecture", "")
    return _known(header.numbers.get(f"{architecture}.context_length"), file)


def folder_context_length(folder: Path) -> int:
    """`max_position_embeddings` of a folder's config.json, in tokens."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        config = {}
    return _known(config.get("max_position_embeddings"), folder)


def _known(length: object, where: Path) -> int:
    if isinstance(length, int) and length > 0:
        return length
    raise EngineError(
        "unavailable",
        Text(f"{where} does not say how many tokens it can read.", f"{where} 没有说明上下文长度。"),
        Text("Set [serve] context_length… in a complete config.json.", "请补全它的 config.json。"),
    )
