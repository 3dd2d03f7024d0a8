"""`[train.data]` of assistant.toml: what goes into the training data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assistant.config import EngineName, Filled, Table


class DataTable(Table):
    """`[train.data]`.

    `identity_rows` questions about the assistant in each of its languages, and `ordinary_ratio`
    times as many rows of ordinary conversation. Those are the base's own answers, made with
    `engine` and at most `ordinary_tokens` long, or the conversations of `ordinary_files`. The rows of
    `task_files` are what the assistant is for: they come besides, all but those held out.
    """

    identity_rows: Annotated[int, Field(ge=1)] = 400
    ordinary_ratio: Annotated[float, Field(ge=0, le=100)] = 2.0
    ordinary_files: tuple[Filled, ...] = ()
    task_files: tuple[Filled, ...] = ()
    ordinary_tokens: Annotated[int, Field(ge=16)] = 32
    engine: EngineName = "auto"
