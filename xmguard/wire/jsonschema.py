"""JSON Schema of the canonical proto3 JSON of a value: what programs that read schemas are told of the contract.

Made from the messages themselves, so that it cannot differ from what `from_json` takes and `to_json` writes. Every
schema in it has one type, or a choice of such: readers of less than JSON Schema refuse lists of types, and choices of
words without a type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from xmguard.wire.messages import MESSAGE_TYPES

_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "enum": ["Infinity", "-Infinity", "NaN"]}]}
_SCALARS: Mapping[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: _NUMBER,
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_UINT64: {"anyOf": [{"type": "integer"}, {"type": "string"}]},  # written as the latter
}


def json_schema(kind: type, notes: Mapping[str, str] | None = None, *, closed: bool) -> dict[str, Any]:
    """The schema of a value's JSON, as one object without references.

    Args:
        kind: the value's type; one of the contract's.
        notes: descriptions by field, as `Span.language`.
        closed: whether other fields are refused, as in requests; responses may gain fields later.
    """
    return _object(MESSAGE_TYPES[kind].DESCRIPTOR, notes or {}, closed)


def _object(message: Any, notes: Mapping[str, str], closed: bool) -> dict[str, Any]:
    fields = {}
    for field in message.fields:
        note = notes.get(f"{message.name}.{field.name}")
        fields[field.json_name] = {**_field(field, notes, closed), **({"description": note} if note else {})}
    return {"type": "object", "properties": fields, **({"additionalProperties": False} if closed else {})}


def _field(field: Any, notes: Mapping[str, str], closed: bool) -> dict[str, Any]:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        item = _field(inner.fields_by_name["value"], notes, closed)
        return {"type": "object", "additionalProperties": item}
    if inner is not None:
        item = _object(inner, notes, closed)
    elif field.enum_type is not None:
        item = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    else:
        item = _SCALARS[field.type]
    # Newer versions of protobuf no longer have `label`, older ones have nothing else.
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    return {"type": "array", "items": item} if repeated else dict(item)
