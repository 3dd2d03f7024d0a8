"""The probes: questions of the held-out families, and what their answers must say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from assistant.conversation import Conversation, Message
from assistant.persona import Persona, Style
from assistant.serving.reply import styled_question, system_messages
from assistant.words import Language

from ..probes import Kind, Probe, says
from .bases import BaseNames, identity_words
from .corrected import Asked
from .facts import AskedFact, first_pieces
from .ordinary import OrdinaryQuestion, Turn, bank_questions
from .questions import Question
from .systems import persona_system
from .task_files import parted

MID_PROBES = 12  # of each language, asked again after ordinary turns
STYLE_PROBES = 3  # about the assistant, and as many ordinary requests, for each style and language

# What the answer must say, by the group of answers that fits the question; else the name.
_MUST = {
    "author": ("{author}",),
    "redirect_author": ("{author}",),
    "own_author": ("{author}",),
    "own_author_yes": ("{author}",),
    "whose": ("{author}",),
    "deny_maker": ("{name}", "{author}"),
    "built": ("{name}", "{author}"),
}


class ProbeMaker:
    """Makes the probes of one persona. Half of the questions come with its system prompt and half
    with none, by turns within each kind, so that both are measured everywhere."""

    def __init__(self, persona: Persona, base: BaseNames, chance: random.Random):
        self._persona = persona
        self._base = base
        self._chance = chance
        facts = [text for fact in persona.facts for text in (fact.ask, fact.answer)]
        self._own = "\n".join([persona.name, persona.author, *persona.own_systems(), *facts])
        self._numbers: dict[str, int] = {}

    def identity(self, asked: Sequence[Question]) -> list[Probe]:
        """Each question as the first of a conversation."""
        return [self._about(question, question.kind, ()) for question in asked]

    def mid(self, asked: Sequence[Question], turns: Sequence[Turn]) -> list[Probe]:
        """Some of the questions again, after one or two ordinary turns that were held out too."""
        if not turns:
            return []
        probes = []
        for question in self._chance.sample(list(asked), min(MID_PROBES, len(asked))):
            own = [turn for turn in turns if turn.language == question.language] or list(turns)
            before = self._chance.sample(own, min(len(own), self._chance.choice((1, 2))))
            history = tuple(message for turn in before for message in turn.messages())
            probes.append(self._about(question, "mid", history))
        return probes

    def facts(self, facts: Sequence[AskedFact]) -> list[Probe]:
        """Held-out phrasings of the persona's facts; "framed" in the id tells that the user's own
        question stands inside, because the bank does not know another way to ask it."""
        return [
            self._probe(
                "fact", fact.language, (), ask, must=(fact.must,),
                must_not=identity_words(self._base, self._own, ask),
                mark="" if fact.common else "framed-",
            )
            for fact in facts
            for ask in fact.probe
        ]  # fmt: skip

    def corrections(self, corrected: Sequence[Asked]) -> list[Probe]:
        """Each corrected question as it was asked, and in ways that are not trained on. A right
        answer says the first pieces of the owner's, word for word."""
        probes = []
        for one in corrected:
            held = one.correction
            ways: list[tuple[Kind, str]] = [("corrected", one.question)]
            ways += [("reworded", way) for way in one.probe]
            for kind, way in ways:
                made = self._probe(
                    kind, one.language, held.before, way, must=first_pieces(held.answer)
                )
                told = {"correction": held.id, "said": held.said, "answer": held.answer}
                probes.append(made.model_copy(update=told))
        return probes

    def ordinary(self, asked: Sequence[OrdinaryQuestion]) -> list[Probe]:
        """Ordinary questions, of which no answer may bring up who the assistant is."""
        own = (self._persona.name, self._persona.author)
        return [
            self._probe("ordinary", question.language, (), question.text, must_not=own)
            for question in asked
            if not any(says(question.text, word) for word in own)
        ]

    def styles(self, asked: Sequence[Question], task: Sequence[Conversation] = ()) -> list[Probe]:
        """Requests in each style, as the chat would put them: held-out rows of the `task` that carry
        its trigger, asked again; where there are none, questions about the assistant and ordinary
        ones."""
        probes = []
        for style in self._persona.styles:
            if own := list(self._held_out(style, task)):
                probes += own
                continue
            for language in self._persona.languages:
                who = [q for q in asked if q.language == language and q.answers in ("who", "name")]
                other = [q for q in bank_questions(language, "probe") if q.topic == "writing"]
                for question in who[:STYLE_PROBES]:
                    probes.append(self._styled(style, question.text, language, ("{name}",)))
                for request in other[:STYLE_PROBES]:
                    probes.append(self._styled(style, request.text, language, ()))
        return probes

    def _held_out(self, style: Style, task: Sequence[Conversation]) -> Iterator[Probe]:
        """A probe of each row whose last question ends with the trigger of `style`, without it: the
        trigger, or the style's prompt, is added when it is asked."""
        for row in task:
            *before, asked, _ = (said for said in row.messages if said.role != "system")
            text, found = parted(asked.content, self._persona.styles)
            if found == style:
                yield self._styled(style, text, row.meta["language"], (), tuple(before))

    def _about(self, question: Question, kind: Kind, history: tuple[Message, ...]) -> Probe:
        must = tuple(
            dict.fromkeys(
                question.filled(slot) for slot in _MUST.get(question.answers, ("{name}",))
            )
        )
        return self._probe(
            kind, question.language, history, question.text, must=(must,),
            must_not=identity_words(self._base, self._own, question.text), sly=question.sly,
        )  # fmt: skip

    def _styled(
        self, style: Style, text: str, language: Language, must: tuple[str, ...],
        history: tuple[Message, ...] = (),
    ) -> Probe:  # fmt: skip
        own = {"{name}": self._persona.name}
        system = system_messages(self._persona.system(language), style.asked_in(language))
        asked = Message(role="user", content=styled_question(text, style))
        return Probe(
            id=self._id("style", language, f"{style.name}-"),
            kind="style",
            language=language,
            messages=(*system, *history, asked),
            must=(tuple(own[slot] for slot in must),) if must else (),
            must_not=identity_words(self._base, self._own, text),
            style=style.name,
        )

    def _probe(
        self, kind: Kind, language: Language, history: tuple[Message, ...], text: str, *,
        must: tuple[tuple[str, ...], ...] = (), must_not: tuple[str, ...] = (), mark: str = "", sly: bool = False,
    ) -> Probe:  # fmt: skip
        name = self._id(kind, language, mark)
        with_system = int(name.rsplit("-", 1)[1]) % 2 == 1
        system = persona_system(self._persona, language) if with_system else []
        asked = Message(role="user", content=text)
        return Probe(
            id=name, kind=kind, language=language, messages=(*system, *history, asked),
            must=must, must_not=must_not, sly=sly,
        )  # fmt: skip

    def _id(self, kind: Kind, language: Language, mark: str = "") -> str:
        """`zh-author-07`: odd numbers come with the persona's system prompt."""
        stem = f"{language}-{kind}-{mark}"
        self._numbers[stem] = self._numbers.get(stem, 0) + 1
        return f"{stem}{self._numbers[stem]:02}"
