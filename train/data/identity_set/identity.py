"""`train data identity`: from assistant.toml to `runs/R/data`, rows to train on and probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assistant.artifacts import (
    Manifest,
    fingerprint,
    library_versions,
    now,
    sha256_of,
    sha256_of_folder,
    whole_folder,
    write_manifest,
)
from assistant.config import Config
from assistant.conversation import Conversation, write_conversations
from assistant.engines.base import Engine
from assistant.errors import UsageError
from assistant.models import LocalModel, fetch
from assistant.persona import persona_from_config
from assistant.placeholders import unknown_placeholders
from assistant.progress import Report, unreported
from assistant.run import PROBES_FILE, TRAIN_FILE, VALID_FILE, Run
from assistant.words import Text

from ..dataset import refuse_unfilled
from ..probes import write_probes
from ..settings import DataTable
from . import bank
from .assemble import assemble
from .bases import base_names
from .source import BaseSource


def make_identity_data(
    config: Config,
    run: Run,
    table: DataTable,
    seed: int,
    *,
    force: bool = False,
    report: Report = unreported,
    engine: Engine | None = None,
) -> Path:
    """Write `data` of the run and return it. `engine` answers in place of the configured one (tests).

    The same seed gives the same rows. Raises UsageError, BlockedError, EngineError.
    """
    started = now()
    persona = persona_from_config(config)
    folder = run.data
    with whole_folder(folder, force=force) as out:
        model = fetch(config.model.base, base_folder=config.folder, report=report)
        source = BaseSource(config, table, model, report, engine)
        made = assemble(persona, base_names(model), table, seed, source)
        refuse_unfilled(made.train, folder / TRAIN_FILE)
        _refuse_slots(made.train)
        write_conversations(made.train, out / TRAIN_FILE)
        write_conversations(made.valid, out / VALID_FILE)
        write_probes(made.probes, out / PROBES_FILE)
        manifest = Manifest(
            stage="data identity",
            inputs=_inputs(config, table, model),
            settings=table.model_dump(mode="json"),
            seed=seed,
            libraries=library_versions("rapidfuzz", "openvino-genai"),
            started=started,
            finished=now(),
            notes=made.notes,
        )
        write_manifest(out, manifest)
    return folder


def _refuse_slots(rows: Sequence[Conversation]) -> None:
    """Raise UsageError if a row from templates still has a slot that nothing filled."""
    for number, row in enumerate(rows, 1):
        if row.meta["kind"] in ("identity", "fact"):
            for message in row.messages:
                for word in unknown_placeholders(message.content):
                    raise UsageError(
                        Text(
                            f"Row {number} ({row.meta['source']}) has {{{word}}}, which nothing "
                            f"fills: {message.content}",
                            f"第 {number} 行（{row.meta['source']}）里的 {{{word}}} 没有内容可填："
                            f"{message.content}",
                        )
                    )


def _inputs(config: Config, table: DataTable, model: LocalModel) -> dict[str, str]:
    files = {name: sha256_of(config.folder / name) for name in table.ordinary_files}
    return {
        config.file.name: sha256_of(config.file),
        "train/data/banks": sha256_of_folder(bank.FOLDER),
        model.reference: model.revision or fingerprint(model.path),
        **files,
    }
