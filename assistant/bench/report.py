"""What was measured, as a table for reading and JSON for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..artifacts import library_versions, now, whole_file, write_json

LIBRARIES = ("gradio", "openvino-genai", "transformers", "torch", "huggingface-hub", "gguf")


@dataclass(frozen=True)
class BenchRow:
    """One figure. `peer` is what it is held against; `within` tells whether the budget is kept."""

    what: str
    value: float
    unit: str
    budget: str = ""
    within: bool | None = None
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    note: str = ""


def against(
    what: str, value: float, unit: str, peer: str, peer_value: float,
    budget: str = "", within: Callable[[float], bool] | None = None, note: str = "",
) -> BenchRow:  # fmt: skip
    """A figure beside its peer's; the budget is on their ratio."""
    ratio = value / peer_value if peer_value else 0.0
    kept = None if within is None else within(ratio)
    return BenchRow(what, value, unit, budget, kept, peer, peer_value, ratio, note)


@dataclass
class Taken:
    """How figures were taken: by which command, on which machine, with which libraries, when."""

    command: str
    machine: dict[str, Any]
    libraries: dict[str, str]
    at: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def head(self) -> str:
        """What stands above a table."""
        who = self.machine
        return (
            f"{who['processor']}, {who['cores']} cores, {who['memory_gb']:.0f} GB, {self.at}, "
            f"`{self.command}`"
        )


@dataclass
class Report(Taken):
    """All rows, and how they were taken."""

    rows: list[BenchRow] = field(default_factory=list)

    def as_table(self) -> str:
        """A Markdown table, with machine, date and command."""
        lines = [
            self.head(),
            "",
            "| what | here | peer | ratio | budget | kept |",
            "|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            peer = f"{row.peer} {shown(row.peer_value)} {row.unit}" if row.peer_value else ""
            ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
            kept = "" if row.within is None else "yes" if row.within else "no"
            what = f"{row.what} ({row.note})" if row.note else row.what
            lines.append(
                f"| {what} | {shown(row.value)} {row.unit} | {peer} | {ratio} | {row.budget} | {kept} |"
            )
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Leave `bench.json` and `bench.md` in `folder`."""
        write_json(self.as_dict(), folder / "bench.json")
        with whole_file(folder / "bench.md") as out:
            out.write(self.as_table() + "\n")


def new_report(command: str) -> Report:
    """An empty report of this machine."""
    return Report(**taken_here(command))


def taken_here(command: str) -> dict[str, Any]:
    """The fields of `Taken` for this machine, now."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    machine = {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": memory,
        "python": platform.python_version(),
    }
    return {
        "command": command, "machine": machine, "libraries": library_versions(*LIBRARIES), "at": now()
    }  # fmt: skip


def processor_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def shown(value: float | None) -> str:
    """A figure with as many digits as a reader needs; empty for none."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
