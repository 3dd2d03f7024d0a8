"""What the options of the workshop's commands share."""

from __future__ import annotations

from pathlib import Path

import click

from assistant.words import Text

FILE = click.Path(path_type=Path)


def in_words(en: str, zh: str) -> str:
    """The help text in the terminal's language."""
    return str(Text(en, zh))
