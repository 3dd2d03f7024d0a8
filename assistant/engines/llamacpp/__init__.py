"""The llama.cpp engine: any GGUF that llama.cpp knows, on the CPU."""

from .engine import LlamaCppEngine
from .settings import LlamaCppSettings

__all__ = ["LlamaCppEngine", "LlamaCppSettings"]
