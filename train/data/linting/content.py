"""What can be wrong inside one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assistant.persona import Persona
from assistant.personal_data import personal

from ..text.language import foreign_language
from ..text.media import lost_picture, media_mark
from ..text.phrases import AS_A_MODEL, leading_phrase, trailing_note
from ..text.placeholders import of_turns
from .identity import OtherIdentities


class ContentChecks:
    """Checks rows one by one, as the answers of `persona` (None: of anyone, Chinese or English)."""

    def __init__(self, persona: Persona | None):
        self._others = OtherIdentities(persona)
        self._languages = tuple(persona.languages if persona else ("zh", "en"))

    def findings(self, turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """(code, words) for each thing that is wrong with the turns."""
        marks = (media_mark(text) or lost_picture(text, role == "user") for role, text in turns)
        mark = next(filter(None, marks), "")
        if mark:
            yield "E110", mark
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
        phrase = (
            leading_phrase(answer, question)
            or trailing_note(answer, question)
            or (match[0] if match else "")
        )
        if phrase:
            yield "W204", _short(phrase.strip())
        foreign = foreign_language(question, answer, self._languages)
        if foreign:
            yield "W210", foreign


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
