"""What a check reads, looked at before anything is loaded: is it all there, and of one run?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.artifacts import Manifest, read_manifest
from assistant.config import Config
from assistant.conversation import Conversation
from assistant.errors import UsageError
from assistant.models import LocalModel, fetch
from assistant.models.local import open_local
from assistant.models.weights import quantised_by
from assistant.persona import Persona, persona_from_config, read_persona
from assistant.progress import Report
from assistant.run import MERGED, Run
from assistant.words import Text

from ..base.folder import TrainingBase, prepare_base
from ..data.outputs import make_data
from ..data.probes import Probe, read_probes
from ..merge import refuse_other_base
from ..trainer.adapter import ADAPTER_WEIGHTS
from .probing import ProbePrompt, ask, evenly, ordinary_rows, split_probes, split_rows
from .settings import CheckTable


@dataclass(frozen=True)
class Inputs:
    """A run's parts, read and found to belong together."""

    run: Run
    table: CheckTable
    base: TrainingBase
    base_model: LocalModel
    merged_model: LocalModel
    persona: Persona
    asked: tuple[ProbePrompt, ...]
    rows: tuple[Conversation, ...]
    choosing: int
    trained: Manifest
    last_step: int | None

    @property
    def full(self) -> bool:
        """Whether the adapter folder is a whole model: a full fine-tune."""
        return not (self.run.adapter / ADAPTER_WEIGHTS).is_file()

    @property
    def name(self) -> str:
        """What the report calls the result; never a path of this machine."""
        return f"{self.run.name}/{MERGED}"

    @property
    def dtype(self) -> str:
        """The dtype that the merged weights are stored in."""
        config = json.loads((self.run.merged / "config.json").read_text(encoding="utf-8"))
        return str(config.get("dtype") or config.get("torch_dtype") or "float32")

    @property
    def chosen_step(self) -> int | None:
        """The step whose checkpoint became the adapter."""
        return self.trained.notes.get("step")


def read_inputs(config: Config, run: Run, report: Report) -> Inputs:
    """Read and compare; no weights are loaded.

    Raises UsageError for whatever is missing, stale, or of another run.
    """
    table = check_table(config)
    probes, rows = read_held_out(run)
    adapter, merged = run.adapter, run.merged
    _need(adapter, Text("Train first: python -m train fit", "请先训练：python -m train fit"))
    _need(merged, Text("Merge first: python -m train merge", "请先合并：python -m train merge"))
    trained = read_manifest(adapter)
    _refuse_stale(run)
    base_model = fetch(config.model.base, base_folder=config.folder, report=report)
    base = prepare_base(base_model, report)
    refuse_other_base(trained, base)
    persona = read_persona(merged) or persona_from_config(config)
    choosing, reported = split_probes(probes)
    held = split_rows(rows)[1] or list(rows)
    return Inputs(
        run=run,
        table=table,
        base=base,
        base_model=base_model,
        merged_model=open_local(str(merged), merged),
        persona=persona,
        asked=tuple(
            ask(reported[number], persona, table) for number in evenly(len(reported), table.probes)
        ),
        rows=tuple(held[number] for number in evenly(len(held), table.probes)),
        choosing=len(choosing),
        trained=trained,
        last_step=_last_step(run.work, trained),
    )


def check_table(config: Config) -> CheckTable:
    """`[train.check]`, or its defaults."""
    return getattr(config.tables.get("train"), "check", None) or CheckTable()


def read_held_out(run: Run) -> tuple[Sequence[Probe], Sequence[Conversation]]:
    """The run's probes and held-out ordinary conversations. Raises UsageError."""
    probes_file, valid = run.probes_file, run.valid_file
    _need(probes_file, make_data(run.data))
    _need(valid, make_data(run.data))
    probes = read_probes(probes_file)
    if not probes:
        raise UsageError(
            Text(f"{probes_file} holds no probes.", f"{probes_file} 里没有探测题。"),
            make_data(run.data),
        )
    return probes, ordinary_rows(valid)


def _need(path: Path, cure: Text) -> None:
    if not path.exists():
        raise UsageError(
            Text(f"Nothing to check: {path} is missing.", f"无法检验：缺少 {path}。"), cure
        )


def _refuse_stale(run: Run) -> None:
    """Raise UsageError if the merged model was made from another adapter than the one there now."""
    if run.merged_is_stale:
        raise UsageError(
            Text(
                f"{run.merged} was merged from another adapter than the one in {run.adapter}.",
                f"{run.merged} 是由另一个 adapter 合并的，不是 {run.adapter} 里的这个。",
            ),
            _made_again(run.merged),
        )


def _made_again(merged: Path) -> Text:
    """The command that makes the merged model anew, quantised as it was."""
    if quantised_by(merged):
        return Text("Merge the 16-bit run again, then quantise it: python -m deploy quantize RUN --force",
                    "请重新合并 16 位的运行，再量化：python -m deploy quantize 运行名 --force")  # fmt: skip
    return Text("Merge again: python -m train merge --force",
                "请重新合并：python -m train merge --force")  # fmt: skip


def _last_step(work: Path, trained: Manifest) -> int | None:
    """The last optimiser step that a checkpoint of the run holds."""
    from ..trainer.checkpoints import checkpoints

    found = checkpoints(work)
    each = int(trained.settings.get("accumulation", 1))
    return found[-1].iteration // each if found else None
