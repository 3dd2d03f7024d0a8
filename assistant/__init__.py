"""The shared words of the kit (config, persona, conversation, artifacts), and the thing that talks."""

__version__ = "0.1.0"
