"""The names of the engines; light enough for `--help`."""

from __future__ import annotations

from typing import Literal, get_args

EngineName = Literal["auto", "turbomind", "cpu", "llamacpp", "transformers", "remote", "echo"]
ENGINE_NAMES: tuple[EngineName, ...] = get_args(EngineName)
