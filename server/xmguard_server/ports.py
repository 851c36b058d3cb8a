"""Where a port listens: whether an address can be had, whether it is this machine's alone, and what refuses it.

Knows nothing of what is spoken on a port.
"""

from __future__ import annotations

import ipaddress
import socket

from xmguard.errors import SetupIncomplete

HANDSHAKE_SECONDS = 10.0
"""For whoever connects to get through the handshake, on every port."""
_BACKLOG = 128


def address(host: str, port: int) -> str:
    """Host and port as gRPC and URLs write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. A name is, if all of its addresses are."""
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):  # an address that cannot be had is refused where it is listened on
        return False
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def names_loopback(host: str) -> bool:
    """Whether a host that somebody else wrote means this machine. Nothing is looked up: any name can lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def refuse_open(host: str, option: str) -> None:
    """Refuse an address that others can reach, on a server that asks nobody who they are.

    Raises:
        SetupIncomplete: others can reach it.
    """
    if not is_loopback(host):
        raise SetupIncomplete(
            f"{option} {host} can be reached from other machines, and nobody would have to say who they are: give "
            "--tokens FILE or --tls-client-ca FILE, or --insecure-open-bind if something in front of it authenticates"
        )


def listen(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens; port 0 takes any free one.

    Raises:
        SetupIncomplete: the address cannot be had.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:
        raise cannot_listen(host, port, option, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise cannot_listen(host, port, option, error) from error
    return listening


def cannot_listen(host: str, port: int, option: str, error: Exception) -> SetupIncomplete:
    """The error for an address that cannot be had."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else "no such address, or it is in use"
    return SetupIncomplete(f"cannot listen on {address(host, port)}: {why}; {option} 0 takes any free port")
