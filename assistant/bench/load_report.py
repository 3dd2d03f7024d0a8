"""What a load did, as a table, as JSON and as a plot."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..artifacts import whole_file, whole_path, write_json
from ..engines.base import EngineInfo
from .report import Taken, shown

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Loaded:
    """One kind of question asked by so many people at once. Percentiles are of 50, 95 and 99 %, in
    milliseconds: to the first text, and between pieces of text (a token or a few)."""

    engine: str
    number: int  # which of the engines, from 1
    kind: str
    concurrent: int
    requests: int
    errors: dict[str, int]  # how many, by the engine's error code
    first_text_ms: tuple[float, ...]
    between_ms: tuple[float, ...]
    tokens: int
    seconds: float
    tokens_per_second: float
    memory_mb: float  # of this process and its children: of a remote engine only the client
    words: int = 0  # of the long prompt or the shared system prompt
    ratio: float | None = None  # tokens a second against the first engine's

    @classmethod
    def of(
        cls, number: int, engine: str, kind: str, concurrent: int, seconds: float, *,
        firsts: Sequence[float], gaps: Sequence[float], tokens: int, requests: int,
        errors: dict[str, int], memory_mb: float,
    ) -> Loaded:  # fmt: skip
        """The figures of the answers measured; times are given in seconds."""
        return cls(
            engine, number, kind, concurrent, requests, errors, percentiles(firsts),
            percentiles(gaps), tokens, seconds, tokens / seconds if seconds else 0.0, memory_mb,
        )  # fmt: skip


def percentiles(seconds: Sequence[float]) -> tuple[float, ...]:
    """PERCENTILES of `seconds`, in milliseconds; empty for none."""
    import numpy

    if not seconds:
        return ()
    return tuple(float(1000 * value) for value in numpy.percentile(seconds, PERCENTILES))


@dataclass
class LoadReport(Taken):
    """All rows and the engines, and how they were taken."""

    engines: list[EngineInfo] = field(default_factory=list)
    rows: list[Loaded] = field(default_factory=list)

    def compare(self) -> None:
        """Hold the later engines' rows against the first one's, where the prompts were as long."""
        first = {(row.kind, row.concurrent): row for row in self.rows if row.number == 1}
        for place, row in enumerate(self.rows):
            peer = first[row.kind, row.concurrent]
            if row.number > 1 and peer.tokens_per_second and row.words == peer.words:
                ratio = row.tokens_per_second / peer.tokens_per_second
                self.rows[place] = replace(row, ratio=ratio)

    def as_table(self) -> str:
        """A Markdown table, with machine, date and command."""
        engines = "; ".join(f"{one.name} ({one.device}, {one.model})" for one in self.engines)
        words = " and ".join(str(n) for n in sorted({row.words for row in self.rows if row.words}))
        lines = [
            f"{self.head()}: {engines}; long prompts of {words} words",
            "",
            "| engine | asked | at once | answers | errors | first text, ms: 50, 95, 99 % "
            "| between, ms: 50, 95, 99 % | tokens/s | ratio | memory, MB |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            errors = ", ".join(f"{count} {code}" for code, count in row.errors.items()) or "0"
            ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
            lines.append(
                f"| {row.engine} | {row.kind} | {row.concurrent} | {row.requests - sum(row.errors.values())} "
                f"| {errors} | {_three(row.first_text_ms)} | {_three(row.between_ms)} "
                f"| {shown(row.tokens_per_second)} | {ratio} | {row.memory_mb:.0f} |"
            )
        return "\n".join(lines)

    def write(self, folder: Path) -> bool:
        """Leave load.json, load.md and, where matplotlib is installed, load.png; whether it is."""
        write_json(self.as_dict(), folder / "load.json")
        with whole_file(folder / "load.md") as out:
            out.write(self.as_table() + "\n")
        if not importlib.util.find_spec("matplotlib"):
            return False
        self._plot(folder / "load.png")
        return True

    def _plot(self, file: Path) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, (rate, first) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
        lines = dict.fromkeys((row.number, row.engine, row.kind) for row in self.rows)
        for number, engine, kind in lines:
            rows = [row for row in self.rows if (row.number, row.kind) == (number, kind)]
            style = {"marker": "o", "linestyle": ("-", "--")[(number - 1) % 2]}
            label = f"{number}. {engine}, {kind}"
            people = [row.concurrent for row in rows]
            rate.plot(people, [row.tokens_per_second for row in rows], label=label, **style)
            answered = [row for row in rows if row.first_text_ms]
            first.plot(
                [row.concurrent for row in answered], [row.first_text_ms[1] for row in answered],
                label=label, **style,
            )  # fmt: skip
        for axes, what in (
            (rate, "tokens a second, all together"),
            (first, "milliseconds to the first text, 95 %"),
        ):
            axes.set(xlabel="people at once", title=what, ylim=(0, None))
            axes.set_xscale("log", base=2)
            axes.set_xticks(
                sorted({row.concurrent for row in self.rows}),
                labels=[str(n) for n in sorted({row.concurrent for row in self.rows})],
            )
            axes.grid(alpha=0.3)
        rate.legend(fontsize="small")
        with whole_path(file) as partial:
            figure.savefig(partial, format="png", dpi=120)
        pyplot.close(figure)


def _three(values: Sequence[float]) -> str:
    return ", ".join(shown(value) for value in values) or "-"
