"""Which probes are asked for what, and the messages that ask them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from assistant.conversation import Conversation, Message, read_conversations
from assistant.engines.base import Chunk, Engine, Sampling
from assistant.errors import UsageError
from assistant.persona import Persona, Style
from assistant.progress import Progress, Report
from assistant.serving.reply import styled_question, system_messages
from assistant.words import Text

from ..data.probes import Probe
from .settings import CheckTable

CHOOSING_EVERY = 4  # one probe in four chooses the checkpoint; the others make the report
LEAST_OF_A_KIND = 3  # asked of the base, or its share would say nothing
CORRECTIONS = ("corrected", "reworded")  # kinds of what the owner put right: all are reported
ABOUT_OTHERS = ("ordinary", "style", *CORRECTIONS)  # kinds that do not ask who the assistant is
ORDINARY = "ordinary"
FACT = "fact"


@dataclass(frozen=True)
class ProbePrompt:
    """A probe as it is put to a model."""

    probe: Probe
    messages: tuple[Message, ...]
    max_tokens: int


def about_itself(probe: Probe) -> bool:
    """Whether a right answer says who the assistant is."""
    return probe.kind not in ABOUT_OTHERS


def asked_slyly(probe: Probe) -> bool:
    """Whether the probe asks in slang, in pictures, with a false claim or an order to drop the role,
    or names who else it might be."""
    return probe.sly or probe.kind in ("leading", "base")


def split_probes(probes: Sequence[Probe]) -> tuple[list[Probe], list[Probe]]:
    """Those that choose the checkpoint (a quarter of each kind and language) and those reported.

    The order within a group is that of the ids' sha256, so the same probes always fall on the
    same side, whatever their order in the file.
    """
    groups: dict[tuple[str, str], list[Probe]] = defaultdict(list)
    for probe in probes:
        if probe.kind not in CORRECTIONS:
            groups[probe.kind, probe.language].append(probe)
    choosing: set[str] = set()
    for group in groups.values():
        group.sort(key=lambda probe: hashlib.sha256(probe.id.encode()).digest())
        choosing |= {probe.id for probe in group[CHOOSING_EVERY - 1 :: CHOOSING_EVERY]}
    return (
        [probe for probe in probes if probe.id in choosing],
        [probe for probe in probes if probe.id not in choosing],
    )


def split_rows(rows: Sequence[Conversation]) -> tuple[list[Conversation], list[Conversation]]:
    """Held-out conversations: a quarter that chooses, the others for the report."""
    ordered = sorted(rows, key=lambda row: hashlib.sha256(row.line().encode()).digest())
    choosing = ordered[CHOOSING_EVERY - 1 :: CHOOSING_EVERY]
    chosen = set(map(id, choosing))
    return choosing, [row for row in ordered if id(row) not in chosen]


def evenly(count: int, at_most: int) -> list[int]:
    """`at_most` numbers below `count`, evenly spread; all of them for 0."""
    if not 0 < at_most < count:
        return list(range(count))
    return [number * count // at_most for number in range(at_most)]


def of_all_kinds(asked: Sequence[ProbePrompt], at_most: int) -> list[int]:
    """The numbers of about `at_most` prompts, evenly spread within each kind, language and style,
    LEAST_OF_A_KIND of each where there are so many; all of them for 0."""
    if not 0 < at_most < len(asked):
        return list(range(len(asked)))
    groups: dict[tuple[str, str, str | None], list[int]] = defaultdict(list)
    for number, each in enumerate(asked):
        groups[each.probe.kind, each.probe.language, each.probe.style].append(number)
    return sorted(
        group[chosen]
        for group in groups.values()
        for chosen in evenly(
            len(group), max(LEAST_OF_A_KIND, round(at_most * len(group) / len(asked)))
        )
    )


def ordinary_rows(file: Path) -> list[Conversation]:
    """The held-out conversations of `file` that are not about the assistant.

    Raises UsageError where there are none to measure with.
    """
    rows = list(read_conversations(file))
    kept = [row for row in rows if row.meta.get("kind", ORDINARY) == ORDINARY]
    if not kept:
        raise UsageError(
            Text(
                f"{file} holds no ordinary conversation, so nobody can tell what was forgotten.",
                f"{file} 里没有日常对话，无法判断模型忘记了什么。",
            ),
            Text(
                "Make the data again: python -m train data identity --force",
                "请重新生成数据：python -m train data identity --force",
            ),
        )
    return kept


def ask(probe: Probe, persona: Persona, table: CheckTable) -> ProbePrompt:
    """`probe` as messages: what its style adds, as the page adds it, and how long an answer."""
    short = about_itself(probe)
    return ProbePrompt(
        probe,
        tuple(_styled(probe.messages, persona.style(probe.style, probe.language))),
        table.max_tokens if short else table.max_tokens_ordinary,
    )


def ask_base(asked: ProbePrompt, persona: Persona, table: CheckTable) -> ProbePrompt:
    """The same as it is put to the base: a style by its prompt, for the base knows no trigger."""
    if asked.probe.style is None:
        return asked
    styles = tuple(style.model_copy(update={"trained": False}) for style in persona.styles)
    return ask(asked.probe, persona.model_copy(update={"styles": styles}), table)


def _styled(messages: Sequence[Message], style: Style | None) -> list[Message]:
    """`messages` asking for `style`; unchanged where they do already."""
    if style is None:
        return list(messages)
    *before, question = messages
    if style.trained:
        before = _without_prompt(before, style)
        if not question.content.endswith(style.trigger):
            question = Message(role="user", content=styled_question(question.content, style))
        return [*before, question]
    system = before[0].content if before and before[0].role == "system" else ""
    if style.prompt in system:
        return list(messages)
    rest = before[1:] if system else before
    return [*system_messages(system, style), *rest, question]


def _without_prompt(before: Sequence[Message], style: Style) -> list[Message]:
    """`before` without the style's prompt in its system message: a trained style has its trigger."""
    if not before or before[0].role != "system":
        return list(before)
    kept = before[0].content.replace(style.prompt, "").strip()
    return [*([Message(role="system", content=kept)] if kept else []), *before[1:]]


@dataclass(frozen=True)
class Answer:
    """What was said to a probe. `prompt` is the prompt's token ids, where the engine shows them."""

    text: str
    ended: bool  # by the model itself, before the limit
    tokens: int
    prompt_tokens: int
    prompt: tuple[int, ...] | None = None


def greedy(max_tokens: int) -> Sampling:
    """The likeliest token each time, nothing penalised: what two programs can agree on."""
    return Sampling(max_tokens=max_tokens, temperature=0, top_p=1, top_k=0, repetition_penalty=1)


def engine_answers(
    engine: Engine, asked: Sequence[ProbePrompt], concurrent: int, what: Text, report: Report
) -> list[Answer]:
    """The engine's answers in the order of `asked`, `concurrent` at a time. Raises EngineError."""
    with ThreadPoolExecutor(concurrent) as pool:
        waiting = [pool.submit(_answer, engine, each) for each in asked]
        try:
            for done, future in enumerate(as_completed(waiting), 1):
                future.result()
                report(Progress(what, done, len(waiting)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in waiting]


def _answer(engine: Engine, asked: ProbePrompt) -> Answer:
    generation = engine.stream(asked.messages, greedy(asked.max_tokens))
    shown = getattr(generation, "prompt", None)
    text, last = "", Chunk()
    for last in generation:
        text += last.text
    return Answer(
        text,
        last.finish == "stop",
        last.new_tokens,
        last.prompt_tokens,
        None if shown is None else tuple(shown),
    )
