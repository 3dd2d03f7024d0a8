"""What can be wrong inside one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assistant.persona import Persona

from ...placeholders import of_turns
from ..language import asks_for_language, language_of
from ..phrases import AS_A_MODEL, leading_phrase, trailing_note
from .identity import OtherIdentities
from .personal import personal


class ContentChecks:
    """Checks rows one by one, as the answers of `persona` (None: of anyone, Chinese or English)."""

    def __init__(self, persona: Persona | None):
        self._others = OtherIdentities(persona)
        self._languages = frozenset(persona.languages if persona else ("zh", "en"))

    def findings(self, turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """(code, words) for each thing that is wrong with the turns."""
        found = [*of_turns(turns)]
        unfilled = next((text for text, certain in found if certain), "")
        if unfilled:
            yield "E104", unfilled
        elif found:
            yield "W214", found[0].text
        question = ""
        for role, text in turns:
            yield from personal(text)
            if role == "user":
                question = text
            elif role == "assistant":
                yield from self._answer(question, text)

    def _answer(self, question: str, answer: str) -> Iterator[tuple[str, str]]:
        other = self._others.found(answer)
        if other:
            yield "E106", _short(other)
        match = AS_A_MODEL.search(answer)
        phrase = leading_phrase(answer) or trailing_note(answer) or (match[0] if match else "")
        if phrase:
            yield "W204", _short(phrase.strip())
        answered = language_of(answer)
        expected = {*self._languages, language_of(question)}
        if answered and answered not in expected and not asks_for_language(question):
            yield "W210", answered


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
