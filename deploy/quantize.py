"""`deploy quantize`: AWQ weights (4 bits) by LMDeploy's own tool, as a run of their own.

`runs/R-awq/merged` holds the quantised model; the data, adapter and records of R are linked beside
it, so that the training stage's check reads it like any other run, and `deploy serve R-awq` too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from assistant.artifacts import (
    Manifest,
    library_versions,
    now,
    read_manifest,
    sha256_of,
    whole_folder,
    write_manifest,
)
from assistant.errors import BlockedError, FailedError, UsageError
from assistant.run import MERGED, Run
from assistant.words import Text

from .serving.start import refuse_too_few_gpus, refuse_without_lmdeploy, with_this_python
from .sharing.source import gate_of, gate_text

SUFFIX = "-awq"
TURBOMIND_GROUP = 128  # the only group size that TurboMind reads
LINKED = ("data", "adapter", "fit")  # what the check reads of the run beside the merged model
# LMDeploy saves the tokenizer with its own version of transformers: ours stay as they were proved.
KEPT = (
    "persona.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    "special_tokens_map.json", "generation_config.json", "tokenizer.model", "vocab.json", "merges.txt",
)  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """How AWQ finds the weights that matter. `samples` 0 needs no data set (and no network)."""

    dataset: str = "wikitext2"
    samples: int = 128
    tokens: int = 2048
    batch: int = 1
    search_scale: bool = False
    group: int = TURBOMIND_GROUP
    device: Literal["cuda", "cpu"] = "cuda"


def command(model: Path, out: Path, how: Calibration) -> list[str]:
    """`lmdeploy lite auto_awq …`. On a CPU it refuses bfloat16, so float16 is named there."""
    return [
        "lmdeploy", "lite", "auto_awq", str(model), "--work-dir", str(out),
        "--calib-dataset", how.dataset, "--calib-samples", str(how.samples),
        "--calib-seqlen", str(how.tokens), "--batch-size", str(how.batch),
        *(["--search-scale"] if how.search_scale else []),
        "--w-bits", "4", "--w-group-size", str(how.group), "--device", how.device,
        "--dtype", "float16" if how.device == "cpu" else "auto",
    ]  # fmt: skip


def check_command(run: Run, config_file: Path, sets: Sequence[str]) -> list[str]:
    """The training stage's own check, on the quantised weights and on TurboMind."""
    given = [word for one in (*sets, "serve.engine=turbomind") for word in ("--set", one)]
    return ["python", "-m", "train", "check", "--run", run.name, "--force",
            "--config", str(config_file), *given]  # fmt: skip


def refuse_unfit(model: Path, how: Calibration) -> None:
    """Raise UsageError where AWQ's groups do not divide the model's layers."""
    try:
        config: dict[str, Any] = json.loads((model / "config.json").read_bytes())
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except (OSError, ValueError):
        raise UsageError(
            Text(f"Nothing to quantise: {model} has no config.json that can be read.", f"没有可量化的模型：{model} 没有可读的 config.json。"),
            Text("Train and merge first: python -m train all", "请先训练并合并：python -m train all"),
        ) from None  # fmt: skip
    if "quantization_config" in config:
        raise UsageError(Text(f"{model} is quantised already.", f"{model} 已经量化过。"))
    for key in ("hidden_size", "intermediate_size"):
        size = config.get(key, 0)
        if isinstance(size, int) and size % how.group:
            raise UsageError(
                Text(f"{key} = {size} is not a multiple of {how.group}, the group that TurboMind reads.",
                     f"{key} = {size} 不是 {how.group} 的倍数，而 TurboMind 只读这种分组。"),
                Text("Serve this model at 16 bits; models of 1.5B and more usually divide.",
                     "请以 16 位服务这个模型；1.5B 以上的模型一般能整除。"),
            )  # fmt: skip


def refuse_unready(how: Calibration) -> None:
    """Raise BlockedError where LMDeploy, or the GPU that it is to use, is missing."""
    refuse_without_lmdeploy()
    if how.device == "cuda":
        refuse_too_few_gpus(1)


