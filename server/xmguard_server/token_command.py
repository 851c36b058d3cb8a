"""The `xmguard token` command: makes tokens. Nothing is kept: the token is printed once, and the file gets its hash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from xmguard.errors import InvalidRequest
from xmguard_server.auth import Scope
from xmguard_server.token_file import NAME, make

app = typer.Typer(no_args_is_help=True, help="Tokens that `xmguard serve --tokens FILE` asks callers for.")


@app.callback()
def _group() -> None:
    """Keeps `new` a subcommand while it is the only one."""


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is; logs and limits per caller go by it.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it opens: guard (default), questions; admin, the admin port. May be repeated."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it expires; without, never.")] = None,
) -> None:
    """Make a token.

    The token goes to stderr, this once, and the entry for the file of tokens to stdout: `xmguard token new me >> FILE`.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest.field("NAME", "1 to 64 of letters, digits and . _ @ -, the first a letter or digit")
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    token, entry = make(name, [each.value for each in scope or [Scope.GUARD]], expires)
    typer.echo(token, err=True)
    typer.echo("\n" + entry, nl=False)
