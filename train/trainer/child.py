"""The training process: mends what XTuner lacks, then runs XTuner's own command.

    python -m train.trainer.child CONFIG [xtuner's own options]

It does what `xtuner train CONFIG` does, and says in `failure.json` of the work folder why it
ended early: XTuner's own command exits 0 after a failure.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from assistant.libraries import listed

FAILURE_FILE = "failure.json"
NICENESS = 5  # the desktop and the browser go first; alone, nothing is lost


def main() -> int:
    """Train; 0 when XTuner came to its end, 1 with `failure.json` written when it did not."""
    faulthandler.enable()
    let_others_go_first()
    work = _work_folder(sys.argv)
    try:
        import torch

        threads = int(os.environ.get("OMP_NUM_THREADS", 0))
        if threads:
            torch.set_num_threads(threads)
        from .xtuner_patches import leave_out_bitsandbytes, mend

        mend()
        leave_out_bitsandbytes(Path(sys.argv[1]).read_text(encoding="utf-8"))
        from xtuner.tools import train

        train.main()
    except Exception as error:  # the process's edge: whatever it was, the parent must learn of it
        traceback.print_exc()
        _leave_word(work, error)
        return 1
    return 0


def let_others_go_first() -> None:
    """Lower this process's priority, and that of its session where Linux schedules by sessions
    (autogroup): there a process's own niceness counts among its session alone."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(f"{NICENESS}\n", encoding="ascii")


def _work_folder(arguments: list[str]) -> Path:
    if "--work-dir" in arguments:
        return Path(arguments[arguments.index("--work-dir") + 1])
    return Path(".")


def _leave_word(work: Path, error: Exception) -> None:
    kind = kind_of(error)
    said = getattr(error, "name", "") if kind == "library" else f"{type(error).__name__}: {error}"
    word = {"kind": kind, "error": said}
    try:
        (work / FAILURE_FILE).write_text(json.dumps(word), encoding="utf-8")
    except OSError:
        traceback.print_exc()


def kind_of(error: BaseException) -> str:
    """One of library, memory, nan, disk, other."""
    if isinstance(error, ModuleNotFoundError) and listed(error.name or ""):
        return "library"
    text = f"{type(error).__name__}: {error}".lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text:
        return "memory"
    if "lossnotfinite" in text:
        return "nan"
    if isinstance(error, OSError) and error.errno in (28, 122, 30):
        return "disk"
    if "enforce fail at inline_container" in text or "unexpected pos" in text:
        return "disk"
    return "other"


if __name__ == "__main__":
    sys.exit(main())
