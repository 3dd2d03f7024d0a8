"""Emoji as a person counts them: a family, a flag or a skin tone is one."""

from __future__ import annotations

import re

_ONE = "[\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa\U0001f300-\U0001faff]"
_AFTER = "[\ufe0f\U0001f3fb-\U0001f3ff\u20e3]*"
EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_ONE}{_AFTER}(?:\u200d{_ONE}{_AFTER})*"
)


def without_emoji_beyond(text: str, most: int) -> str:
    """`text` with its first `most` emoji only."""
    seen = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        return match[0] if seen <= most else ""

    return EMOJI.sub(keep, text)
