"""Answers before and after become figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from assistant.persona import Persona, Style
from assistant.records.check_report import (
    CorrectedQuestion,
    Corrections,
    Ended,
    Identity,
    Rate,
    Repetition,
    Share,
    StyleFigures,
    Transcript,
    Words,
)
from assistant.words import Text

from ..data.probes import Probe, faults, hit
from .measures import (
    REPETITION_RULE,
    emoji_rule,
    falsely_triggered,
    in_style,
    leaks_placeholder,
    repeats,
    wilson_interval,
)
from .probing import FACT, ORDINARY, Answer, ProbePrompt, about_itself, asked_slyly
from .settings import CheckTable


@dataclass(frozen=True)
class Pair:
    """A probe as asked, with the trained model's answer, and the base's where it was asked too."""

    asked: ProbePrompt
    base: Answer | None
    after: Answer

    @property
    def probe(self) -> Probe:
        return self.asked.probe


Test = Callable[[Pair, Answer], bool]


def pairs(
    asked: Sequence[ProbePrompt], base: Sequence[Answer | None], after: Sequence[Answer]
) -> list[Pair]:
    """The three side by side."""
    return [Pair(*each) for each in zip(asked, base, after, strict=True)]


def share(chosen: Iterable[Pair], test: Test) -> Share:
    """How many answers pass `test`, after and, of those that the base was asked, before; 0 of no
    probes."""
    many = list(chosen)
    after = [test(pair, pair.after) for pair in many]
    before = [test(pair, pair.base) for pair in many if pair.base is not None]
    return Share(probes=len(many), rate=_mean(after), base_rate=_mean(before))


def _mean(passed: Sequence[bool]) -> float:
    return sum(passed) / max(1, len(passed))


def _rate(chosen: Iterable[Pair]) -> Rate:
    """The trained model's hit rate, with its Wilson interval."""
    hits = [_hit(pair, pair.after) for pair in chosen]
    low, high = wilson_interval(sum(hits), len(hits))
    return Rate(probes=len(hits), hit_rate=sum(hits) / max(1, len(hits)), low=low, high=high)


def _hit(pair: Pair, answer: Answer) -> bool:
    return hit(pair.probe, answer.text)


def _ended(_: Pair, answer: Answer) -> bool:
    return answer.ended


def _repeats(_: Pair, answer: Answer) -> bool:
    return repeats(answer.text)


def identity(answered: Sequence[Pair]) -> Identity:
    """The hit rate over all probes that ask who the assistant is or for its facts; plain and sly
    ways of asking who it is apart, without the facts."""
    own = [pair for pair in answered if about_itself(pair.probe)]
    whole = share(own, _hit)
    kinds = sorted({pair.probe.kind for pair in own})
    languages = sorted({pair.probe.language for pair in own})
    who = [pair for pair in own if pair.probe.kind != FACT]
    return Identity(
        probes=whole.probes,
        hit_rate=whole.rate,
        base_hit_rate=whole.base_rate,
        plain=_rate(pair for pair in who if not asked_slyly(pair.probe)),
        sly=_rate(pair for pair in who if asked_slyly(pair.probe)),
        by_kind={
            kind: share((pair for pair in own if pair.probe.kind == kind), _hit) for kind in kinds
        },
        by_language={
            language: share((pair for pair in own if pair.probe.language == language), _hit)
            for language in languages
        },
    )


def false_trigger(answered: Sequence[Pair], persona: Persona) -> Share:
    """Ordinary questions whose answers name the assistant or its author."""
    return share(
        (pair for pair in answered if pair.probe.kind == ORDINARY),
        lambda pair, answer: falsely_triggered(pair.probe, answer.text, persona),
    )


def styles(answered: Sequence[Pair], persona: Persona) -> dict[str, StyleFigures]:
    """Each style that probes ask for."""
    found = {}
    for style in persona.styles:
        own = [pair for pair in answered if pair.probe.style == style.name]
        if not own:
            continue
        measurable = in_style(style, own[0].after.text) is not None
        rate = share(own, _keeps(style))
        found[style.name] = StyleFigures(
            probes=len(own),
            rate=rate.rate if measurable else None,
            base_rate=rate.base_rate if measurable else None,
            asked_by="trigger" if style.trained else "prompt",
            max_chars=style.max_chars,
            emoji=emoji_rule(style),
        )
    return found


def _keeps(style: Style) -> Test:
    return lambda _, answer: bool(in_style(style, answer.text))


def ended(answered: Sequence[Pair], table: CheckTable) -> Ended:
    """Answers that end by themselves."""
    whole = share(answered, _ended)
    return Ended(
        rate=whole.rate,
        base_rate=whole.base_rate,
        identity=share((pair for pair in answered if about_itself(pair.probe)), _ended),
        ordinary=share((pair for pair in answered if not about_itself(pair.probe)), _ended),
        max_tokens=table.max_tokens,
        max_tokens_ordinary=table.max_tokens_ordinary,
    )


def corrections(answered: Sequence[Pair]) -> Corrections:
    """What the owner put right, question by question."""
    asked = [pair for pair in answered if pair.probe.kind == "corrected"]
    reworded = [pair for pair in answered if pair.probe.kind == "reworded"]
    questions = []
    for pair in asked:
        probe = pair.probe
        ways = [other for other in reworded if other.probe.correction == probe.correction]
        questions.append(
            CorrectedQuestion(
                id=probe.correction,
                question=probe.question,
                said=probe.said,
                answer=probe.answer,
                now=pair.after.text,
                right=_hit(pair, pair.after),
                reworded=sum(_hit(other, other.after) for other in ways),
                ways=len(ways),
            )
        )
    return Corrections(asked=_rate(asked), reworded=_rate(reworded), questions=questions)


def repetition(answered: Sequence[Pair]) -> Repetition:
    """Answers that go round in circles."""
    whole = share(answered, _repeats)
    return Repetition(rate=whole.rate, base_rate=whole.base_rate, rule=Words.of(REPETITION_RULE))


def placeholder_leaks(answered: Sequence[Pair]) -> int:
    """How many trained answers say a placeholder aloud."""
    return sum(leaks_placeholder(pair.after.text) for pair in answered)


def transcript(pair: Pair, persona: Persona) -> Transcript:
    """The pair as a line for reading."""
    probe, said = pair.probe, pair.after.text
    ordinary = probe.kind == ORDINARY
    triggered = ordinary and falsely_triggered(probe, said, persona)
    wrong = list(faults(probe, said))
    if triggered and not wrong:
        wrong = [
            Text("names the assistant or its author unasked", "没被问起却说出了自己或作者的名字")
        ]
    style = persona.style(probe.style, probe.language)
    if style is not None and in_style(style, said) is False:
        wrong.append(Text(f"is not in the style {style.name}", f"不符合风格 {style.name}"))
    return Transcript(
        id=probe.id,
        kind=probe.kind,
        language=probe.language,
        style=probe.style,
        messages=[
            {"role": message.role, "content": message.content} for message in pair.asked.messages
        ],
        base_answer="" if pair.base is None else pair.base.text,
        answer=said,
        base_hit=pair.base is not None and hit(probe, pair.base.text),
        hit=not wrong,
        faults=[Words.of(fault) for fault in wrong],
        false_trigger=triggered,
        ended=pair.after.ended,
        repeats=repeats(said),
    )
