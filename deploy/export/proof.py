"""The proof of an export: the training stage's own probes, asked through llama.cpp."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from assistant.errors import BlockedError
from assistant.records.export_report import ExportReport
from assistant.run import Run
from assistant.words import Text

from ..serving.start import with_this_python


def compare_command(
    run: Run, files: Sequence[Path], config_file: Path, sets: Sequence[str]
) -> list[str]:
    """`python -m train compare …`, which does not know this stage."""
    given = [word for one in sets for word in ("--set", one)]
    return ["python", "-m", "train", "compare", *map(str, files), "--run", run.name,
            "--config", str(config_file), *given]  # fmt: skip


def prove(command: Sequence[str], quiet: bool) -> ExportReport:
    """Run `command` for its report. Its talk goes to stderr.

    Raises BlockedError where it gives none, as where training's libraries are not installed.
    """
    done = subprocess.run(
        [*with_this_python(list(command)), "--json", *(["-q"] if quiet else [])],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    try:
        return ExportReport.model_validate_json(done.stdout)
    except ValidationError:
        raise BlockedError(
            Text(f"The files were not compared with the merged model (exit code {done.returncode}).",
                 f"没有与合并后的模型对比（退出码 {done.returncode}）。"),
            Text("What that lacks stands above. Without a proof: --no-check",
                 "所缺的见上面。不需要证明时：--no-check"),
        ) from None  # fmt: skip
