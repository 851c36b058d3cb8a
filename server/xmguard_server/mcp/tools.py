"""The two tools: what they take, what they return, and what they say when the guard refuses.

Arguments and results are the contract's own JSON, and their schemas are made from the contract. Every call goes to the
served guard as its caller's own, so that who may ask, how much and how long is settled there. No argument names a file
or an address: a caller elsewhere could otherwise read what only this machine can.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from xmguard import __version__, wire
from xmguard.client import AsyncClient
from xmguard.client.credentials import check_token
from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, CheckResponse
from xmguard_server.http.reading import Reader

Connect = Callable[[str], AsyncClient]
"""From a bearer token, empty for none, to a client of the guard that sends it."""

INSTRUCTIONS = (
    "Before you rely on several sources, ask here whether they contradict each other. Give every source as a span of "
    "its own, word for word, and the question that matters. UNDETERMINED means that nothing was established, not that "
    "they agree."
)

_NOTES: Mapping[str, str] = {
    "AnswerRequest.spans": "The sources, each as one span; at least one, for a verdict at least two.",
    "AnswerRequest.question": "What the sources are asked, in English.",
    "AnswerRequest.model": "Leave out: whichever is served.",
    "AnswerRequest.rebalance": "How attention is steered; leave out for the served model's own way.",
    "AnswerRequest.on_conflict": "What the answer is if the sources contradict each other.",
    "AnswerRequest.on_error": "What the answer may be if no verdict could be established.",
    "AnswerRequest.conflict_threshold": "Probability from 0 to 1 above which the decision is CONFLICT.",
    "Span.id": "How the response names this source; s1, s2, ... if left out.",
    "Span.text": "The source's words. Either text or media.",
    "Span.media": "A picture in place of text, if the served model reads pictures.",
    "Span.language": "BCP-47 tag; detected if left out.",
    "Span.source": "Where it is from, for people; the model does not read it.",
    "Media.media_type": "For example image/png.",
    "Media.data": "The file's bytes in base64. Never a path or a URL.",
    "Decoding.max_tokens": "At most this many new tokens.",
    "Decoding.temperature": "0 is greedy.",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Tool:
    title: str
    description: str
    returns: type
    ask: Callable[[AsyncClient, AnswerRequest], Awaitable[AnswerResponse | CheckResponse]]


_TOOLS: Mapping[str, _Tool] = {
    "answer": _Tool(
        "Answer from several sources",
        "Answers a question from several sources, after a verdict on whether they contradict each other about it, and "
        "says how much of the model's attention each of them had.",
        AnswerResponse,
        AsyncClient.answer,
    ),
    "check_conflict": _Tool(
        "Check sources for a contradiction",
        "Says whether sources contradict each other about a question, without answering it: the cheap call before "
        "acting on what was read.",
        CheckResponse,
        AsyncClient.check,
    ),
}


def build(connect: Connect, token: str = "") -> Server[dict[str, Any]]:
    """The MCP server.

    Args:
        connect: makes the client that a call goes out by.
        token: sent for calls that come over stdio; those over HTTP bring their callers' own.
    """
    reader = Reader()

    @asynccontextmanager
    async def reading(server: Server[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {}
        finally:
            await reader.close()

    async def listed(context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(name, tool) for name, tool in _TOOLS.items()])

    async def called(context: Any, params: CallToolRequestParams) -> CallToolResult:
        tool = _TOOLS.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"no such tool; there are {' and '.join(_TOOLS)}")
        try:
            # They were read as JSON already; to make the contract's values of large ones takes far longer.
            written = json.dumps(params.arguments or {}, ensure_ascii=False).encode(errors="surrogatepass")
            request = await reader.read(partial(wire.from_json, AnswerRequest), written)
            headers = None if context.request is None else context.request.headers
            async with connect(token if headers is None else bearer(headers)) as client:
                data = wire.to_data(await tool.ask(client, request))
        except XmguardError as error:
            return _failed(error)
        except Exception:
            logger.exception("tool %s failed", params.name)
            return _failed(XmguardError("internal error; the log of xmguard mcp has it"))
        return CallToolResult(content=[_text(data)], structured_content=data)

    return Server(
        "xmguard",
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=reading,
        on_list_tools=listed,
        on_call_tool=called,
    )


def bearer(headers: Mapping[str, str]) -> str:
    """The token that a request carries; empty if it carries none, or something else.

    Raises:
        XmguardError: what it carries as a token can be none; reason UNAUTHENTICATED.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return ""
    try:
        check_token(token, "the header authorization")
    except SetupIncomplete as error:  # whose setup that is, only the caller can mend
        raise XmguardError(str(error), code=ErrorCode.UNAUTHENTICATED, reason=Reason.UNAUTHENTICATED) from error
    return token


def _described(name: str, tool: _Tool) -> Tool:
    takes = wire.json_schema(AnswerRequest, _NOTES, closed=True)
    return Tool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema={**takes, "required": ["question", "spans"]},
        output_schema=wire.json_schema(tool.returns, closed=False),
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )


def error_data(error: XmguardError) -> dict[str, Any]:
    """An error as a program can read it."""
    return {
        "error": {
            "reason": error.reason.value,
            "code": error.code.value,
            "message": str(error),
            "retryAfterSeconds": error.retry_after,
            "violations": [{"field": found.field, "description": found.description} for found in error.violations],
        }
    }


def _failed(error: XmguardError) -> CallToolResult:
    again = "" if error.retry_after is None else f" (ask again in {error.retry_after:g} s)"
    text = TextContent(type="text", text=f"{error.reason.value}: {error}{again}")
    return CallToolResult(content=[text], structured_content=error_data(error), is_error=True)


def _text(data: Mapping[str, Any]) -> TextContent:
    return TextContent(type="text", text=json.dumps(data, ensure_ascii=False))
