"""Authentication over gRPC: an interceptor before all others, so that nothing else sees a call that is not let in.

Every method needs a token of the scope `guard`, those that do not exist too: who is not let in does not learn which do.
Only the Check of grpc.health.v1 is open, because the probes of orchestrators cannot carry tokens; it can be closed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from xmguard.errors import Reason, XmguardError
from xmguard_server.auth import Authenticator, Scope
from xmguard_server.callers import CALLER, text
from xmguard_server.errors import abort
from xmguard_server.interceptors import REQUEST_ID_KEY, request_id

HEALTH_CHECK = "/grpc.health.v1.Health/Check"

access_log = logging.getLogger("xmguard_server.access")


class Authentication(grpc.aio.ServerInterceptor):
    """Refuses calls without a token, where tokens are asked for. Client certificates are asked for by TLS itself."""

    def __init__(
        self, authenticator: Authenticator, rejected: Callable[[Reason], None], *, closed_health: bool = False
    ) -> None:
        self._authenticator = authenticator
        self._rejected = rejected
        self._open = frozenset() if closed_health else frozenset((HEALTH_CHECK,))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Let the call through to whatever answers it, or put a refusal in its place."""
        if self._authenticator.wants_token and handler_call_details.method not in self._open:
            metadata = handler_call_details.invocation_metadata or ()
            sent = [text(value) for key, value in metadata if key == "authorization"]
            try:
                CALLER.set(self._authenticator.admit(sent, Scope.GUARD).name)
            except XmguardError as error:
                return self._refusal(error)
        return await continuation(handler_call_details)

    def _refusal(self, error: XmguardError) -> Any:
        async def refuse(requests: Any, context: Any) -> None:
            self._rejected(error.reason)
            name = request_id(value for key, value in context.invocation_metadata() or () if key == REQUEST_ID_KEY)
            context.set_trailing_metadata(((REQUEST_ID_KEY, name),))
            # Not the method: it may be any text, of somebody who was not let in.
            fields = {"code": error.code.value, "request_id": name, "peer": context.peer()}
            access_log.info("refused", extra={"fields": fields})
            await abort(context, error)

        # Of all kinds of handlers this one reads nothing of the request before it runs.
        return grpc.stream_stream_rpc_method_handler(refuse)