def doubt_of(run: Run) -> Text | None:
    """What to know before a long quantising: that the check of the 16-bit weights is not there or
    did not pass. Raises UsageError where its report cannot be read."""
    gate = gate_of(run, "merged")
    if gate == "passed":
        return None
    said, _ = gate_text(gate)
    return Text(
        f"{said.en} Four bits take from a model and add nothing: what fails at 16 bits fails here.",
        f"{said.zh}4 位量化只会有损失：16 位时通不过的，量化后也通不过。",
    )


def quantised_run(run: Run) -> Run:
    """The run beside `run` that its quantised model goes into, which need not be there yet."""
    return Run(run.folder.with_name(run.name + SUFFIX))


def quantize(run: Run, how: Calibration, *, force: bool) -> Run:
    """Quantise the merged model of `run`; the new run. What LMDeploy prints goes to stderr.

    Raises FailedError where LMDeploy leaves no whole result, UsageError where the folder is there.
    """
    out, model = quantised_run(run), run.merged
    started = now()
    with whole_folder(out.folder, force=force) as partial:
        weights = Run(partial).merged
        done = subprocess.run(
            with_this_python(command(model, weights, how)), stdout=2, stdin=subprocess.DEVNULL, check=False
        )  # fmt: skip
        _refuse_half(weights, done.returncode)
        for name in KEPT:
            if (model / name).is_file():
                shutil.copy2(model / name, weights / name)
        write_manifest(weights, _manifest(model, how, started))
        for name in LINKED:
            if (run.folder / name).exists():
                (partial / name).symlink_to(Path("..") / run.name / name, target_is_directory=True)
    return out


def _refuse_half(weights: Path, code: int) -> None:
    """What is there counts, not the exit code alone."""
    try:
        config = json.loads((weights / "config.json").read_bytes())
    except (OSError, ValueError):
        config = {}
    tensors = list(weights.glob("*.safetensors"))
    method = config.get("quantization_config", {}).get("quant_method")
    if code == 0 and method == "awq" and tensors:
        return
    raise FailedError(
        Text(f"LMDeploy left no AWQ model (exit code {code}).", f"LMDeploy 没有生成 AWQ 模型（退出码 {code}）。"),
        Text("Its log stands above. No data set within reach: --calib-samples 0. Out of memory: "
             "--batch-size 1 and a smaller --calib-seqlen.",
             "日志在上面。无法下载校准数据：--calib-samples 0。显存不足：--batch-size 1 并调小 --calib-seqlen。"),
    )  # fmt: skip


def _manifest(model: Path, how: Calibration, started: str) -> Manifest:
    """The merged model's own record goes on: the check compares the adapter that it names."""
    try:
        merged = read_manifest(model)
    except UsageError:  # weights that this kit did not merge
        merged = None
    inputs = {
        f"{MERGED}/{file.name}": sha256_of(file) for file in sorted(model.glob("*.safetensors"))
    }
    return Manifest(
        stage="quantize",
        inputs={**(merged.inputs if merged else {}), **inputs},
        settings=asdict(how),
        libraries=library_versions("lmdeploy", "torch", "transformers"),
        started=started,
        finished=now(),
        notes=merged.notes if merged else {},
    )


def check_again(run: Run, config_file: Path, sets: Sequence[str]) -> None:
    """Run the training stage's check on the quantised run.

    Raises FailedError where it does not pass, BlockedError where it could not be made.
    """
    done = subprocess.run(
        with_this_python(check_command(run, config_file, sets)), stdout=2, check=False
    )
    if done.returncode == FailedError.exit_code:
        raise FailedError(
            Text("The quantised model did not pass the check.", "量化后的模型没有通过检验。"),
            Text(f"Read {run.check / 'report.md'}; serve the 16-bit model, or calibrate on other data.",
                 f"请看 {run.check / 'report.md'}；可改用 16 位模型，或换校准数据。"),
        )  # fmt: skip
    if done.returncode:
        raise BlockedError(
            Text(f"The quantised model lies in {run.merged}, but was not checked (exit code {done.returncode}).",
                 f"量化后的模型在 {run.merged}，但没有检验（退出码 {done.returncode}）。"),
            Text("What the check lacks stands above. Later: " + " ".join(check_command(run, config_file, sets)),
                 "检验所缺的见上面。之后运行：" + " ".join(check_command(run, config_file, sets))),
        )  # fmt: skip
