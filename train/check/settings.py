"""`[train.check]` of assistant.toml: what a run must reach, and how long answers may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assistant.config import Table

Share = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(gt=0)]


class CheckTable(Table):
    """`[train.check]`: the gates of `train check`. Rates are shares between 0 and 1."""

    identity_hit_rate: Share = 0.98  # at least, of all questions about itself, and of sly ones
    plain_hit_rate: Share = 1.0  # at least, where it is asked plainly who it is
    false_trigger_rate: Share = 0.02  # at most
    perplexity_change_percent: Annotated[float, Field(ge=0)] = 2.0  # at most
    ended_rate: Share = 0.95  # at least, of the answers about itself
    ended_drop: Share = 0.05  # ordinary answers may end that much less often than the base's
    repetition_rate: Share = 0.05  # at most, or the base's own rate where that is larger
    style_rate: Share = 0.8  # at least, for each style that training marked
    corrected_rate: Share = 0.95  # at least, of corrected questions as they were asked
    reworded_rate: Share = 0.8  # at least, of corrected questions in ways not trained on
    merge_match: Share = 1.0  # answers equal, or different within rounding, shown
    engine_match: Share = 1.0  # the same, in the serving engine
    max_tokens: Tokens = 48  # of an answer about itself
    max_tokens_ordinary: Tokens = 64  # of any other answer
    probes: Annotated[int, Field(ge=0)] = 0  # questions, and held-out rows, at most; 0: all
    base_probes: Annotated[int, Field(ge=0)] = 96  # of all kinds, asked of the base too; 0: all
    proof_probes: Annotated[int, Field(ge=0)] = 128  # of all kinds, for merge and engine; 0: all

    @property
    def plain(self) -> float:
        """The gate of plain questions: whoever asks less of all questions asks no more of these."""
        own = self.model_fields_set
        follows = "identity_hit_rate" in own and "plain_hit_rate" not in own
        return self.identity_hit_rate if follows else self.plain_hit_rate
