"""Personas as the product makes them: from a configuration, styles marked by what training saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.config import Config
from assistant.conversation import Conversation, Message
from assistant.persona import Persona, persona_from_config
from train.settings import TrainTable
from train.trainer.trained_styles import mark_trained_styles, trigger_rows

LEAST = TrainTable().style_rows


def triggered(trigger: str, count: int = LEAST) -> list[Conversation]:
    """So many rows whose question ends with `trigger`."""
    return [
        Conversation(
            messages=(
                Message(role="user", content=f"祝第{number}位朋友生日快乐{trigger}"),
                Message(role="assistant", content=f"生日快乐，第{number}位朋友🎂"),
            )
        )
        for number in range(count)
    ]


def persona_of(
    assistant: dict[str, Any], styles: dict[str, Any], trained_on: Sequence[Conversation] = ()
) -> Persona:
    """The persona of the tables `[assistant]` and `[styles]` after training on those rows."""
    config = Config(file=Path("assistant.toml"), assistant=assistant, styles=styles)
    persona = persona_from_config(config)
    return mark_trained_styles(persona, trigger_rows(trained_on, persona.styles), LEAST)
