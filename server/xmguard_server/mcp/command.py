"""The `xmguard mcp` command: options in, one MCP server out. Imports nothing heavy until it is called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from xmguard.cli.access import SERVER_SECONDS, Access, TlsCa, TlsCert, TlsKey, TlsOption, TokenFile
from xmguard.errors import InvalidRequest, SetupIncomplete

if TYPE_CHECKING:
    from xmguard.client import AsyncClient


def mcp(
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The served guard that the tools ask.")
    ] = "127.0.0.1:50051",
    token_file: TokenFile = None,
    tls: TlsOption = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Serve streamable HTTP on this port of loopback in place of stdio; 0 takes any free one.",
            show_default="off",
        ),
    ] = None,
) -> None:
    """Offer a served guard to agents as MCP tools: `answer` and `check_conflict`.

    Speaks MCP over stdin and stdout, for an agent that starts this command, or over HTTP. Holds no model: limits,
    errors and who may ask are those of `xmguard serve`.
    """
    import asyncio

    try:
        from xmguard.client import AsyncClient
        from xmguard_server.mcp.tools import build
        from xmguard_server.mcp.transports import over_http, over_stdio
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[mcp]"') from error

    access = Access(server, token_file, tls, tls_ca, tls_cert, tls_key)
    encryption = access.encryption()

    def connect(token: str) -> AsyncClient:
        return AsyncClient(server, timeout=SERVER_SECONDS, token=token, tls=encryption)

    def ready(url: str) -> None:
        print(f"xmguard: MCP on {url}, for the guard at {server}", file=sys.stderr, flush=True)

    if http_port is None:
        asyncio.run(over_stdio(build(connect, access.token())))
        return
    for flag, file in (("--token-file", token_file), ("--tls-cert", tls_cert)):
        if file is not None:
            raise InvalidRequest.field(
                flag, "would be lent to whoever reaches the port; callers bring tokens of their own"
            )
    asyncio.run(over_http(build(connect), connect, http_port, ready))
