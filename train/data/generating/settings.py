"""`[train.generate]` of assistant.toml: how rows are generated."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assistant.config import EngineName, Table

NotNegative = Annotated[float, Field(ge=0)]


class GenerateTable(Table):
    """`[train.generate]`.

    `concurrent` requests at once, at most `per_minute` begun in a minute (0: as many as the server
    takes). `tries` for one answer that breaks off or is not fit. Prices are for a million tokens,
    in any currency; `max_tokens_total` and `max_cost` end the work before they are passed (0: no
    limit).
    """

    engine: EngineName = "auto"
    concurrent: Annotated[int, Field(ge=1, le=256)] = 8
    per_minute: Annotated[int, Field(ge=0)] = 0
    tries: Annotated[int, Field(ge=1, le=20)] = 4
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    price_prompt: NotNegative = 0.0
    price_answer: NotNegative = 0.0
    max_tokens_total: Annotated[int, Field(ge=0)] = 0
    max_cost: NotNegative = 0.0
