"""The remote engine: any server that speaks OpenAI's chat completions."""

from .engine import RemoteEngine
from .settings import RemoteSettings

__all__ = ["RemoteEngine", "RemoteSettings"]
