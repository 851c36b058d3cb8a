"""TLS for every port from the same files, read again when they change.

A pair that does not fit, or a file that cannot be read, leaves the certificate before in force, and the log says so. It
also tells of a certificate that clients refuse for its dates, which is used all the same: the clock may be wrong. What
is in progress goes on under the certificate it began with.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from cryptography import x509

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
    begins: datetime
    ends: datetime
    """Between the two the server's certificate is valid."""


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
        self._said = ""
        self._judge_dates()

    @property
    def asks(self) -> bool:
        """Whether clients must show a certificate."""
        return self._files.client_authority is not None

    def seconds_left(self) -> float:
        """Until the server's certificate expires; negative once it has."""
        return (self._refreshed().ends - datetime.now(UTC)).total_seconds()

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
                    logger.info("certificate read again; it expires on %s", _date(self._now.ends))
            self._judge_dates()
            return self._now

    def _judge_dates(self) -> None:
        """Say once what clients find wrong with the certificate's dates."""
        now, read = datetime.now(UTC), self._now
        wrong = ""
        if now > read.ends:
            wrong = f"expired on {_date(read.ends)}, and clients refuse it: put a new one in its place"
        elif now < read.begins:
            wrong = (
                f"is not valid before {_date(read.begins)}, and clients refuse it until then: put another one in its "
                "place, or set this machine's clock right"
            )
        if wrong and wrong != self._said:
            logger.error("certificate %s %s; no restart is needed", self._files.certificate, wrong)
        self._said = wrong

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
        required, optional = (_context(files, mode) for mode in (ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL))
        pem = [path.read_bytes() for path in files.all]
        certificate = x509.load_pem_x509_certificates(pem[0])[0]  # of a chain, the first is the server's own
    except ssl.SSLError as error:
        raise SetupIncomplete(
            f"certificate {files.certificate} and key {files.key} do not fit together, or one of the files is not PEM: "
            f"{error.reason or 'unreadable'}"
        ) from error
    except ValueError as error:  # OpenSSL is less strict
        raise SetupIncomplete(f"certificate {files.certificate} cannot be read: {error}") from error
    except OSError as error:
        raise SetupIncomplete(f"{error.filename or files.certificate} cannot be read: {error.strerror}") from error
    return _Read(pem, required, optional, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


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


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _grpc(read: _Read) -> Any:
    certificate, key, *authority = read.pem
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authority[0] if authority else None)
