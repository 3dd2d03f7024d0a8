"""A checkpoint of XTuner becomes a PEFT adapter: safetensors, with persona and manifest."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assistant.artifacts import Manifest, library_versions, now, whole_folder, write_manifest
from assistant.persona import Persona, write_persona

from ..base.folder import TrainingBase
from ..recipes import Recipe
from .checkpoints import Checkpoint, trained_weights

ADAPTER_WEIGHTS = "adapter_model.safetensors"
SHARD_BYTES = 2 * 10**9
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
_XTUNER_PREFIX = "llm."
_ADAPTER_NAME = ".default"
_LAYER = re.compile(r"\.(\d+)\.")


def write_adapter(
    checkpoint: Checkpoint,
    target: Path,
    *,
    base: TrainingBase,
    recipe: Recipe,
    persona: Persona,
    inputs: dict[str, str],
    seed: int,
    started: str,
    force: bool = False,
) -> Path:
    """Write what `checkpoint` learned to `target` and return it.

    For a LoRA recipe a PEFT adapter; for a full one the whole model, in the same kind of folder.
    Raises UsageError where `target` is there already, BlockedError where it cannot be written.
    """
    learned = {
        name.removeprefix(_XTUNER_PREFIX): tensor
        for name, tensor in trained_weights(checkpoint.path).items()
    }
    with whole_folder(target, force=force) as out:
        if recipe.method == "full":
            _write_model(learned, out, base)
        else:
            _write_peft(learned, out, base, recipe)
        write_persona(persona, out)
        write_manifest(
            out,
            Manifest(
                stage="fit",
                inputs=inputs,
                settings=recipe.model_dump(mode="json", exclude={"label", "needs"}),
                seed=seed,
                libraries=library_versions("torch", "transformers", "peft", "xtuner", "mmengine"),
                started=started,
                finished=now(),
                notes={
                    "base": base.public_reference,
                    "base_revision": base.revision,
                    "base_licence": base.licence,
                    "iteration": checkpoint.iteration,
                    "step": checkpoint.iteration // recipe.accumulation,
                },
            ),
        )
    return target


def _write_peft(learned: dict[str, Any], out: Path, base: TrainingBase, recipe: Recipe) -> None:
    from peft import LoraConfig
    from safetensors.torch import save_file

    weights = {
        name.replace(_ADAPTER_NAME, ""): tensor.contiguous() for name, tensor in learned.items()
    }
    targets = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in weights})
    LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=targets,
        layers_to_transform=_layers(weights) if recipe.lora_layers < 1 else None,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base.public_reference,
        inference_mode=True,
    ).save_pretrained(str(out))
    save_file(weights, out / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    (out / ADAPTER_WEIGHTS).chmod(0o644)  # safetensors leaves it readable by its owner alone


def _layers(names: Iterable[str]) -> list[int]:
    """The numbers of the layers that have an adapter."""
    return sorted({int(found[1]) for name in names if (found := _LAYER.search(name))})


def _write_model(learned: dict[str, Any], out: Path, base: TrainingBase) -> None:
    import torch
    from huggingface_hub import save_torch_state_dict

    whole = {name: tensor.to(torch.bfloat16) for name, tensor in learned.items()}
    save_torch_state_dict(whole, str(out), max_shard_size=SHARD_BYTES)
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)
    for name in ("config.json", *TOKENIZER_FILES):
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, out / name)
