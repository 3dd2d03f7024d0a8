"""What a model reference becomes: a folder or file on this machine, known to be whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["gguf", "hf", "openvino", "adapter"]


@dataclass(frozen=True)
class LocalModel:
    """A model on this disk. `path` is a GGUF file for "gguf", else a folder."""

    reference: str  # as the person wrote it
    path: Path
    format: Format
    revision: str = ""  # commit, package version or sha256: what pins exactly these weights
    licence: str = ""  # SPDX-like name where the source gives one
    origin: str = ""  # where it came from, for the page and the model card

    @property
    def name(self) -> str:
        """A short name for people: the last part of the reference, or of the path."""
        return self.reference.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] or self.path.name
