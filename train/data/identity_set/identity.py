"""`train data identity`: from assistant.toml to `runs/R/data`, rows to train on and probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.artifacts import (
    MANIFEST_FILE,
    Manifest,
    fingerprint,
    library_versions,
    now,
    read_manifest,
    sha256_of,
    sha256_of_folder,
    whole_folder,
    write_manifest,
)
from assistant.config import Config
from assistant.conversation import Conversation, write_conversations
from assistant.corrections import CORRECTIONS_FILE, Correction, digest_of_used, read_corrections
from assistant.engines.base import Engine
from assistant.errors import UsageError
from assistant.languages.kept import auto_languages
from assistant.models import LocalModel, fetch
from assistant.persona import Persona, persona_from_config
from assistant.placeholders import unknown_placeholders
from assistant.progress import Report, unreported
from assistant.run import PROBES_FILE, TRAIN_FILE, VALID_FILE, Run
from assistant.words import LANGUAGE_NAMES, LANGUAGES, Text

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
    folder = run.data
    corrections = read_corrections(config.folder)
    with whole_folder(folder, force=force) as out:
        model = fetch(config.model.base, base_folder=config.folder, report=report)
        with BaseSource(config, table, model, report, engine) as source:
            persona = auto_languages(config, model, source.engine, report)
            made = assemble(persona, base_names(model), table, seed, source, corrections)
        refuse_unfilled(made.train, folder / TRAIN_FILE)
        _refuse_slots(made.train)
        write_conversations(made.train, out / TRAIN_FILE)
        write_conversations(made.valid, out / VALID_FILE)
        write_probes(made.probes, out / PROBES_FILE)
        manifest = Manifest(
            stage="data identity",
            inputs=_inputs(config, table, model, corrections),
            settings=table.model_dump(mode="json"),
            seed=seed,
            libraries=library_versions("rapidfuzz", "openvino-genai"),
            started=started,
            finished=now(),
            notes=made.notes | _languages(config, persona),
        )
        write_manifest(out, manifest)
    return folder


def what_is_left_out(folder: Path) -> Text | None:
    """Say in which language alone the data is, and the facts left out for it; None where nothing was
    left out.

    Args:
        folder: the data that `make_identity_data` wrote.
    """
    notes = read_manifest(folder).notes
    facts = notes.get("facts_left_out")
    if facts is None or len(notes["languages"]) == len(LANGUAGES):
        return None
    name = LANGUAGE_NAMES[notes["languages"][0]]
    said = Text(f"In {name.en} only: the base knows no other language of assistant.toml.",
                f"只用{name.zh}：基座不会 assistant.toml 里的其他语言。")  # fmt: skip
    if not facts:
        return said
    listed = "\n".join(f"  {' '.join(fact.split())}" for fact in facts)
    return Text(
        f"{said.en} Facts asked in another, left out:\n{listed}\n"
        "To keep them: ask them in that language too, take a base that knows theirs, or name "
        '[assistant] languages = ["zh", "en"].',
        f"{said.zh}用别的语言提问的事实未使用：\n{listed}\n"
        "要保留：也用该语言写一遍，或换一个会它们的基座，或写明 "
        '[assistant] languages = ["zh", "en"]。',
    )


def corrected_since(config: Config, run: Run) -> Text | None:
    """Say that the run's data was made of other corrections than those accepted now; None where it was
    not."""
    if not (run.data / MANIFEST_FILE).is_file():  # a person's own data
        return None
    now_used = digest_of_used(read_corrections(config.folder))
    if now_used == read_manifest(run.data).inputs.get(CORRECTIONS_FILE, ""):
        return None
    return Text(
        "The data was made before the latest corrections: --force makes it anew and trains on them.",
        "数据是在最近的更正之前生成的：加 --force 重新生成，并用它们训练。",
    )


def _languages(config: Config, persona: Persona) -> dict[str, Any]:
    """The languages of the data; where the base chose them, the facts that are left out for it."""
    notes: dict[str, Any] = {"languages": list(persona.languages)}
    if not config.assistant.languages:
        whole = persona_from_config(config)
        notes["facts_left_out"] = [fact.ask for fact in whole.facts if fact not in persona.facts]
    return notes


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


def _inputs(
    config: Config, table: DataTable, model: LocalModel, corrections: Sequence[Correction]
) -> dict[str, str]:
    files = {
        name: sha256_of(config.folder / name) for name in (*table.ordinary_files, *table.task_files)
    }
    if digest := digest_of_used(corrections):
        files[CORRECTIONS_FILE] = digest
    return {
        config.file.name: sha256_of(config.file),
        "train/data/banks": sha256_of_folder(bank.FOLDER),
        model.reference: model.revision or fingerprint(model.path),
        **files,
    }
