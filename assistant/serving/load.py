"""From a configuration to an assistant that talks: weights, persona, engine."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Config, EngineName, LimitsTable
from ..engines import needs_weights, open_engine
from ..engines.base import Engine
from ..languages.kept import known_languages
from ..models import LocalModel, fetch
from ..persona import Persona, persona_from_config, read_persona
from ..progress import Report
from ..weights import Choice, choose_weights, refuse_unpinned_remote_code
from ..words import LANGUAGE_NAMES, Language, Text, joined
from .host import PersonaSource, Ready
from .listen import ListenAddress


def is_single_user(limits: LimitsTable, place: ListenAddress) -> bool:
    """Whether one person alone uses it: the owner, on their own machine and through no proxy, unless
    `[serve.limits] concurrent` tells how many."""
    if place.public or place.root_path:
        return False
    return limits.concurrent == 1 or "concurrent" not in limits.model_fields_set


def load_assistant(
    config: Config,
    report: Report,
    engine: EngineName | None = None,
    model: str | None = None,
    *,
    single_user: bool = False,
) -> Ready:
    """Fetch the weights, read who they are, start the engine.

    `engine` and `model` replace the configuration's. For a `single_user` the CPU engine is the one
    that answers one person soonest. Raises UsageError, BlockedError, EngineError.
    """
    refuse_unpinned_remote_code(config)
    name = engine or config.serve.engine
    choice = choose_weights(config, model)
    local = None
    if needs_weights(name):
        local = fetch(choice.reference, base_folder=config.folder, report=report)
    persona, source = _persona(config, local)
    opened = open_engine(name, local, config.serve, report, single_user=single_user)
    unknown: tuple[Language, ...] = ()
    if local is not None and source == "config" and len(persona.languages) > 1:
        persona, unknown = _as_the_base_can(persona, local, opened.engine, report)
    return Ready(opened.engine, persona, source, _note(opened.note, choice, local, unknown))


def _as_the_base_can(
    persona: Persona, base: LocalModel, engine: Engine, report: Report
) -> tuple[Persona, tuple[Language, ...]]:
    """The persona in the languages that an untrained base knows, and those that it does not."""
    known = known_languages(base, (lambda: engine) if engine.may_be_tried else None, report)
    if known is None:
        return persona, ()
    narrowed = persona.speaking(known)
    return narrowed, tuple(one for one in persona.languages if one not in narrowed.languages)


def _persona(config: Config, local: LocalModel | None) -> tuple[Persona, PersonaSource]:
    """Weights that were trained to be someone are that one."""
    if local is not None:
        trained = read_persona(local.path)
        if trained is not None:
            return trained, "weights"
    return persona_from_config(config), "config"


def _note(
    engine_note: Text | None, choice: Choice, local: LocalModel | None, unknown: Sequence[Language]
) -> Text | None:
    notes = [engine_note] if engine_note else []
    if choice.source == "base" and local is not None:
        licence = f", {local.licence}" if local.licence else ""
        notes.append(
            Text(f"Untrained base{licence}: make train makes it yours.",
                 f"未经训练的基座{licence}：make train 让它成为你的助手。")
        )  # fmt: skip
    if unknown:
        name = LANGUAGE_NAMES[unknown[0]]
        notes.append(
            Text(f"It does not know {name.en}; for a base that does, change [model] base in assistant.toml.",
                 f"它不会{name.zh}；要{name.zh}，请在 assistant.toml 的 [model] base 换一个会的基座。")
        )  # fmt: skip
    return joined(*notes)
