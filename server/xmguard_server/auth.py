"""Who may come in: bearer tokens from a file of their hashes, and the names in client certificates.

One `Authenticator` stands behind every port and every protocol, so that none of them has rules of its own. Knows no
transport: it is given what a caller sent, and says who that is or refuses.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard_server.files import Fingerprint, fingerprint, refuse_writable_by_others
from xmguard_server.token_file import Token, parse

logger = logging.getLogger(__name__)

SCHEME = "bearer"
_LONGEST = 512
"""Characters of a token at most; ours have 47."""
_SETTLED = 2.0
"""Seconds after which a file system's clock tells a second change of a file from the first."""


class Scope(Enum):
    """What a token opens."""

    GUARD = "guard"
    """Questions to the guard, in every protocol, and reflection."""
    ADMIN = "admin"
    """The admin port."""


@dataclass(frozen=True)
class Principal:
    """Who calls."""

    name: str
    """Of the token or the certificate; empty where nobody has to say."""
    scopes: frozenset[Scope]

    def need(self, scope: Scope) -> None:
        """Go on only if a scope is open to it.

        Raises:
            XmguardError: PERMISSION_DENIED.
        """
        if scope not in self.scopes:
            raise XmguardError(
                f"this token does not open the scope {scope.value}; ask for one that does",
                code=ErrorCode.PERMISSION_DENIED,
                reason=Reason.PERMISSION_DENIED,
            )


_ANYONE = Principal("", frozenset(Scope))


class Tokens:
    """The tokens of a file, read again when it changes; a file that cannot be used leaves the ones before in force."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            SetupIncomplete: it cannot be read, others can write it, or it is not a file of tokens.
        """
        self._path = path
        self._seen = fingerprint(path)
        self._settled = False
        self._tokens = self._read()

    def find(self, token: str) -> Token | None:
        """The entry of a token, expired or not. Takes the same time whichever it is, and if it is none."""
        self._refresh()
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for entry in self._tokens:
            if hmac.compare_digest(entry.digest, digest):
                found = entry
        return found

    def _refresh(self) -> None:
        # Looked at on every call: it costs microseconds, and a token that was taken out is out at once.
        seen = fingerprint(self._path)
        if seen == self._seen and self._settled:
            return
        changed, self._seen = seen != self._seen, seen
        try:
            self._tokens = self._read()
        except SetupIncomplete as error:
            if changed:
                logger.error("%s; the tokens read before stay in force", error)
        else:
            if changed:
                logger.info("tokens read again: %d", len(self._tokens))

    def _read(self) -> Sequence[Token]:
        self._settled = _settled(self._seen)
        refuse_writable_by_others(self._path, "tokens")
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SetupIncomplete(f"tokens file {self._path} cannot be read: {why}") from error
        return parse(text, str(self._path), frozenset(scope.value for scope in Scope))


class Authenticator:
    """Says who a caller is, or refuses."""

    def __init__(self, tokens: Tokens | None = None, *, certificates: bool = False) -> None:
        """With `tokens` every caller must send one; else with `certificates` every caller must have shown one."""
        self._tokens = tokens
        self._certificates = certificates

    @property
    def asks(self) -> bool:
        """Whether a caller has to say who it is."""
        return self._tokens is not None or self._certificates

    @property
    def wants_token(self) -> bool:
        """Whether that is by a token."""
        return self._tokens is not None

    def admit(self, authorization: Sequence[str], scope: Scope, subject: str = "") -> Principal:
        """Who calls.

        `authorization` holds the values of every header or metadata entry of that name, `subject` the name in the
        client's certificate. A certificate alone opens every scope: whoever runs the authority decides who has one.

        Raises:
            XmguardError: UNAUTHENTICATED or PERMISSION_DENIED.
        """
        if self._tokens is None:
            if self._certificates and not subject:
                raise _unauthenticated("no client certificate; connect with one that the server's authority has signed")
            return Principal(subject, frozenset(Scope)) if self._certificates else _ANYONE
        entry = self._tokens.find(bearer(authorization))
        if entry is None:
            raise _unauthenticated("this token is not known here; it may have been revoked")
        if entry.expires is not None and entry.expires <= datetime.now(UTC):
            raise _unauthenticated("this token has expired; ask for a new one")
        principal = Principal(entry.name, frozenset(Scope(name) for name in entry.scopes))
        principal.need(scope)
        return principal


def bearer(authorization: Sequence[str]) -> str:
    """The token that a caller sent.

    Raises:
        XmguardError: UNAUTHENTICATED: none, several, or not a bearer token.
    """
    if not authorization:
        raise _unauthenticated("no token; send it as authorization: Bearer TOKEN")
    if len(authorization) > 1:
        raise _unauthenticated("several authorization headers; send one")
    scheme, _, token = authorization[0].strip().partition(" ")
    if scheme.lower() != SCHEME or not 0 < len(token) <= _LONGEST or not token.isascii() or not token.isprintable():
        raise _unauthenticated("the authorization header is malformed; send authorization: Bearer TOKEN")
    return token


def _unauthenticated(message: str) -> XmguardError:
    return XmguardError(message, code=ErrorCode.UNAUTHENTICATED, reason=Reason.UNAUTHENTICATED)


def _settled(seen: Fingerprint | None) -> bool:
    return seen is not None and time.time() - seen.changed > _SETTLED
