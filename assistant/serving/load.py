"""From a configuration to an assistant that talks: weights, persona, engine."""

from __future__ import annotations

from ..config import Config, EngineName
from ..engines import needs_weights, open_engine
from ..models import LocalModel, fetch
from ..persona import Persona, persona_from_config, read_persona
from ..progress import Report
from ..weights import Choice, choose_weights, refuse_unpinned_remote_code
from ..words import Text
from .host import PersonaSource, Ready


def load_assistant(
    config: Config, report: Report, engine: EngineName | None = None, model: str | None = None
) -> Ready:
    """Fetch the weights, read who they are, start the engine.

    `engine` and `model` replace the configuration's. Raises UsageError, BlockedError, EngineError.
    """
    refuse_unpinned_remote_code(config)
    name = engine or config.serve.engine
    choice = choose_weights(config, model)
    local = None
    if needs_weights(name):
        local = fetch(choice.reference, base_folder=config.folder, report=report)
    persona, source = _persona(config, local)
    opened = open_engine(name, local, config.serve, report)
    return Ready(opened.engine, persona, source, _note(opened.note, choice, local))


def _persona(config: Config, local: LocalModel | None) -> tuple[Persona, PersonaSource]:
    """Weights that were trained to be someone are that one."""
    if local is not None and local.path.is_dir():
        trained = read_persona(local.path)
        if trained is not None:
            return trained, "weights"
    return persona_from_config(config), "config"


def _note(engine_note: Text | None, choice: Choice, local: LocalModel | None) -> Text | None:
    notes = [engine_note] if engine_note else []
    if choice.source == "base" and local is not None:
        licence = f", {local.licence}" if local.licence else ""
        notes.append(
            Text(f"Untrained base{licence}: make train makes it yours.",
                 f"未经训练的基座{licence}：make train 让它成为你的助手。")
        )  # fmt: skip
    if not notes:
        return None
    return Text(" ".join(note.en for note in notes), "".join(note.zh for note in notes))
