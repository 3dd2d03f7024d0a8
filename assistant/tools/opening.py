"""From names to tools."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..config import Config
from ..errors import UsageError
from ..words import Text
from .base import Tool
from .clock import Clock
from .loop import ToolReply
from .python import Python
from .settings import ToolsTable

_MAKERS: dict[str, Callable[[], Tool]] = {"clock": Clock, "python": Python}
TOOL_NAMES = tuple(_MAKERS)


def tools_table(config: Config) -> ToolsTable:
    """The table `[tools]` of a configuration that was read with it."""
    table = config.tables["tools"]
    assert isinstance(table, ToolsTable)
    return table


@contextmanager
def opened_tools(names: Sequence[str]) -> Iterator[list[Tool]]:
    """The tools of these names, each once, in this order; closed at the end.

    Raises:
        UsageError: There is no tool of a name.
        BlockedError: What a tool needs is not installed.
    """
    tools: list[Tool] = []
    try:
        for name in dict.fromkeys(names):
            tools.append(_maker(name)())
        yield tools
    finally:
        for tool in tools:
            tool.close()


@contextmanager
def page_tools(config: Config, *, public: bool) -> Iterator[Callable[..., ToolReply] | None]:
    """What answers with the tools of `[tools] use`, while they are open; None where there are none. A
    `public` page has those alone that only compute.

    Raises:
        UsageError: There is no tool of a name, or a public page would have one that does more.
        BlockedError: What a tool needs is not installed.
    """
    limits = tools_table(config)
    with opened_tools(limits.use) as tools:
        reaching = [tool.name for tool in tools if not tool.computes]
        if public and reaching:
            said = ", ".join(reaching)
            raise UsageError(Text(f"[tools] use: {said} does more than compute, and this page is public.",
                                  f"[tools] use：{said} 不只是计算，而这个页面是公开的。"))  # fmt: skip
        yield functools.partial(_with_tools, tools, limits) if tools else None


def _with_tools(tools: Sequence[Tool], limits: ToolsTable, *asked: Any) -> ToolReply:
    persona, engine, *rest = asked
    return ToolReply(persona, engine, tools, limits, *rest)


def _maker(name: str) -> Callable[[], Tool]:
    if name not in _MAKERS:
        there = ", ".join(TOOL_NAMES)
        raise UsageError(Text(f"There is no tool {name!r}. There are: {there}.",
                              f"没有 {name!r} 这个工具。可用的有：{there}。"))  # fmt: skip
    return _MAKERS[name]
