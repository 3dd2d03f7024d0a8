"""The report in a few lines for the terminal, and its failure as an error with cures."""

from __future__ import annotations

from pathlib import Path

from assistant.errors import FailedError
from assistant.words import Text

from .figures import gate_value
from .report import CheckReport, Gate


def summary(report: CheckReport) -> Text:
    """A line for each gate."""
    return Text(
        "\n".join(_line(gate, gate.label.en) for gate in report.gates),
        "\n".join(_line(gate, gate.label.zh) for gate in report.gates),
    )


def _line(gate: Gate, label: str) -> str:
    mark = "✓" if gate.passed else "✗"
    wanted = f"{gate.sign}\u00a0{gate_value(gate, gate.threshold)}"
    return f"{mark} {label}: {gate_value(gate, gate.value)} ({wanted})"


def failure(report: CheckReport, page: Path) -> FailedError:
    """What to do about every gate that was not passed; each cure once."""
    cures = [gate.cure for gate in report.gates if gate.cure]
    labels = [gate.label for gate in report.gates if not gate.passed]
    english = list(dict.fromkeys(cure.en for cure in cures))
    chinese = list(dict.fromkeys(cure.zh for cure in cures))
    return FailedError(
        Text(
            f"Not passed: {', '.join(label.en for label in labels)}. See {page}.",
            f"未通过：{'、'.join(label.zh for label in labels)}。详见 {page}。",
        ),
        Text("\n".join(english), "\n".join(chinese)),
    )
