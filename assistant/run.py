"""A run: the folder `runs/R` that the stages fill, each from what the one before it left there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from .artifacts import MANIFEST_FILE, OPENVINO_FOLDER, content_sha256, read_manifest
from .errors import UsageError

# What can be served and shared, by the names of their folders.
Kind = Literal["adapter", "merged"]
MERGED: Final = "merged"
ADAPTER: Final = "adapter"
TRAIN_FILE, VALID_FILE, PROBES_FILE = "train.jsonl", "valid.jsonl", "probes.jsonl"
CHOICE_FILE = "choice.json"
SHARE_RECORD_FILE = "deploy.json"


@dataclass(frozen=True)
class Run:
    """Where each stage of a run writes, below `folder`, and what of it is there and still holds.

    Made from the configuration (`config.run`, `config.run_named`) and handed to the stages. Nothing
    need be there yet; each answer is of the disk as it is now.
    """

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def name(self) -> str:
        """What `--run` calls it."""
        return self.folder.name

    @property
    def exists(self) -> bool:
        """Whether any stage has written here."""
        return self.folder.is_dir()

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
    def choice_file(self) -> Path:
        """Which checkpoint became the adapter, and the figures of all that were measured."""
        return self.work / CHOICE_FILE

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
    def gguf(self) -> Path:
        """The files for other programs: `deploy export`."""
        return self.folder / "gguf"

    @property
    def ollama(self) -> Path:
        """The folder for Ollama: `deploy export --format ollama`."""
        return self.folder / "ollama"

    @property
    def staging(self) -> Path:
        """The copies that sharing makes ready to go up."""
        return self.folder / "share"

    @property
    def share_record(self) -> Path:
        """What was shared where: `deploy model`, `deploy app`."""
        return self.folder / SHARE_RECORD_FILE

    def weights(self, kind: Kind) -> Path:
        """The folder of one kind of weights."""
        return self.folder / kind

    @property
    def has_data(self) -> bool:
        """Whether the data was made; a folder of a stage appears only when it is whole."""
        return self.data.is_dir()

    @property
    def is_begun(self) -> bool:
        """Whether training was begun here: it goes on from its last checkpoint."""
        return self.work.is_dir()

    @property
    def is_fitted(self) -> bool:
        """Whether training ended in an adapter."""
        return self.adapter.is_dir()

    @property
    def is_chosen(self) -> bool:
        """Whether the checkpoints were compared, and `adapter` is the best one's."""
        return self.choice_file.is_file()

    @property
    def is_merged(self) -> bool:
        """Whether there is a merged model, of whichever adapter (`merged_is_stale`)."""
        return self.merged.is_dir()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The weights that are there to share, the merged model first."""
        kinds: tuple[Kind, ...] = (MERGED, ADAPTER)
        return tuple(kind for kind in kinds if self.weights(kind).is_dir())

    @property
    def servable(self) -> Path | None:
        """What there is to talk with: the merged model, or the adapter where that alone was made
        ready (`train fit --adapter-only`); the newer of the two. None for nothing yet."""
        found = [self.merged] if (self.merged / MANIFEST_FILE).is_file() else []
        if (self.adapter / OPENVINO_FOLDER).is_dir():
            found.append(self.adapter)
        return max(found, key=lambda folder: (folder / MANIFEST_FILE).stat().st_mtime, default=None)

    @property
    def merged_is_stale(self) -> bool:
        """Whether the merged model was made from another adapter than the one there now.

        Raises UsageError where the merged model has no manifest that can be read.
        """
        return not self.holds(ADAPTER, read_manifest(self.merged).inputs)

    def check_proves(self, kind: Kind) -> bool:
        """Tell whether the check was of the weights that lie there now.

        It names the merged weights by sha256, and their manifest names their adapter. A check or a
        merge without a manifest proves nothing.
        """
        try:
            checked = read_manifest(self.check).inputs
            merged = read_manifest(self.merged).inputs
        except UsageError:
            return False
        return self.holds(MERGED, checked) and (kind == MERGED or self.holds(ADAPTER, merged))

    def holds(self, kind: Kind, inputs: Mapping[str, str]) -> bool:
        """Tell whether the weights of a stage are those that a later stage was made from.

        Args:
            kind: ADAPTER or MERGED.
            inputs: The later stage's manifest: sha256 by name, `adapter/adapter_model.safetensors`.
        """
        known = {name: digest for name, digest in inputs.items() if name.startswith(f"{kind}/")}
        there = {f"{kind}/{file.name}" for file in self.weights(kind).glob("*.safetensors")}
        return bool(known) and there == set(known) and all(
            content_sha256(self.folder / name) == digest for name, digest in known.items()
        )  # fmt: skip
