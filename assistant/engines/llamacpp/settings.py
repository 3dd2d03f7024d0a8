"""What the llama.cpp engine is told, and how much room a GGUF's answers take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...models.gguf import GGUFHeader, read_header

SLOTS = 4  # answers at once, at most: on a CPU, more of them only slow each other
VALUE_BYTES = 2  # llama.cpp keeps keys and values in fp16
GB = 1 << 30
SHORTEST_CONTEXT = 512  # tokens; a conversation needs so many whatever the cache may take


@dataclass(frozen=True)
class LlamaCppSettings:
    """`context_length` None: the model's own; `cache_gb`: for the keys and values of all answers."""

    context_length: int | None = None
    cache_gb: int = 1
    concurrent: int = 16


@dataclass(frozen=True)
class Room:
    """How many answers run at once, and how many tokens each may have, prompt included."""

    slots: int
    context_length: int


def room(file: Path, trained_length: int, settings: LlamaCppSettings) -> Room:
    """Return what `settings.cache_gb` holds: the whole context once, then as many slots as fit.

    Args:
        file: a GGUF.
        trained_length: tokens that the model was trained to read.
        settings: what the person asked for.

    Returns:
        The room. llama.cpp takes all of it when it starts, so a context that the cache cannot hold is
        cut to what it holds.
    """
    tokens = settings.cache_gb * GB // cache_bytes(read_header(file))
    wanted = min(trained_length, settings.context_length or trained_length)
    context = min(wanted, max(tokens, SHORTEST_CONTEXT))
    slots = max(1, min(SLOTS, settings.concurrent, tokens // context))
    return Room(slots, context)


def cache_bytes(header: GGUFHeader) -> int:
    """Return the bytes of one token's keys and values: 2 x layers x key-value heads x size x 2 bytes."""
    kind = header.texts.get("general.architecture", "")

    def number(name: str, otherwise: int) -> int:
        return max(1, header.numbers.get(f"{kind}.{name}", otherwise))

    heads = number("attention.head_count", 1)
    size = number("attention.key_length", number("embedding_length", 1) // heads)
    return (
        2 * number("block_count", 1) * number("attention.head_count_kv", heads) * size * VALUE_BYTES
    )
