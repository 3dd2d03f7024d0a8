"""Mark the styles that training teaches: those whose trigger ends enough questions of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from assistant.conversation import Conversation
from assistant.persona import Persona, Style
from assistant.words import Text


def trigger_rows(rows: Iterable[Conversation], styles: Sequence[Style]) -> Counter[str]:
    """Count the conversations in which a question ends with each style's trigger.

    Args:
        rows: the data that is trained on.
        styles: the persona's styles; those without a trigger count nothing.

    Returns:
        Number of conversations by name of the style.
    """
    triggers = {style.name: style.trigger.strip() for style in styles if style.trigger.strip()}
    counts: Counter[str] = Counter()
    for row in rows:
        asked = [one.content.rstrip() for one in row.messages if one.role == "user"]
        counts.update(
            name for name, trigger in triggers.items() if any(q.endswith(trigger) for q in asked)
        )
    return counts


def mark_trained_styles(persona: Persona, counts: Counter[str], least: int) -> Persona:
    """Return `persona` with `trained` set on each style that at least `least` rows teach."""
    styles = tuple(
        style.model_copy(update={"trained": counts[style.name] >= least})
        for style in persona.styles
    )
    return persona.model_copy(update={"styles": styles})


def undertrained_styles(persona: Persona, counts: Counter[str], least: int) -> list[Text]:
    """Warn of each style that some rows teach, but fewer than `least`: it stays asked for by prompt."""
    return [
        Text(
            f"Style {style.name}: {counts[style.name]} rows end with its trigger {style.trigger!r}, fewer "
            f"than {least}; the page will ask for it by its prompt instead ([train] style_rows).",
            f"风格 {style.name}：只有 {counts[style.name]} 条以触发词“{style.trigger}”结尾，少于 {least} 条；"
            "页面仍用提示词来要求它（[train] style_rows）。",
        )
        for style in persona.styles
        if 0 < counts[style.name] < least
    ]
