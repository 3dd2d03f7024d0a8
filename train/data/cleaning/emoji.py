"""Emoji as a person counts them: a family, a flag or a skin tone is one."""

from __future__ import annotations

import re

# What is drawn in colour by itself; of the other signs (★ ✓ ♀ ➜) only those followed by U+FE0F.
_COLOURED = (
    "\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab"
    "\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c"
    "\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf"
    "\U0001f18e\U0001f191-\U0001f19a\U0001f201-\U0001f251\U0001f300-\U0001faff"
)
_AFTER = "[\ufe0f\U0001f3fb-\U0001f3ff\u20e3]*"
_ONE = f"(?:[{_COLOURED}]|[\u203c-\u3299](?=\ufe0f))"
EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3"
    f"|{_ONE}{_AFTER}(?:\u200d(?:{_ONE}|[\u2600-\u27bf]){_AFTER})*"
)
# Signs that say something ("✅ works, ❌ does not"): these are words, not ornament.
_SAYS = frozenset("✅❌❎❓❔❕❗➕➖➗⚠✔✖☑⭕⛔🚫🆗🅰🅱⭐🌟")
_NUMBERS = re.compile("[0-9#*]\ufe0f?\u20e3")
_HEAD = re.compile(r"(?:^|\n)[ \t>*\-•]*\Z")


def without_emoji_beyond(text: str, most: int) -> str:
    """`text` with its first `most` ornaments only.

    An emoji at the head of a line marks an item, and signs such as ✅ are words: these stay.
    """
    seen = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal seen
        if match[0][0] in _SAYS or _NUMBERS.fullmatch(match[0]):
            return match[0]
        if "\n" in text and _HEAD.search(text, max(0, match.start() - 20), match.start()):
            return match[0]
        seen += 1
        return match[0] if seen <= most else ""

    return EMOJI.sub(keep, text)
