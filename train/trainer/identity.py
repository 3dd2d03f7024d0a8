"""What a run is of: its base, data and settings, so that it is never resumed as another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from assistant.errors import UsageError
from assistant.words import Text

RUN_FILE = "run.json"
HEAD_BYTES = 1 << 20


class RunIdentity(BaseModel):
    """What must be unchanged for a run to go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    base_fingerprint: str
    data_sha256: str
    iterations: int
    recipe: dict[str, Any]
    seed: int

    @classmethod
    def read(cls, work: Path) -> RunIdentity | None:
        """The identity kept in a work folder, None where there is none."""
        try:
            return cls.model_validate_json((work / RUN_FILE).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, work: Path) -> None:
        """Keep it in `work`."""
        (work / RUN_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def refuse_other(self, wanted: RunIdentity) -> None:
        """Raise UsageError if what is to be trained now is not what this run was begun with."""
        names = {
            "base_fingerprint": Text(f"the base model ({self.base})", f"基座模型（{self.base}）"),
            "data_sha256": Text("the training data", "训练数据"),
            "recipe": Text("the recipe or [train]", "配方或 [train]"),
            "seed": Text("[train] seed", "[train] seed"),
            "iterations": Text("the number of steps", "步数"),
        }
        changed = [
            name for key, name in names.items() if getattr(self, key) != getattr(wanted, key)
        ]
        if changed:
            raise UsageError(
                Text(
                    "This run was begun with other things: "
                    + ", ".join(name.en for name in changed) + " changed since.",
                    "这个运行开始时的内容已变：" + "、".join(name.zh for name in changed) + "。",
                ),
                Text(
                    "Change it back, begin again with --force, or name another run with --run.",
                    "请改回去，或用 --force 重新开始，或用 --run 换一个运行。",
                ),
            )  # fmt: skip


def fingerprint(folder: Path) -> str:
    """Tells model folders apart without reading all of them: config, sizes, heads of the weights."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name}:{file.stat().st_size}".encode())
        with file.open("rb") as source:
            digest.update(source.read(HEAD_BYTES))
            source.seek(file.stat().st_size // 2)
            digest.update(source.read(HEAD_BYTES))
    return digest.hexdigest()
