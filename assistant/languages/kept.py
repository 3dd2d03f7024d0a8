"""What was measured is kept: for the embedded base with the kit, for every other model in the cache."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from ..artifacts import fingerprint, whole_file
from ..config import Config
from ..engines.base import Engine
from ..errors import EngineError
from ..models import LocalModel, home
from ..persona import Persona, persona_from_config
from ..progress import Report
from ..words import Language
from .measure import HOW, QUESTIONS, LanguageRecord, measure

logger = logging.getLogger(__name__)
SHIPPED = Path(__file__).parent / "measured"


def known_languages(
    model: LocalModel, engine: Callable[[], Engine] | None, report: Report
) -> tuple[Language, ...] | None:
    """Return the languages that `model` knows, asked of it where no record is kept.

    Args:
        model: the weights, which name the record.
        engine: gives the engine that holds them, opened where it must be asked; None where it must
            not be asked (it would take a visitor's GPU time).
        report: told how far the asking is.

    Returns:
        The languages, best first; None where the model could not be asked.
    """
    if kept := kept_measure(model):
        return kept.known()
    if engine is None:
        return None
    try:
        measured = measure(engine(), report=report)
    except EngineError as error:  # the first answer will say so itself
        logger.warning("the languages of %s are not known: %s", model.reference, error)
        return None
    keep_measure(measured, model)
    return measured.known()


def auto_languages(
    config: Config, base: LocalModel, engine: Callable[[], Engine] | None, report: Report
) -> Persona:
    """Return the configured persona as it is trained on `base`: under `languages = "auto"` in the
    languages that the base knows (see `known_languages`), else in those that are named."""
    persona = persona_from_config(config)
    if config.assistant.languages:
        return persona
    known = known_languages(base, engine, report)
    return persona if known is None else persona.speaking(known)


def kept_measure(model: LocalModel) -> LanguageRecord | None:
    """Return what was measured of exactly these weights by these questions; None for nothing yet."""
    name = _name(model)
    for folder in (SHIPPED, _cache()):
        try:
            return LanguageRecord.model_validate_json((folder / name).read_bytes())
        except (OSError, ValidationError):
            continue
    return None


def keep_measure(
    measured: LanguageRecord, model: LocalModel, folder: Path | None = None
) -> Path | None:
    """Write what was measured into `folder` (None: the cache) and return the file.

    Returns None where the cache cannot be written: it is then measured again the next time.
    """
    file = (folder or _cache()) / _name(model)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as out:
            out.write(measured.model_dump_json(indent=1) + "\n")
    except OSError as error:
        if folder is not None:
            raise
        logger.warning("what languages %s knows could not be kept: %s", model.reference, error)
        return None
    return file


def _cache() -> Path:
    return home() / "languages"


def _name(model: LocalModel) -> str:
    """Name the record by weights, questions and sampling: what of these changes is measured anew."""
    pinned = f"{model.reference}@{model.revision}" if model.revision else fingerprint(model.path)
    key = hashlib.sha256(f"{pinned}\0{HOW}\0".encode() + QUESTIONS.read_bytes()).hexdigest()
    return f"{key[:16]}.json"
