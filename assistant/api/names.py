"""The names by which clients choose: the assistant's own, and one for each of its styles."""

from __future__ import annotations

import re
import unicodedata

from ..persona import Persona
from .errors import ApiError


def slug(name: str) -> str:
    """A name as part of a model's: lower case, letters and digits of any script, "-" between."""
    plain = unicodedata.normalize("NFKC", name).lower()
    return re.sub(r"[^\w]+", "-", plain).strip("-_") or "assistant"


def model_names(persona: Persona) -> dict[str, str | None]:
    """The style that each model's name asks for: `bei` none, `bei:rednote` that one."""
    own = slug(persona.name)
    styles = {f"{own}:{style.name}": style.name for style in persona.styles}
    return {own: None, **styles}


def style_of(persona: Persona, model: str) -> str | None:
    """The style that a model's name asks for, None for none. Raises ApiError for no such model."""
    names = model_names(persona)
    if model in names:
        return names[model]
    known = ", ".join(names)
    raise ApiError(
        404, f"The model '{model[:80]}' does not exist. There are: {known}.", "model_not_found", "model"
    )  # fmt: skip
