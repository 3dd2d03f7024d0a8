"""The tool contract: a name, typed arguments, and a run that gives a text."""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..words import Text


class Arguments(BaseModel):
    """What a tool is called with: the arguments that it knows, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tool(abc.ABC):
    """Something that the assistant can use. Threads share it: `run` keeps nothing of a call.

    `name` is what the model writes, `described` what it is told in one line. `computes`: it only
    computes, so that strangers may let it be used; others read the owner's files or the network.
    """

    name: str
    described: Text
    arguments: type[Arguments]
    computes = False

    @abc.abstractmethod
    def run(self, arguments: Any) -> str:
        """The result as the model reads it.

        Args:
            arguments: Of the type `self.arguments`.

        Raises:
            ToolError: It cannot be done with these arguments; the model is told why.
        """

    def close(self) -> None:  # noqa: B027  most have nothing to end
        """End what it has started. May be called twice."""


class ToolError(Exception):
    """A tool could not do what it was asked. The text is for the model, in English."""


@dataclass(frozen=True)
class ToolCall:
    """What the model wants used, as it wrote it."""

    tool: str
    arguments: Mapping[str, Any]

    def text(self) -> str:
        """The call as the model writes it: in training and in the history of an answer."""
        return json.dumps(
            {"tool": self.tool, "arguments": dict(self.arguments)}, ensure_ascii=False
        )
