"""How tools are told to the model, and how it is told what came: one wording for training and serving.

For chat templates that know no tools. A call is the whole of an assistant's turn, its result the
user's next turn: so conversations with tools are conversations like all others, for the template, the
loss and the history.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..serving.tool_step import ToolStep
from ..words import Language, Text
from .base import Tool

_HEAD = Text("You can use these tools:", "你可以使用这些工具：")
_TAIL = Text('To use one, write only {"tool": "name", "arguments": {…}}. Else just answer.',
             '要用工具时只写 {"tool": "名称", "arguments": {…}}；不需要就直接回答。')  # fmt: skip
_RESULT = Text("Result of {tool}: {said}", "{tool} 的结果：{said}")
_ERROR = Text("Error of {tool}: {said}", "{tool} 出错：{said}")


def with_tools(system: str, tools: Sequence[Tool], language: Language) -> str:
    """The system prompt, and below it the tools that there are."""
    lines = [
        f"- {tool.name}({', '.join(tool.arguments.model_fields)}): "
        f"{tool.described.in_language(language)}"
        for tool in tools
    ]
    parts = [_HEAD.in_language(language), *lines, _TAIL.in_language(language)]
    return "\n".join(part for part in (system.strip(), *parts) if part)


def observed(step: ToolStep, language: Language) -> str:
    """The user's turn that tells the model what came of its call."""
    said, text = (_ERROR, step.error) if step.error is not None else (_RESULT, step.result)
    return said.in_language(language).format(tool=step.tool, said=text)
