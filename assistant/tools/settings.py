"""The table `[tools]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..config import Filled, Table


class ToolsTable(Table):
    """`[tools]`: which tools the assistant may `use`, none unless named; and how much of them an answer
    may take: `rounds` of choosing and running, and `seconds` until the last tool has begun."""

    use: tuple[Filled, ...] = ()
    rounds: Annotated[int, Field(ge=1, le=20)] = 4
    seconds: Annotated[float, Field(gt=0, le=600)] = 30
