"""Who the client is and whom it trusts: TLS, client certificates, bearer tokens. Reads the files it is given, once."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import grpc

from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError


@dataclass(frozen=True)
class Tls:
    """An encrypted connection; paths of PEM files."""

    ca: str | Path | None = None
    """Certificates that the server's must come from; None: those that grpc brings along."""
    certificate: str | Path | None = None
    """The client's own, for servers that ask for one; with `key`."""
    key: str | Path | None = None
    server_name: str = ""
    """Name in the server's certificate, where it is not the one in the address."""

    def credentials(self) -> grpc.ChannelCredentials:
        """What grpc takes.

        Raises:
            SetupIncomplete: a file cannot be read or is no PEM, or a certificate comes without its key.
        """
        if (self.certificate is None) != (self.key is None):
            raise SetupIncomplete("a client certificate and its key belong together: give both, or none")
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca, "CERTIFICATE"),
            private_key=_pem(self.key, "PRIVATE KEY"),
            certificate_chain=_pem(self.certificate, "CERTIFICATE"),
        )


def read_token(path: str | Path) -> str:
    """The bearer token in a file: its one line.

    Raises:
        SetupIncomplete: it cannot be read, holds no token, or others on this machine can read it.
    """
    try:
        mode = Path(path).stat().st_mode
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupIncomplete(f"the token file {path} cannot be read: {_why(error)}") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        raise SetupIncomplete(f"the token file {path} can be read or changed by everyone: chmod 600 {path}")
    check_token(token, str(path))
    return token


def check_token(token: str, where: str) -> None:
    """Refuse what could not be sent as a bearer token. Raises SetupIncomplete; the message does not hold the token."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SetupIncomplete(f"{where} holds no bearer token: one line of printable ASCII without spaces")


def is_this_machine(address: str) -> bool:
    """Whether an address, as grpc takes it, leads to this machine and to no other."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rsplit("/", 1)[-1].rsplit(":", 1)[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_private(address: str, *, encrypted: bool) -> None:
    """A token is sent in clear text only to this machine.

    Raises:
        XmguardError: the address is another machine's and the connection is not encrypted.
    """
    if not encrypted and not is_this_machine(address):
        raise XmguardError(
            f"the token would go to {address} in clear text, for everybody on the way to read; use TLS",
            code=ErrorCode.FAILED_PRECONDITION,
            reason=Reason.SETUP_INCOMPLETE,
        )


def _pem(path: str | Path | None, kind: str) -> bytes | None:
    # To grpc an empty file is as none: it would trust everybody's authorities, or show no certificate, in silence.
    if path is None:
        return None
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SetupIncomplete(f"{path} cannot be read: {_why(error)}") from error
    if re.search(rb"-----BEGIN [A-Z0-9 ]*%s-----" % kind.encode(), data) is None:
        raise SetupIncomplete(f"{path} is no PEM file with a {kind.lower()}: -----BEGIN {kind}----- is not in it")
    return data


def _why(error: Exception) -> str:
    return (error.strerror or "unknown reason") if isinstance(error, OSError) else "it is not UTF-8"
