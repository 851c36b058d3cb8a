"""Health and metadata as KServe's Open Inference Protocol v2 has them over gRPC, for tools that speak nothing else.

Unmodified clients of Triton and KServe find out whether the server lives and what it serves. Inference is not theirs: a
question over several spans is no tensor, so ModelInfer says which method to call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from xmguard import __version__
from xmguard.errors import ErrorCode, InvalidRequest, ModelNotFound, Reason, XmguardError, quoted
from xmguard.response import ModelInfo
from xmguard.wire import ANSWER, SERVICE
from xmguard_server.calls import Calls
from xmguard_server.errors import rich_errors
from xmguard_server.inference import inference_pb2 as pb
from xmguard_server.metrics import Metrics

M = TypeVar("M", bound=Message)

INFERENCE_SERVICE: str = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
"""As the protocol has it."""


class InferenceServicer:
    """Handlers of the inference service."""

    def __init__(self, calls: Calls, metrics: Metrics) -> None:
        self._calls = calls
        self._metrics = metrics

    def handlers(self) -> dict[str, Any]:
        """Method name to grpc handler, for `method_handlers_generic_handler` of the service."""
        answers: dict[str, Callable[[bytes], Message]] = {
            "ServerLive": lambda data: pb.ServerLiveResponse(live=True),
            "ServerReady": lambda data: pb.ServerReadyResponse(ready=self._calls.ready),
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda data: pb.ServerMetadataResponse(name="xmguard", version=__version__),
            "ModelMetadata": self._model_metadata,
            "ModelInfer": _model_infer,
        }
        return {name: grpc.unary_unary_rpc_method_handler(self._handler(answer)) for name, answer in answers.items()}

    def _handler(self, answer: Callable[[bytes], Message]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(data: bytes, context: Any) -> bytes:
            async with rich_errors(context, self._metrics.rejected):
                return answer(data).SerializeToString()
            raise AssertionError("rich_errors swallowed an error")  # it ends the call; the type checker does not know

        return handle

    def _model_ready(self, data: bytes) -> Message:
        asked = _parse(pb.ModelReadyRequest, data)
        try:
            ready = self._calls.ready and bool(self._model(asked.name, asked.version))
        except ModelNotFound:
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    def _model_metadata(self, data: bytes) -> Message:
        asked = _parse(pb.ModelMetadataRequest, data)
        info = self._model(asked.name, asked.version)
        return pb.ModelMetadataResponse(name=info.model, versions=[info.version], platform=f"xmguard_{info.engine}")

    def _model(self, name: str, version: str) -> ModelInfo:
        info = self._calls.describe(name)
        if version and version != info.version:
            another = f"version: {quoted(version)} of {info.model} is not served here"
            raise ModelNotFound(f"{another}; served: {quoted(info.version)}")
        return info


def _model_infer(data: bytes) -> Message:
    raise XmguardError(
        f"questions over several spans are no tensors; call {ANSWER.path}, or Check and StreamAnswer of {SERVICE}",
        code=ErrorCode.UNIMPLEMENTED,
        reason=Reason.REQUEST_INVALID,
    )


def _parse(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        # The decoder's own words speak of Python classes and stay here.
        raise InvalidRequest.field(
            "request", f"not a valid {kind.DESCRIPTOR.full_name} message", reason=Reason.REQUEST_MALFORMED
        ) from error
