"""What a failed call looks like over HTTP: a status, OpenAI's form of an error, and when to come back.

`code` is the same reason that gRPC sends as `ErrorInfo.reason`, and `param` the path of the first field that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from xmguard.errors import ErrorCode, XmguardError
from xmguard_server.errors import REASONS, http_status
from xmguard_server.http.errors import error_headers

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(error: XmguardError) -> dict[str, Any]:
    """The error as OpenAI's clients read it, with every violation beside the first."""
    status = http_status(error)
    return {
        "error": {
            "message": str(error),
            "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
            "param": error.violations[0].field if error.violations else None,
            "code": error.reason.value,
            "violations": [{"field": found.field, "description": found.description} for found in error.violations],
        }
    }


def error_response(error: XmguardError) -> Response:
    """The whole response of a call that ended before anything was answered."""
    # OpenAI's clients send 429 and every 5xx again unless they are told not to; an answer is too expensive for that.
    again = error.retry_after is not None or error.code is ErrorCode.UNAVAILABLE
    again = again and not REASONS[error.reason].suspect
    headers = {**error_headers(error), "x-should-retry": "true" if again else "false"}
    return JSONResponse(error_body(error), http_status(error), headers)
