"""The flags of every command that can ask a server: where it is, as whom, and whom to trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xmguard.client import Client, Tls

SERVER_SECONDS = 300.0
"""How long a person waits for a server, which may have others to answer first; Ctrl-C ends it sooner. A server ends
every call after this time, so that waiting longer would be in vain."""

_PANEL = "Asking a server"

Server = Annotated[
    str,
    typer.Option(metavar="HOST:PORT", help="Ask this server instead of loading a model here.", rich_help_panel=_PANEL),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="XMGUARD_TOKEN_FILE",
        help="File with the token that the server knows you by.",
        rich_help_panel=_PANEL,
    ),
]
TlsOption = Annotated[
    bool, typer.Option("--tls", help="Encrypt, and trust the certificates everybody trusts.", rich_help_panel=_PANEL)
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="XMGUARD_TLS_CA",
        help="Encrypt, and trust the certificates that these sign (PEM).",
        rich_help_panel=_PANEL,
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="XMGUARD_TLS_CERT",
        help="Your own certificate (PEM), where the server asks for one; with --tls-key.",
        rich_help_panel=_PANEL,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", envvar="XMGUARD_TLS_KEY", help="Key of --tls-cert (PEM).", rich_help_panel=_PANEL),
]


@dataclass(frozen=True)
class Access:
    """What the flags said."""

    server: str = ""
    token_file: Path | None = None
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def client(self, timeout: float = SERVER_SECONDS) -> Client:
        """A client of the server.

        Raises:
            SetupIncomplete: a file cannot be read.
            XmguardError: a token would go to another machine in clear text.
        """
        from xmguard.client import Client

        return Client(self.server, timeout=timeout, token=self.token(), tls=self.encryption())

    def token(self) -> str:
        """The token in the file; empty without one. Raises SetupIncomplete: it cannot be read."""
        from xmguard.client import read_token

        return read_token(self.token_file) if self.token_file else ""

    def encryption(self) -> Tls | None:
        """How the connection is encrypted; None for not at all."""
        from xmguard.client import Tls

        if self.tls or self.tls_ca or self.tls_cert or self.tls_key:
            return Tls(ca=self.tls_ca, certificate=self.tls_cert, key=self.tls_key)
        return None
