"""The canonical proto3 JSON of values: what files and the command line hold.

Field names are accepted in both spellings (`onConflict`, `on_conflict`) and written in the canonical one. Errors name
the field by its path in the contract. Knows nothing of files or terminals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from types import NoneType
from typing import Any, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from xmguard.errors import FieldViolation, InvalidRequest, Reason, keyed, member, quoted
from xmguard.wire.messages import MESSAGE_TYPES, decode, encode

V = TypeVar("V")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")  # proto3 JSON allows both alphabets and leaves out padding
_UINT64_DIGITS = 20

MAX_PROBLEMS = 100
"""Violations that are listed; a body of megabytes could hold millions."""


def to_json(value: object, *, indent: int | None = 2) -> str:
    """The value as proto3 JSON text. An infinite number is written as the string `"-Infinity"` or `"Infinity"`."""
    return json_format.MessageToJson(encode(value), indent=indent, ensure_ascii=False)


def to_data(value: object) -> dict[str, Any]:
    """The same as what `json.loads` would make of that text, to be put inside other JSON."""
    return json_format.MessageToDict(encode(value))


def from_json(kind: type[V], text: str | bytes) -> V:
    """The value that a proto3 JSON text describes.

    Raises:
        InvalidRequest: the text is not JSON (reason REQUEST_MALFORMED), or fields are unknown or of the wrong type.
    """
    return from_data(kind, parse_json(text))


def parse_json(text: str | bytes) -> Any:
    """What a JSON text holds, whatever it is.

    Raises:
        InvalidRequest: the text is not JSON, or names a key of an object twice; reason REQUEST_MALFORMED.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_int=_whole_number)
    except _DuplicateKeyError as error:
        raise InvalidRequest.field("request", str(error), reason=Reason.REQUEST_MALFORMED) from error
    except json.JSONDecodeError as error:
        raise InvalidRequest.field(
            "request",
            f"not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            reason=Reason.REQUEST_MALFORMED,
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest.field("request", "not valid UTF-8", reason=Reason.REQUEST_MALFORMED) from error
    except RecursionError as error:
        raise InvalidRequest.field("request", "nested too deeply", reason=Reason.REQUEST_MALFORMED) from error


def from_data(kind: type[V], data: object) -> V:
    """The value that parsed proto3 JSON describes.

    Raises:
        InvalidRequest: fields are unknown or of the wrong type. At most `MAX_PROBLEMS` things are listed.
    """
    # protobuf's own parser stops at the first fault, words it for programmers, and takes `[]` for an empty message, so
    # everything is looked at here first.
    found = _problems(MESSAGE_TYPES[kind], data, "")
    problems = list(islice(found, MAX_PROBLEMS))
    if next(found, None) is not None:
        problems.append(FieldViolation("request", f"has more wrong with it than the {MAX_PROBLEMS} things listed"))
    if problems:
        raise InvalidRequest(problems)
    return decode(kind, json_format.ParseDict(cast("dict[str, Any]", data), MESSAGE_TYPES[kind]()))


class _DuplicateKeyError(ValueError):
    """Two values for one key: JSON parsers would drop one of them silently."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, content in pairs:
        if key in found:
            raise _DuplicateKeyError(f"{quoted(key)} is given twice in one object")
        found[key] = content
    return found


def _whole_number(literal: str) -> int | float:
    # No field takes a longer integer. As a float it is a number still, so the field that holds it can be named, while
    # Python refuses to read very long integers and to convert those beyond the range of a float.
    return int(literal) if len(literal) <= _UINT64_DIGITS else float(literal)


def _problems(kind: type[Message], data: object, path: str) -> Iterator[FieldViolation]:
    if not isinstance(data, dict):
        yield FieldViolation(path or "request", f"must be an object, not {_noun(data)}")
        return
    descriptor = kind.DESCRIPTOR
    by_name = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    given: list[str] = []
    for key, content in data.items():
        name = by_name[key].name if key in by_name else key
        where = member(path, name)
        if key not in by_name:
            known = ", ".join(field.json_name for field in descriptor.fields)
            yield FieldViolation(where, f"no such field; known here: {known}")
        elif name in given:
            yield FieldViolation(where, f"is given in both spellings, {name} and {by_name[key].json_name}")
        elif content is not None:  # null means absent
            given.append(name)
            yield from _field_problems(kind, by_name[key], content, where)
    for oneof in descriptor.oneofs:
        rivals = [field.name for field in oneof.fields if field.name in given]
        if len(rivals) > 1:
            yield FieldViolation(path or oneof.name, f"may hold only one of {' and '.join(rivals)}")


def _field_problems(kind: type[Message], field: Any, content: Any, where: str) -> Iterator[FieldViolation]:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        if not isinstance(content, dict):
            yield FieldViolation(where, f"must be an object, not {_noun(content)}")
            return
        for key, item in content.items():
            if not _parses(kind, field.json_name, {key: item}):
                yield FieldViolation(keyed(where, key), _mismatch(inner.fields_by_name["value"], item))
    elif _is_list(kind, field):
        if not isinstance(content, list):
            yield FieldViolation(where, f"must be a list, not {_noun(content)}")
            return
        for index, item in enumerate(content):
            if inner is not None:
                yield from _problems(_message_type(kind, field), item, f"{where}[{index}]")
            elif not _parses(kind, field.json_name, [item]):
                yield FieldViolation(f"{where}[{index}]", _mismatch(field, item))
    elif inner is not None:
        yield from _problems(_message_type(kind, field), content, where)
    elif field.type == FieldDescriptor.TYPE_BYTES and isinstance(content, str) and not _BASE64.fullmatch(content):
        # protobuf's parser drops what is not base64 and would take damaged media for sound.
        yield FieldViolation(where, "must be base64 text; it holds other characters")
    elif not _parses(kind, field.json_name, content):
        yield FieldViolation(where, _mismatch(field, content))


def _is_list(kind: type[Message], field: Any) -> bool:
    # Asked of an empty message, because the descriptor's own way of saying it differs between protobuf versions.
    return hasattr(getattr(kind(), field.name), "append")


def _message_type(kind: type[Message], field: Any) -> type[Message]:
    empty = getattr(kind(), field.name)
    return type(empty.add()) if hasattr(empty, "add") else type(empty)


def _parses(kind: type[Message], key: str, content: object) -> bool:
    try:
        json_format.ParseDict({key: content}, kind())
    except (json_format.ParseError, OverflowError):  # the latter for an infinite number where an enum belongs
        return False
    return True


def _mismatch(field: Any, content: object) -> str:
    if field.enum_type is not None:
        return f"must be one of {', '.join(value.name for value in field.enum_type.values)}"
    wanted = {
        FieldDescriptor.CPPTYPE_BOOL: "true or false",
        FieldDescriptor.CPPTYPE_DOUBLE: 'a number, "Infinity" or "-Infinity"',
        FieldDescriptor.CPPTYPE_UINT32: "a whole number from 0 to 2^32 - 1",
        FieldDescriptor.CPPTYPE_UINT64: "a whole number from 0 to 2^64 - 1",
        FieldDescriptor.CPPTYPE_STRING: "base64 text" if field.type == FieldDescriptor.TYPE_BYTES else "text",
    }[field.cpp_type]
    return f"must be {wanted}, not {_noun(content)}"


def _noun(content: object) -> str:
    if isinstance(content, float) and content != content:
        return "NaN"
    if isinstance(content, bool):
        return "true" if content else "false"
    if isinstance(content, float) and math.isinf(content):
        return "a bare infinity or a number too large to hold"
    if isinstance(content, int | float):
        return f"the number {content}"
    return {dict: "an object", list: "a list", str: "this text", NoneType: "null"}[type(content)]
