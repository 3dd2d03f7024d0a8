"""Which system message a row carries.

At serving the persona's own system prompt is sent by default, so most rows carry it. Some carry
none: then the template says whatever it says by itself (SmolLM2's says "You are a helpful AI
assistant named SmolLM"), and the identity must hold against that too. A few carry another common
one, as a client of the API may send.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from assistant.conversation import Message
from assistant.persona import Persona
from assistant.words import Language

from .bank import identity_bank

PERSONA_SHARE, NONE_SHARE = 0.6, 0.3  # the rest: another system prompt


def persona_system(persona: Persona, language: Language) -> list[Message]:
    """The system message of serving in `language`; none for a persona without one."""
    content = persona.system(language).strip()
    return [Message(role="system", content=content)] if content else []


def other_system(language: Language, chance: random.Random) -> list[Message]:
    """A system message that says nothing of who the assistant is."""
    return [Message(role="system", content=chance.choice(identity_bank(language).systems))]


def shared_out(
    persona: Persona, languages: Sequence[Language], chance: random.Random
) -> list[list[Message]]:
    """A system message, or none, for rows of these languages: the shares exact, the order by
    chance."""
    count = len(languages)
    bounds = round(count * PERSONA_SHARE), round(count * (PERSONA_SHARE + NONE_SHARE))
    places = list(range(count))
    chance.shuffle(places)
    return [
        persona_system(persona, language) if place < bounds[0]
        else [] if place < bounds[1]
        else other_system(language, chance)
        for place, language in zip(places, languages, strict=True)
    ]  # fmt: skip
