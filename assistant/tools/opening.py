"""From names to tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..config import Config
from ..errors import UsageError
from ..words import Text
from .base import Tool
from .clock import Clock
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


def _maker(name: str) -> Callable[[], Tool]:
    if name not in _MAKERS:
        there = ", ".join(TOOL_NAMES)
        raise UsageError(Text(f"There is no tool {name!r}. There are: {there}.",
                              f"没有 {name!r} 这个工具。可用的有：{there}。"))  # fmt: skip
    return _MAKERS[name]
