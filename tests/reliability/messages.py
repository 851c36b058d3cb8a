"""Requests as hypothesis makes them: every field of the message, with values that fit its type and nothing else."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from xmguard.v1 import guard_pb2

_NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e308, 5e-324]))
_TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", " ", "\0", "<|im_end|>", "none", "fixed", "target", "s1", "en", "x" * 5000, "\u202e", "🏄"]),
)


def requests() -> st.SearchStrategy[bytes]:
    """Packed requests of Answer."""
    return _messages(guard_pb2.AnswerRequest.DESCRIPTOR).map(lambda message: message.SerializeToString())


def _messages(descriptor: Descriptor) -> st.SearchStrategy[Any]:
    fields = {field.name: _field(field) for field in descriptor.fields}
    make = GetMessageClass(descriptor)

    def build(values: dict[str, Any]) -> Any:
        chosen: set[str] = set()
        kept = {}
        for name, value in values.items():
            group = descriptor.fields_by_name[name].containing_oneof
            if group is None or group.name not in chosen:
                kept[name] = value
                chosen |= {group.name} if group else set()
        return make(**kept)

    return st.fixed_dictionaries({}, optional=fields).map(build)


def _field(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return st.dictionaries(_TEXTS, _value(value), max_size=4)
    if field.is_repeated:
        return st.lists(_value(field), max_size=5)
    return _value(field)


def _value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kinds = FieldDescriptor
    if field.message_type is not None:
        return _messages(field.message_type)
    return {
        kinds.TYPE_STRING: _TEXTS,
        kinds.TYPE_BYTES: st.binary(max_size=50),
        kinds.TYPE_DOUBLE: _NUMBERS,
        kinds.TYPE_BOOL: st.booleans(),
        kinds.TYPE_UINT32: st.integers(0, 2**32 - 1),
        kinds.TYPE_UINT64: st.integers(0, 2**64 - 1),
        kinds.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 5),
    }[field.type]
