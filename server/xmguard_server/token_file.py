"""The file of tokens: TOML, one `[[token]]` each, with a hash where the token would be.

    [[token]]
    name = "agent"
    sha256 = "64 hexadecimal digits, of the token's bytes"
    scopes = ["guard"]
    expires = 2027-01-01T00:00:00Z

`expires` may be absent. Two entries may have one name, so that a token can be replaced before the old one goes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xmguard.errors import SetupIncomplete

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""Names reach the access log."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset(("name", "sha256", "scopes", "expires"))
_BYTES = 32


@dataclass(frozen=True)
class Token:
    """What is known of a token."""

    name: str
    digest: bytes
    """SHA-256."""
    scopes: tuple[str, ...]
    expires: datetime | None
    """With a time zone."""


def parse(text: str, file: str, scopes: frozenset[str]) -> Sequence[Token]:
    """The entries of a file. A file without any is one that nobody's token is in.

    Raises:
        SetupIncomplete: the text is not TOML, or an entry is wrong; says which.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupIncomplete(f"tokens file {file} is not TOML: {error}") from error
    entries = document.pop("token", [])
    if document or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SetupIncomplete(f"tokens file {file} may hold [[token]] tables only; `xmguard token new` writes one")
    tokens = [_token(entry, f"tokens file {file}, token {number}", scopes) for number, entry in enumerate(entries, 1)]
    if len({token.digest for token in tokens}) < len(tokens):
        raise SetupIncomplete(f"tokens file {file} has the same sha256 twice")
    return tokens


def make(name: str, scopes: Sequence[str], expires: datetime | None) -> tuple[str, str]:
    """A new token, and its entry for the file."""
    token = "xmg_" + secrets.token_urlsafe(_BYTES)
    digest = hashlib.sha256(token.encode()).hexdigest()
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    lines = ["[[token]]", f'name = "{name}"', f'sha256 = "{digest}"', f"scopes = [{listed}]"]
    if expires is not None:
        lines.append(f"expires = {expires.isoformat(timespec='seconds')}")
    return token, "\n".join(lines) + "\n"


def _token(entry: Mapping[str, Any], where: str, scopes: frozenset[str]) -> Token:
    def refuse(what: str) -> SetupIncomplete:
        return SetupIncomplete(f"{where}: {what}; `xmguard token new` writes an entry")

    name, digest, opens, expires = (entry.get(key) for key in ("name", "sha256", "scopes", "expires"))
    if unknown := sorted(entry.keys() - _KEYS):
        raise refuse(f"unknown key {unknown[0]}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise refuse("name must be 1 to 64 of letters, digits and . _ @ -, the first a letter or digit")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise refuse("sha256 must be 64 hexadecimal digits in lower case")
    if not isinstance(opens, list) or not opens or not scopes.issuperset(map(str, opens)):
        raise refuse(f"scopes must be a list of some of: {', '.join(sorted(scopes))}")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise refuse("expires must be a time with its zone, such as 2027-01-01T00:00:00Z")
    return Token(name, bytes.fromhex(digest), tuple(opens), expires)
