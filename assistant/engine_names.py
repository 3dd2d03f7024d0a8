"""The names of the engines; light enough for `--help`."""

from __future__ import annotations

from typing import Literal, get_args

EngineName = Literal["auto", "turbomind", "cpu", "transformers", "remote", "echo"]
ENGINE_NAMES: tuple[EngineName, ...] = get_args(EngineName)
