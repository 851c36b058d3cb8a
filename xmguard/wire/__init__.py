"""The only translation between xmguard's values and what travels: protobuf messages, proto3 JSON, google.rpc.Status.

Knows no transport: it never imports grpc, and client and server see values and bytes only. It checks that a message
*is* one of the contract's; whether a request makes sense is for `xmguard.validation`.
"""

from __future__ import annotations

from xmguard.wire.jsonschema import json_schema
from xmguard.wire.jsontext import from_data, from_json, parse_json, to_data, to_json
from xmguard.wire.messages import decode, encode
from xmguard.wire.methods import (
    ANSWER,
    CHECK,
    GET_MODEL,
    METHODS,
    SERVICE,
    STREAM_ANSWER,
    Method,
    Numbered,
    event_to_json,
)
from xmguard.wire.status import DOMAIN, as_raised, from_status, to_status

__all__ = [
    "ANSWER",
    "CHECK",
    "DOMAIN",
    "GET_MODEL",
    "METHODS",
    "SERVICE",
    "STREAM_ANSWER",
    "Method",
    "Numbered",
    "as_raised",
    "decode",
    "encode",
    "event_to_json",
    "from_data",
    "from_json",
    "from_status",
    "json_schema",
    "parse_json",
    "to_data",
    "to_json",
    "to_status",
]
