"""transformers without what it imports on sight and this kit never uses."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def import_transformers() -> None:
    """Import what generating needs of transformers, but not scikit-learn.

    Where scikit-learn is installed (the OpenVINO export asks for it) transformers imports it for
    assisted decoding alone, which takes as long as torch itself. Call this before a name is taken
    from transformers; scikit-learn can be imported afterwards as ever. Raises ImportError.
    """
    modules: dict[str, Any] = sys.modules
    if "sklearn" in modules:
        return
    modules["sklearn"] = None  # what importlib takes for "not there"
    try:
        import_module("transformers.generation.candidate_generator")
    finally:
        del modules["sklearn"]
