"""The table `[knowledge]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..config import Filled, Table


class KnowledgeTable(Table):
    """`[knowledge]`: the knowledge bases lie in `folder`, beside the configuration. `min_score`: what the
    best passage must reach for an answer; below it, "not in the documents"."""

    folder: Filled = "knowledge"
    chunk_chars: Annotated[int, Field(ge=100, le=800)] = 400
    min_score: Annotated[float, Field(ge=-1, le=1)] = 0.2
    max_file_mb: Annotated[int, Field(gt=0)] = 100
    seconds_per_file: Annotated[int, Field(gt=0)] = 120
