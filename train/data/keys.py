"""What a row asks: the text by which rows are grouped, so that paraphrases stay together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from assistant.conversation import Conversation


def asked(conversation: Conversation) -> str:
    """Everything the user says, turn by turn."""
    return "\n".join(message.content for message in conversation.messages if message.role == "user")


def cell(meta: Mapping[str, Any]) -> Hashable:
    """The role and scene a generated row was made for, None for other rows. "祝姐姐生日快乐" and
    "祝哥哥生日快乐" differ by less than a typo may, and are two questions."""
    found = (meta.get("role"), meta.get("scene"))
    return str(found) if any(found) else None
