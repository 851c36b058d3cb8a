"""What a failed HTTP request tells its caller: codes, reasons and details as over gRPC, in the JSON of AIP-193.

{"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "...", "details": [{"@type": ".../ErrorInfo", ...}]}}
"""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse, Response

from xmguard.errors import ErrorCode, XmguardError
from xmguard.wire import DOMAIN
from xmguard_server.errors import http_status

_TYPE = "type.googleapis.com/google.rpc."


def error_response(error: XmguardError) -> Response:
    """The answer to a request that failed."""
    return JSONResponse(error_body(error), http_status(error), error_headers(error))


def error_body(error: XmguardError) -> dict[str, Any]:
    """What the body says; also the last line of a stream that had begun."""
    body = {"code": http_status(error), "status": error.code.value, "message": str(error), "details": _details(error)}
    return {"error": body}


def error_headers(error: XmguardError) -> dict[str, str]:
    """Headers that go with an error, whatever the body's form."""
    headers = {}
    if error.code is ErrorCode.UNAUTHENTICATED:
        headers["www-authenticate"] = 'Bearer realm="xmguard"'
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return headers


def _details(error: XmguardError) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [
        {"@type": f"{_TYPE}ErrorInfo", "reason": error.reason.value, "domain": DOMAIN},
    ]
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after:g}s"})
    if error.violations:
        fields = [{"field": entry.field, "description": entry.description} for entry in error.violations]
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": fields})
    return details
