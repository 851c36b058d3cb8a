"""What it means that a call ended without a word from a server: gRPC's own words, turned into what can be done.

gRPC tells one connection that could not be made from another in the text of its status alone, and that text has
changed between its releases. What is not recognised here is told as an address where nothing answers. Knows no calls.
"""

from __future__ import annotations

import re

from xmguard.errors import DeadlineExceeded, ErrorCode, Reason, XmguardError

_WITHOUT_PORT = re.compile(r"(dns:(///)?)?([^:/]+|\[[^]]*\])")
_NOT_RESOLVED = re.compile("errors resolving|DNS resolution failed")
_NOT_VERIFIED = re.compile("CERTIFICATE_VERIFY_FAILED(?:: ([^:]+))?")
_WRONG_DATES = ("certificate has expired", "certificate is not yet valid")
_OTHER_NAME = re.compile("Hostname Verification Check failed|is not in peer certificate")
_PLAIN_TEXT = "WRONG_VERSION_NUMBER"
_TLS_FAILED = re.compile("(?:Tls|Ssl) handshake failed|security handshaker")
# Only where no connection came about: a call whose server died on the way has the same words alone.
_HUNG_UP = re.compile("last error:.*(?:Socket closed|Connection reset|Failed parsing HTTP/2)", re.DOTALL)


def explained(address: str, seconds: float, encrypted: bool, error: XmguardError) -> XmguardError:
    """The error for a person, with the code and reason of `error`, whose text is gRPC's.

    `seconds` is the time that the call had, and `encrypted` whether the client spoke TLS.
    """
    if error.code is ErrorCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(
            f"{address} did not finish within {seconds:g} s; ask for less, or give a longer timeout"
        )
    if error.code is ErrorCode.RESOURCE_EXHAUSTED:
        return XmguardError(
            f"{address} takes no message of this size ({error}); send fewer or smaller spans",
            code=error.code,
            reason=Reason.REQUEST_TOO_LARGE,
        )
    if error.reason is not Reason.SERVER_UNREACHABLE:
        return error
    if error.code is ErrorCode.UNIMPLEMENTED:
        message = f"what answers at {address} is not an xmguard server, or an older one; check the address"
    else:
        message = _unreachable(address, encrypted, str(error))
    return XmguardError(message, code=error.code, reason=error.reason)


def _unreachable(address: str, encrypted: bool, words: str) -> str:
    """Why no connection came about. The flags are those of the commands, which Python's `Tls` has too."""
    if _NOT_RESOLVED.search(words):
        return f"no host of the name in {address} can be found; write HOST:PORT, and check how the name is spelt"
    if unverified := _NOT_VERIFIED.search(words):
        why = unverified[1] or "no reason was reported"
        if why in _WRONG_DATES:
            return (
                f"the certificate of {address} is refused: {why}; the server needs a new one, unless a clock is wrong"
            )
        return (
            f"the certificate of {address} is not trusted: {why}; name the authority that signed it with "
            "--tls-ca FILE, in Python tls=Tls(ca=FILE)"
        )
    if _OTHER_NAME.search(words):
        return (
            f"the certificate of {address} is for another name; ask under a name that is in it, or give that name in "
            "Python with Tls(server_name=NAME)"
        )
    if _PLAIN_TEXT in words:
        return f"what answers at {address} does not speak TLS; ask it without --tls and --tls-ca, in Python without tls"
    if _TLS_FAILED.search(words):
        return f"no TLS connection to {address} could be made: {words}"
    if _WITHOUT_PORT.fullmatch(address):
        return f"no xmguard server answers at {address}, which names no port; write HOST:PORT, as in {address}:50051"
    if not _HUNG_UP.search(words):
        return f"no xmguard server answers at {address}; start one with `xmguard serve`, or check the address"
    if encrypted:
        return (
            f"{address} ended the connection; does it ask for a certificate of yours? --tls-cert FILE and "
            "--tls-key FILE, in Python Tls(certificate=FILE, key=FILE). If not, check the port"
        )
    return (
        f"{address} ended the connection; does it speak TLS? --tls, or --tls-ca FILE, in Python tls=Tls(ca=FILE). "
        "If not, check the port"
    )
