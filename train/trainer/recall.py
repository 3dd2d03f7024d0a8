"""What the layers below the adapter gave for a batch, kept for when the batch comes again.

They are frozen, so for the same tokens they give the same: only the first pass over the data computes
them. Where only the upper third of the layers has an adapter, that is two thirds of the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .plan import RECALLED_BYTES

_DROPOUTS = ("attention_dropout", "hidden_dropout", "resid_dropout", "dropout")


def may_recall(body: Any) -> bool:
    """Whether a model keeps its layers as most do, and has no dropout of its own in them."""
    config = body.config.get_text_config()
    dropped = [getattr(config, name, None) or 0.0 for name in _DROPOUTS]
    layers = getattr(body, "layers", None)
    return isinstance(layers, torch.nn.ModuleList) and not any(dropped)


class Recall:
    """Keeps the hidden states that enter the first layer with an adapter, by batch.

    `body` is the model without its head, `below` the number of its layers without an adapter.
    """

    def __init__(self, body: Any, below: int):
        self._body = body
        self._below = below
        self._kept: dict[bytes, torch.Tensor] = {}
        self._bytes = 0

    def last_hidden(self, batch: bytes, **inputs: Any) -> torch.Tensor:
        """The last hidden states for `inputs`, those of the batch that `batch` names."""
        known = self._kept.get(batch)
        with self._listening(batch) if known is None else self._standing_in(known):
            hidden: torch.Tensor = self._body(**inputs, use_cache=False).last_hidden_state
            return hidden

    @contextmanager
    def _listening(self, batch: bytes) -> Iterator[None]:
        def keep(_: torch.nn.Module, entering: tuple[torch.Tensor, ...]) -> None:
            hidden = entering[0].detach()
            size = hidden.element_size() * hidden.numel()
            if self._bytes + size <= RECALLED_BYTES:
                self._bytes += size
                self._kept[batch] = hidden

        listening = self._body.layers[self._below].register_forward_pre_hook(keep)
        try:
            yield
        finally:
            listening.remove()

    @contextmanager
    def _standing_in(self, hidden: torch.Tensor) -> Iterator[None]:
        layers = self._body.layers
        stand_in = _StandIn(hidden)
        upper = list(layers)[self._below :]
        self._body.layers = torch.nn.ModuleList([*[stand_in] * self._below, *upper])
        try:
            yield
        finally:
            self._body.layers = layers


class _StandIn(torch.nn.Module):
    """In the place of a layer: says what was known."""

    def __init__(self, hidden: torch.Tensor):
        super().__init__()
        self._hidden = hidden

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        return self._hidden
