"""Gradio, imported in half the time.

At every import Gradio parses the source of each component to renew the editor stubs (.pyi) beside
it, which its wheel already holds: half of the import, a third of the seconds to a page. It leaves
out classes that have no source file, so for the time of the import none of its own has one.

It also makes HTTP clients that it may never use, and httpx fails to make one where a proxy variable
is unusable (`ALL_PROXY=socks5://…` without socksio): for that time there is none.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..network import without_proxies

_getfile = inspect.getfile


def _not_gradios(thing: Any) -> str:
    if isinstance(thing, type) and thing.__module__.startswith("gradio."):
        raise OSError("no editor stubs wanted")
    return _getfile(thing)


inspect.getfile = _not_gradios  # type: ignore[assignment]
try:
    with without_proxies():
        import gradio  # noqa: F401
finally:
    inspect.getfile = _getfile
