"""TLS for every port from the same files, read again when they change.

A pair that does not fit, or a file that cannot be read, leaves the certificate before in force, and the log says so.
What is in progress goes on under the certificate it began with.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from xmguard.errors import SetupIncomplete
from xmguard_server.config import TlsFiles
from xmguard_server.files import Fingerprint, fingerprint, refuse_writable_by_others

logger = logging.getLogger(__name__)

_NAMES = frozenset(("DNS", "email", "URI", "IP Address"))
"""Kinds of alternative names that gRPC reads too."""


@dataclass(frozen=True)
class _Read:
    """What one state of the files gave."""

    pem: Sequence[bytes]
    """Certificate, key, and the clients' authority if there is one."""
    required: ssl.SSLContext
    optional: ssl.SSLContext
    """The same, for clients that may come without a certificate."""


class Tls:
    """The server's certificate. Any thread may ask."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            SetupIncomplete: one cannot be read, others can write it, or they do not fit together.
        """
        self._files = files
        self._changing = threading.Lock()
        self._seen = self._fingerprints()
        self._now = _read(files)

    @property
    def asks(self) -> bool:
        """Whether clients must show a certificate."""
        return self._files.client_authority is not None

    def grpc_credentials(self) -> Any:
        """For a port of gRPC. Who shows no certificate where one is asked for does not get through the handshake."""
        given = self._now

        def fetch() -> Any:  # called at the start of each handshake
            nonlocal given
            now = self._refreshed()
            if now is given:
                return None
            given = now
            return _grpc(now)

        return grpc.dynamic_ssl_server_credentials(_grpc(given), fetch, self.asks)

    def http_context(self, *, certificate_optional: bool) -> ssl.SSLContext:
        """For a port of HTTP.

        With `certificate_optional` a client without a certificate gets as far as the door, which knows the pages that
        are open to everybody; one with a certificate of somebody else's does not.
        """

        def pick(read: _Read) -> ssl.SSLContext:
            return read.optional if certificate_optional else read.required

        listening = pick(_read(self._files))  # of its own, because it keeps the callback

        def greet(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
            # Called at the start of each handshake; OpenSSL takes certificates and authorities from the new context.
            connection.context = pick(self._refreshed())

        listening.sni_callback = greet
        return listening

    def _refreshed(self) -> _Read:
        with self._changing:
            seen = self._fingerprints()
            if seen != self._seen:
                self._seen = seen
                try:
                    self._now = _read(self._files)
                except SetupIncomplete as error:
                    logger.error("%s; the certificate read before stays in force", error)
                else:
                    logger.info("certificate read again")
            return self._now

    def _fingerprints(self) -> Sequence[Fingerprint | None]:
        return [fingerprint(path) for path in self._files.all]


def subject(certificate: Mapping[str, Any] | None) -> str:
    """Who a client's certificate names: its first alternative name, else its common name; empty without a certificate.

    `certificate` is as `ssl.SSLSocket.getpeercert` tells it.
    """
    if not certificate:
        return ""
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in _NAMES:
            return str(value)
    return next(
        (str(value) for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"), ""
    )


def _read(files: TlsFiles) -> _Read:
    for path, what in zip(files.all, ("certificate", "key", "client authority"), strict=False):
        refuse_writable_by_others(path, what)
    try:
        contexts = [_context(files, mode) for mode in (ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL)]
        pem = [path.read_bytes() for path in files.all]
    except ssl.SSLError as error:
        raise SetupIncomplete(
            f"certificate {files.certificate} and key {files.key} do not fit together, or one of the files is not PEM: "
            f"{error.reason or 'unreadable'}"
        ) from error
    except OSError as error:
        raise SetupIncomplete(f"{error.filename or files.certificate} cannot be read: {error.strerror}") from error
    return _Read(pem, *contexts)


def _context(files: TlsFiles, mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session is not asked for its certificate again, so there are none.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(files.certificate, files.key, password="")  # never asks on the terminal
    if files.client_authority is not None:
        context.load_verify_locations(files.client_authority)
        context.verify_mode = mode
    return context


def _grpc(read: _Read) -> Any:
    certificate, key, *authority = read.pem
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authority[0] if authority else None)
