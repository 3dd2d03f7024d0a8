"""`[share]` of assistant.toml: where the model goes, and what its page says beyond the records."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from assistant.config import Table

PublicName = Annotated[str, StringConstraints(pattern=r"^(|[\w.-]+/[\w.-]+)$")]


class ShareTable(Table):
    """`[share]`. `private` is what a repository is made as, and what an existing one must be."""

    to: tuple[str, ...] = ()
    private: bool = True
    base_model: PublicName = (
        ""  # owner/name of the base on the hubs, where [model] base does not say
    )
    licence: str = ""  # empty: the base's
    description: str = ""  # one or two sentences for the model page
    data: str = ""  # what it was trained on, in the person's own words
