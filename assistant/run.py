"""A run: the folder `runs/R` that the stages fill, each from what the one before it left there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .artifacts import content_sha256

MERGED, ADAPTER = (
    "merged",
    "adapter",
)  # what can be served and shared, by the names of their folders
TRAIN_FILE, VALID_FILE, PROBES_FILE = "train.jsonl", "valid.jsonl", "probes.jsonl"


@dataclass(frozen=True)
class Run:
    """Where each stage of a run writes, below `folder`. Nothing need be there yet."""

    folder: Path

    @property
    def data(self) -> Path:
        """Rows to train on, rows held out, and probes: `train data identity` or `split`."""
        return self.folder / "data"

    @property
    def train_file(self) -> Path:
        return self.data / TRAIN_FILE

    @property
    def valid_file(self) -> Path:
        return self.data / VALID_FILE

    @property
    def probes_file(self) -> Path:
        return self.data / PROBES_FILE

    @property
    def lint(self) -> Path:
        """The report on the data: `train data lint`."""
        return self.folder / "lint"

    @property
    def work(self) -> Path:
        """What the trainer works on: config, log, checkpoints, status."""
        return self.folder / "fit"

    @property
    def adapter(self) -> Path:
        """The PEFT adapter: `train fit`."""
        return self.folder / ADAPTER

    @property
    def merged(self) -> Path:
        """The model to serve: `train merge`, or `deploy quantize`."""
        return self.folder / MERGED

    @property
    def check(self) -> Path:
        """The proof: `train check`."""
        return self.folder / "check"

    @property
    def staging(self) -> Path:
        """The copies that sharing makes ready to go up."""
        return self.folder / "share"

    def holds(self, kind: str, inputs: Mapping[str, str]) -> bool:
        """Tell whether the weights of a stage are those that a later stage was made from.

        Args:
            kind: ADAPTER or MERGED.
            inputs: The later stage's manifest: sha256 by name, `adapter/adapter_model.safetensors`.
        """
        known = {name: digest for name, digest in inputs.items() if name.startswith(f"{kind}/")}
        there = {f"{kind}/{file.name}" for file in (self.folder / kind).glob("*.safetensors")}
        return bool(known) and there == set(known) and all(
            content_sha256(self.folder / name) == digest for name, digest in known.items()
        )  # fmt: skip
