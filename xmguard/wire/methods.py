"""The four methods of the service as pairs of values, with the bytes they travel as.

A client and a server need nothing else: paths, and functions between values and bytes. Knows no transport.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from xmguard.errors import InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import (
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Delta,
    Done,
    Event,
    ModelInfo,
    Started,
)
from xmguard.v1 import guard_pb2 as pb
from xmguard.wire.messages import decode, encode

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
M = TypeVar("M", bound=Message)

SERVICE: str = pb.DESCRIPTOR.services_by_name["GuardService"].full_name
"""Full name of the service, as health checks and reflection know it."""

Numbered = tuple[int, Event]
"""An event of a stream and its sequence number."""


@dataclass(frozen=True)
class Method(Generic[RequestT, ResponseT]):
    """One method of the service."""

    name: str
    streams: bool
    """Whether responses are a stream."""
    pack_request: Callable[[RequestT], bytes]
    """Raises InvalidRequest, naming each field whose value does not fit its type."""
    unpack_request: Callable[[bytes], RequestT]
    """Raises InvalidRequest; reason REQUEST_MALFORMED when the bytes are not the message at all."""
    pack_response: Callable[[ResponseT], bytes]
    unpack_response: Callable[[bytes], ResponseT]
    """Raises XmguardError when the response is not one this version of the contract defines."""

    @property
    def path(self) -> str:
        """The method's path in HTTP/2."""
        return f"/{SERVICE}/{self.name}"


_EVENTS: Mapping[type, str] = {Started: "started", ConflictVerdict: "verdict", Delta: "delta", Done: "done"}
_EVENT_TYPES: Mapping[str, type] = {name: kind for kind, name in _EVENTS.items()}


def _parse(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        # The decoder's own words speak of Python classes and stay here.
        raise InvalidRequest.field(
            "request", f"not a valid {kind.DESCRIPTOR.full_name} message", reason=Reason.REQUEST_MALFORMED
        ) from error


def _trusting(unpack: Callable[[bytes], ResponseT]) -> Callable[[bytes], ResponseT]:
    """A reader of responses: what does not fit is the server's doing, not the caller's."""

    def read(data: bytes) -> ResponseT:
        try:
            return unpack(data)
        except InvalidRequest as error:
            raise XmguardError(
                f"the server's response does not fit this client's version of the contract ({error}); "
                "use the same version of xmguard on both sides"
            ) from error

    return read


def _unpack_event(data: bytes) -> Numbered:
    message = _parse(pb.StreamAnswerResponse, data)
    name = message.WhichOneof("event")
    if name is None:
        raise InvalidRequest.field("event", "is of a kind that is not known")
    return message.sequence, decode(_EVENT_TYPES[name], getattr(message, name))


def event_to_json(numbered: Numbered) -> str:
    """The event as one line of canonical proto3 JSON, the form of a StreamAnswerResponse."""
    return json_format.MessageToJson(_event_message(numbered), indent=None, ensure_ascii=False)


def _event_message(numbered: Numbered) -> pb.StreamAnswerResponse:
    sequence, event = numbered
    message = pb.StreamAnswerResponse(sequence=sequence)
    target = getattr(message, _EVENTS[type(event)])
    target.CopyFrom(encode(event))
    target.SetInParent()  # an event with nothing in it is still an event
    return message


def _request(value: AnswerRequest) -> pb.AnswerRequest:
    return cast("pb.AnswerRequest", encode(value))


def _pack(value: object) -> bytes:
    return encode(value).SerializeToString()


ANSWER: Method[AnswerRequest, AnswerResponse] = Method(
    name="Answer",
    streams=False,
    pack_request=_pack,
    unpack_request=lambda data: decode(AnswerRequest, _parse(pb.AnswerRequest, data)),
    pack_response=_pack,
    unpack_response=_trusting(lambda data: decode(AnswerResponse, _parse(pb.AnswerResponse, data))),
)

STREAM_ANSWER: Method[AnswerRequest, Numbered] = Method(
    name="StreamAnswer",
    streams=True,
    pack_request=lambda value: pb.StreamAnswerRequest(request=_request(value)).SerializeToString(),
    unpack_request=lambda data: decode(AnswerRequest, _parse(pb.StreamAnswerRequest, data).request),
    pack_response=lambda numbered: _event_message(numbered).SerializeToString(),
    unpack_response=_trusting(_unpack_event),
)

CHECK: Method[AnswerRequest, CheckResponse] = Method(
    name="Check",
    streams=False,
    pack_request=lambda value: pb.CheckRequest(request=_request(value)).SerializeToString(),
    unpack_request=lambda data: decode(AnswerRequest, _parse(pb.CheckRequest, data).request),
    pack_response=_pack,
    unpack_response=_trusting(lambda data: decode(CheckResponse, _parse(pb.CheckResponse, data))),
)

GET_MODEL: Method[str, ModelInfo] = Method(
    name="GetModel",
    streams=False,
    pack_request=lambda name: pb.GetModelRequest(model=name).SerializeToString(),
    unpack_request=lambda data: _parse(pb.GetModelRequest, data).model,
    pack_response=_pack,
    unpack_response=_trusting(lambda data: decode(ModelInfo, _parse(pb.GetModelResponse, data))),
)

METHODS: tuple[Method[Any, Any], ...] = (ANSWER, STREAM_ANSWER, CHECK, GET_MODEL)
