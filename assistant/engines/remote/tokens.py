"""Counting a prompt's tokens without its tokenizer: the server counts, or else an estimate."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...conversation import Message
from ...words import Text

if TYPE_CHECKING:
    from .servers import Server

TOKENS_PER_MESSAGE = 8  # role, its marks and line breaks, in the templates in use
TOKENS_OF_A_DEFAULT_SYSTEM = 32  # several templates put one in where none is given
Counter = Callable[["Server", Sequence[Message]], Awaitable[int]]


def plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as the protocol has them."""
    return [{"role": message.role, "content": message.content} for message in messages]


async def _count_chat(server: Server, messages: Sequence[Message]) -> int:
    """vLLM: `/tokenize` takes the messages and renders them."""
    body = {"model": server.model, "messages": plain(messages), "add_generation_prompt": True}
    return int((await server.post("/tokenize", body))["count"])


async def _count_rendered(server: Server, messages: Sequence[Message]) -> int:
    """llama.cpp: one address renders, another tokenizes."""
    rendered = (await server.post("/apply-template", {"messages": plain(messages)}))["prompt"]
    body = {"content": rendered, "add_special": True, "parse_special": True}
    return len((await server.post("/tokenize", body))["tokens"])


async def _count_texts(server: Server, messages: Sequence[Message]) -> int:
    """LMDeploy: `/v1/encode` tokenizes text but does not render messages."""
    texts = [message.content for message in messages]
    lengths = (await server.post("/v1/encode", {"input": texts, "add_bos": False}))["length"]
    return sum(int(length) for length in lengths) + _template_tokens(messages)


async def _estimate(server: Server, messages: Sequence[Message]) -> int:
    return estimate(messages)


COUNTERS: tuple[tuple[Counter, Text], ...] = (
    (_count_chat, Text("by the server", "由服务器计算")),
    (_count_rendered, Text("by the server", "由服务器计算")),
    (_count_texts, Text("by the server, the template estimated", "由服务器计算，模板部分为估计")),
)
ESTIMATED: tuple[Counter, Text] = (
    _estimate,
    Text("estimated (the server has no tokenizer to ask)", "估计值（服务器没有提供分词接口）"),
)


async def find_counter(server: Server) -> tuple[Counter, Text]:
    """The first way to count that the server knows, else the estimate."""
    probe = [Message(role="user", content="Hi")]
    for counter, said in COUNTERS:
        if await _works(counter, server, probe):
            return counter, said
    return ESTIMATED


async def _works(counter: Counter, server: Server, probe: list[Message]) -> bool:
    try:
        return await counter(server, probe) > 0
    except Exception:  # whatever it answered: it cannot count this way
        return False


def estimate(messages: Sequence[Message]) -> int:
    """A count that is rather too high: a small vocabulary and bytes for rare characters assumed."""
    texts = sum(_text_tokens(message.content) for message in messages)
    return math.ceil(texts) + _template_tokens(messages)


def _text_tokens(text: str) -> float:
    return sum(_character_tokens(character) for character in text)


def _character_tokens(character: str) -> float:
    if character.isascii():
        return 0.4 if character.isalpha() or character == " " else 1.0
    if "\u4e00" <= character <= "\u9fff" or "\u3000" <= character <= "\u30ff":
        return 1.5
    return float(len(character.encode("utf-8", "replace")))


def _template_tokens(messages: Sequence[Message]) -> int:
    system = 0 if messages and messages[0].role == "system" else TOKENS_OF_A_DEFAULT_SYSTEM
    return TOKENS_PER_MESSAGE * (len(messages) + 1) + system


def reported(usage: Any, field: str) -> int | None:
    """A count of a `usage` object, where it is one."""
    value = getattr(usage, field, None)
    return value if isinstance(value, int) and value >= 0 else None
