"""ZeroGPU, the GPUs that Hugging Face lends to Spaces: one is there only while a function runs
that `@spaces.GPU` marks, in a process that is forked for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...errors import EngineError
from ...words import Text
from .tokens import Made, Order

VARIABLE = "SPACES_ZERO_GPU"  # the platform's own; the package `spaces` goes by it too
_TRUE = ("1", "t", "true")
SECONDS_TO_BEGIN = 10  # to get the weights onto the GPU and read the prompt; not measured there
TOKENS_PER_SECOND = 20  # of a small model, put low; not measured there
LONGEST_SECONDS = 120


def here(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a Space on ZeroGPU."""
    return environment.get(VARIABLE, "").lower() in _TRUE


def stand_in() -> Any:
    """The package `spaces`. From its first import on weights can be put on "cuda" in that thread,
    though no GPU is there yet. Raises EngineError("unavailable") where it does not load."""
    try:
        import spaces
    except (
        Exception
    ) as error:  # missing; or its own checks: no ZeroGPU here, CUDA is in use already
        raise EngineError(
            "unavailable",
            Text(
                f"ZeroGPU's package spaces does not load: {error}",
                f"ZeroGPU 的 spaces 包无法加载：{error}",
            ),
            Text(
                f"pip install spaces   (anywhere but on ZeroGPU: unset {VARIABLE})",
                f"pip install spaces   （不在 ZeroGPU 上时：请取消 {VARIABLE}）",
            ),
        ) from error
    return spaces


def on_gpu(make: Callable[[Order], Iterator[Made]]) -> Callable[[Order], Iterator[Made]]:
    """`make`, run where the GPU is; `make` itself anywhere but on ZeroGPU.

    There each call waits for a GPU and then for a process, to which the order and from which what
    is made goes by pickle. Iterate it to its end: closing it early waits for that process. The page
    must be opened after this: the platform looks then whether anything needs a GPU.
    Raises EngineError("unavailable") where the package `spaces` does not load.
    """
    if not here():
        return make
    spaces = stand_in()

    @spaces.GPU(duration=seconds_for)
    def made_on_gpu(order: Order) -> Iterator[Made]:
        yield from make(order)

    return made_on_gpu  # type: ignore[no-any-return]


def seconds_for(order: Order) -> int:
    """How long the GPU is asked for. A visitor whose quota of the day has less left is refused."""
    return min(LONGEST_SECONDS, SECONDS_TO_BEGIN + order.max_tokens // TOKENS_PER_SECOND)
