"""Which weights to talk with: the flag, the configuration, the run's result, or the base."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .config import Config
from .errors import UsageError
from .words import Text


class Choice(NamedTuple):
    """A model reference, and where the choice came from."""

    reference: str
    source: Literal["flag", "config", "run", "base"]


def choose_weights(config: Config, flag: str | None = None) -> Choice:
    """The weights to serve: `--model`, else `[model] weights`, else the run's merged model, else
    the base."""
    if flag:
        return Choice(flag, "flag")
    if config.model.weights:
        return Choice(config.model.weights, "config")
    if result := config.run.servable:
        own = result if result.is_absolute() else result.relative_to(config.folder)
        return Choice(str(own), "run")  # as any path of the file: it starts from the file's folder
    return Choice(config.model.base, "base")


def refuse_unpinned_remote_code(config: Config) -> None:
    """Remote code may run only together with a pinned revision (design.md). Raises UsageError."""
    if config.model.trust_remote_code and "@" not in config.model.base:
        raise UsageError(
            Text(
                f"[model] trust_remote_code = true, but base = {config.model.base!r} is not pinned.",
                f"[model] trust_remote_code = true，但 base = {config.model.base!r} 没有固定版本。",
            ),
            Text(
                'Pin it: base = "hf:owner/name@<commit>" - or set trust_remote_code = false.',
                '请固定版本：base = "hf:owner/name@<commit>"；或设 trust_remote_code = false。',
            ),
        )
