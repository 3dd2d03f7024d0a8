"""The assistant as a server of the Model Context Protocol: one tool that asks it, one prompt for each style.

Streamable HTTP beside `/v1`, for programs of this machine alone.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..config import SamplingTable
from ..engines.base import Sampling
from ..libraries import not_installed
from ..persona import Persona
from ..serving.answerer import Answerer, Question, Running
from ..words import Text, written_language
from .errors import ApiError, api_error
from .keys import Door
from .names import slug

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

MCP_PREFIX = "/mcp"
LARGEST_BODY = 4_000_000  # bytes, as of a chat completion
ASK, QUESTION, STYLE = "ask", "question", "style"


def refuse_missing_mcp() -> None:
    """Raises BlockedError, with the command that installs it, where the library is missing."""
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        raise not_installed("mcp")


def add_mcp(app: FastAPI, answerer: Answerer, usual: SamplingTable, door: Door) -> None:
    """Serve it under `/mcp` of `app`, whose lifespan keeps its sessions."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    sessions = StreamableHTTPSessionManager(
        mcp_server(answerer, usual), max_request_body_size=LARGEST_BODY
    )

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        async with sessions.run():
            yield

    app.router.lifespan_context = lifespan
    app.router.routes.append(Route(MCP_PREFIX, _Guarded(sessions, door)))


class _Guarded:
    """Lets in what `/v1` lets in without a key: programs of this machine, by Host and Origin."""

    def __init__(self, sessions: Any, door: Door):
        self._sessions = sessions
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._door.admit(Request(scope)) is not None:
                raise ApiError(403, "MCP is for programs of this machine alone.", "not_local")
        except ApiError as refused:
            await refused.response()(scope, receive, send)
            return
        await self._sessions.handle_request(scope, receive, send)


def mcp_server(answerer: Answerer, usual: SamplingTable) -> Server[Any]:
    """The server's answers. Who the assistant is, is looked up each time: weights may bring their own."""
    from mcp import types
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError

    def persona() -> Persona:
        return answerer.host.state().persona

    async def list_tools(*_: Any) -> types.ListToolsResult:
        tool = types.Tool(
            name=ASK,
            description=f"Ask {persona().name}, an assistant of {persona().author} that runs on this machine. "
            "It sees this question alone, nothing said before.",
            input_schema=_arguments(persona()),
            annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
        )
        return types.ListToolsResult(tools=[tool])

    async def call_tool(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        if asked.name != ASK:
            raise MCPError(types.INVALID_PARAMS, f"There is one tool: {ASK}.")
        try:
            question = question_of(asked.arguments or {}, persona(), usual)
            said, failed = await _answer(answerer, question), False
        except Exception as error:
            told = api_error(error, public=False, closing=answerer.draining)
            said, failed = told.message, True
        content = types.TextContent(text=said)
        return types.CallToolResult(content=[content], is_error=failed)

    async def list_prompts(*_: Any) -> types.ListPromptsResult:
        wanted = types.PromptArgument(name=QUESTION, description="What is asked.", required=True)
        prompts = [
            types.Prompt(
                name=style.name,
                title=str(Text(style.label_en, style.label_zh)),
                description=f"Ask in the style {style.label_en}.",
                arguments=[wanted],
            )
            for style in persona().styles
        ]
        return types.ListPromptsResult(prompts=prompts)

    async def get_prompt(_: Any, asked: types.GetPromptRequestParams) -> types.GetPromptResult:
        question = (asked.arguments or {}).get(QUESTION, "").strip()
        styles = {style.name: style for style in persona().styles}
        if asked.name not in styles or not question:
            raise MCPError(
                types.INVALID_PARAMS,
                f"A prompt is one of {', '.join(styles) or 'none'}, and needs a {QUESTION}.",
            )
        style = styles[asked.name].asked_in(written_language(question))
        content = types.TextContent(text=f"{style.prompt}\n\n{question}")
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])

    return Server(
        slug(persona().name),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _arguments(persona: Persona) -> dict[str, Any]:
    """The tool's arguments as a JSON schema."""
    styles = [style.name for style in persona.styles]
    properties: dict[str, Any] = {QUESTION: {"type": "string", "description": "What is asked."}}
    if styles:
        properties[STYLE] = {
            "type": "string", "enum": styles, "description": "How it answers; none: plainly.",
        }  # fmt: skip
    return {
        "type": "object", "properties": properties, "required": [QUESTION],
        "additionalProperties": False,
    }  # fmt: skip


def question_of(arguments: dict[str, Any], persona: Persona, usual: SamplingTable) -> Question:
    """The question of a call. Raises ApiError for arguments that are not those of the schema, UsageError
    for a style that the assistant has not."""
    text, style = arguments.get(QUESTION), arguments.get(STYLE)
    unknown = sorted(set(arguments) - {QUESTION, STYLE})
    if not isinstance(text, str) or not isinstance(style, str | None) or unknown:
        named = f"; there is no {', '.join(unknown)[:80]}" if unknown else ""
        raise ApiError(400, f"{QUESTION} is a text, {STYLE} the name of a style{named}.")
    persona.style(style)
    return Question(
        text=text,
        style=style or None,
        language=written_language(text),
        sampling=Sampling(**usual.model_dump()),
        visitor=None,
        whole=True,
    )


async def _answer(answerer: Answerer, question: Question) -> str:
    """The whole answer. A caller who cancels, or leaves, stops the engine."""
    said = ""
    async with aclosing(answerer.answer(question, Running())) as steps:
        async for step in steps:
            said = step.text
    return said
