"""`train merge`: the adapter onto full-precision weights, whole and ready to talk or to share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assistant.artifacts import (
    OPENVINO_FOLDER,
    Manifest,
    library_versions,
    now,
    read_manifest,
    sha256_of,
    whole_folder,
    write_manifest,
)
from assistant.config import Config
from assistant.errors import UsageError
from assistant.models import fetch
from assistant.persona import Persona, persona_from_config, read_persona, write_persona
from assistant.progress import Progress, Report, unreported
from assistant.run import Run
from assistant.transformers_import import import_transformers
from assistant.words import Text

from .base.folder import TrainingBase, prepare_base, readable_by_older_libraries
from .library_logging import quiet_libraries
from .trainer.adapter import ADAPTER_WEIGHTS, TOKENIZER_FILES

SHARD = "2GB"
Exporter = Callable[[Path, Path, Report], None]


def merge(
    config: Config,
    run: Run,
    *,
    force: bool = False,
    export: Exporter | None = None,
    report: Report = unreported,
) -> Path:
    """Write `runs/R/merged` from `runs/R/adapter` and the base; returns that folder.

    `export` fills `merged/openvino` for the CPU engine; without it that is left to the engine.
    Raises UsageError where there is no adapter, or it belongs to another base.
    """
    started = now()
    adapter, merged = run.adapter, run.merged
    if not run.is_fitted:
        raise UsageError(
            Text(f"There is no adapter: {adapter} is missing.", f"没有 adapter：缺少 {adapter}。"),
            Text("Train first: python -m train fit", "请先训练：python -m train fit"),
        )
    trained = read_manifest(adapter)
    base = prepare_base(fetch(config.model.base, base_folder=config.folder, report=report), report)
    refuse_other_base(trained, base)
    persona = read_persona(adapter) or persona_from_config(config)
    with whole_folder(merged, force=force) as out:
        report(Progress(Text("Merging", "合并")))
        _write_weights(adapter, base, out)
        _write_rest(adapter, base, persona, trained, out, started)
        if export is not None:
            export(out, out / OPENVINO_FOLDER, report)
    return merged


def export_adapter(adapter: Path, base: TrainingBase, report: Report = unreported) -> Path:
    """Write `adapter/openvino`, which the CPU engine serves, without keeping a merged model.

    Returns that folder. OpenVINO GenAI applies an adapter itself only to exports and only in
    `generate` (openvino.genai #3677), not in the batching that serves many visitors; so the sum is
    made here, in the base's own dtype.
    """
    target = adapter / OPENVINO_FOLDER
    with TemporaryDirectory(prefix="export-", dir=adapter.parent) as temporary:
        out = Path(temporary)
        report(Progress(Text("Merging for the export", "为导出而合并")))
        _write_weights(adapter, base, out)
        _copy_tokenizer(base, out)
        openvino_export(out, target, report)
    return target


def openvino_export(folder: Path, target: Path, report: Report) -> None:
    """The export that the CPU engine reads, made by the engine's own exporter."""
    from assistant.engines.cpu.export import export

    export(folder, target, report)


def refuse_other_base(trained: Manifest, base: TrainingBase) -> None:
    """Raise UsageError if an adapter was trained on another base than the one to merge onto."""
    was, was_revision = trained.notes.get("base", ""), trained.notes.get("base_revision", "")
    same = was == base.public_reference
    if same and (not was_revision or not base.revision or was_revision == base.revision):
        return
    shown = f"{was}@{was_revision}" if same else was
    raise UsageError(
        Text(
            f"The adapter was trained on {shown}, not on {base.public_reference}: merging them "
            "would give noise.",
            f"这个 adapter 是在 {shown} 上训练的，不是 {base.public_reference}：合并后只会胡言乱语。",
        ),
        Text(f'Set [model] base = "{was}".', f'请设置 [model] base = "{was}"。'),
    )


def merged_model(adapter: Path, base: Path) -> Any:
    """The base with the adapter added into its weights, in the base's own dtype."""
    import_transformers()
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", low_cpu_mem_usage=True)
        return PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)


def _write_weights(adapter: Path, base: TrainingBase, out: Path) -> None:
    if not (adapter / ADAPTER_WEIGHTS).is_file():  # a full recipe: the weights are whole already
        for file in adapter.iterdir():
            if file.suffix in (".safetensors", ".json") and file.name != "manifest.json":
                shutil.copyfile(file, out / file.name)
        return
    model = merged_model(adapter, base.folder)
    with quiet_libraries():
        model.save_pretrained(out, max_shard_size=SHARD)
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors leaves it readable by its owner alone


def _write_rest(
    adapter: Path, base: TrainingBase, persona: Persona, trained: Manifest, out: Path, started: str
) -> None:
    _copy_tokenizer(base, out)
    write_persona(persona, out)
    write_manifest(
        out,
        Manifest(
            stage="merge",
            inputs={
                f"adapter/{file.name}": sha256_of(file)
                for file in sorted(adapter.glob("*.safetensors"))
            }
            | {"base": base.revision or base.public_reference},
            settings=trained.settings,
            seed=trained.seed,
            libraries=library_versions("torch", "transformers", "peft", "safetensors"),
            started=started,
            finished=now(),
            notes=trained.notes,
        ),
    )


def _copy_tokenizer(base: TrainingBase, out: Path) -> None:
    for name in TOKENIZER_FILES:  # byte by byte: saving again may change what is read back
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, out / name)
    readable_by_older_libraries(out)
