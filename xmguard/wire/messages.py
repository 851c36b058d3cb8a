"""Values to protobuf messages and back, driven by the dataclasses' own type hints.

One rule for every message of the contract: a value field is set on the wire under the same name; `X | None` means
field presence; a tuple is a repeated field; a mapping is a map of scalars. Knows nothing of JSON, methods or errors
on the wire.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from xmguard import request, response, span
from xmguard.errors import FieldViolation, InvalidRequest, keyed
from xmguard.v1 import guard_pb2 as pb

V = TypeVar("V")

MESSAGE_TYPES: Mapping[type, type[Message]] = {
    span.Media: pb.Media,
    span.Span: pb.Span,
    request.AnswerRequest: pb.AnswerRequest,
    request.Decoding: pb.Decoding,
    request.Detail: pb.Detail,
    request.Rebalance: pb.Rebalance,
    response.AnswerGroup: pb.AnswerGroup,
    response.AnswerResponse: pb.AnswerResponse,
    response.CheckResponse: pb.CheckResponse,
    response.ConflictVerdict: pb.Verdict,
    response.Delta: pb.Delta,
    response.Disagreement: pb.Disagreement,
    response.Done: pb.Done,
    response.Imbalance: pb.Imbalance,
    response.LayerContribution: pb.LayerContribution,
    response.Limits: pb.Limits,
    response.ModelInfo: pb.GetModelResponse,
    response.PluginInfo: pb.Plugin,
    response.PolicyInfo: pb.Policy,
    response.Quote: pb.Quote,
    response.Rebalancing: pb.Rebalancing,
    response.SpanReport: pb.SpanReport,
    response.Stamp: pb.Stamp,
    response.Started: pb.Started,
    response.Usage: pb.Usage,
}
"""Value type to message type, for every message that is a value; the others only wrap one request or event."""

ENUM_TYPES: Mapping[type[IntEnum], Any] = {
    request.OnConflict: pb.OnConflict,
    request.OnError: pb.OnError,
    request.Prompt: pb.Prompt,
    request.Scope: pb.Scope,
    response.Decision: pb.Decision,
    response.FinishReason: pb.FinishReason,
    response.Status: pb.Status,
}
"""Value enum to the contract's enum; numbers are the same."""


def encode(value: object) -> Message:
    """The message of a value.

    Raises:
        InvalidRequest: naming every field whose value does not fit the contract's type.
    """
    problems: list[FieldViolation] = []
    message = MESSAGE_TYPES[type(value)]()
    _fill(message, value, None, problems)
    if problems:
        raise InvalidRequest(problems)
    return message


def decode(kind: type[V], message: Message) -> V:
    """The value of a message.

    Raises:
        InvalidRequest: naming every enum field that holds a number the contract does not define.
    """
    problems: list[FieldViolation] = []
    value = _decode(kind, message, None, problems)
    if problems:
        raise InvalidRequest(problems)
    return value


@dataclass(frozen=True)
class _Field:
    name: str
    shape: Literal["one", "many", "map"]
    item: type
    optional: bool

    @cached_property
    def part(self) -> bool:
        """Whether it holds messages."""
        return self.item in MESSAGE_TYPES

    @cached_property
    def enum(self) -> bool:
        """Whether it holds members of an enum."""
        return issubclass(self.item, IntEnum)

    @cached_property
    def plain(self) -> bool:
        """Whether a message holds the same as the value does."""
        return self.shape == "one" and not self.part and not self.enum

    @cached_property
    def unsaid(self) -> type | None:
        """Of which type what is false need not be set: it would put nothing on the wire. Zeros may have a sign."""
        if self.optional or self.item is float or self.shape == "map":
            return None
        return tuple if self.shape == "many" else None if self.part else self.item


def _fields(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    return tuple(_field(field.name, hints[field.name]) for field in dataclasses.fields(kind))


def _field(name: str, hint: Any) -> _Field:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _Field(name, "many", arguments[0], optional=False)
    if origin is Mapping:
        return _Field(name, "map", arguments[1], optional=False)
    if NoneType in arguments:
        return _Field(name, "one", next(item for item in arguments if item is not NoneType), optional=True)
    return _Field(name, "one", hint, optional=False)


def _unset(field: _Field) -> Any:
    """What stands for a field that is not set; not for one that is made anew each time."""
    if field.optional:
        return None
    if field.shape == "many":
        return ()
    return field.item(0) if issubclass(field.item, IntEnum) else field.item()


_FIELDS: Mapping[type, tuple[_Field, ...]] = {kind: _fields(kind) for kind in MESSAGE_TYPES}

_BY_NAME: Mapping[type, Mapping[str, _Field]] = {
    kind: {field.name: field for field in fields} for kind, fields in _FIELDS.items()
}
_FRESH: Mapping[type, tuple[_Field, ...]] = {
    kind: tuple(
        field
        for field in fields
        if field.shape == "map" or (field.item in MESSAGE_TYPES and field.shape == "one" and not field.optional)
    )
    for kind, fields in _FIELDS.items()
}
"""Fields whose value, where they are not set, is not shared between messages."""
_UNSET: Mapping[type, Mapping[str, Any]] = {
    kind: {field.name: _unset(field) for field in fields if field not in _FRESH[kind]}
    for kind, fields in _FIELDS.items()
}
_EMPTY: Mapping[type, Message] = {kind: message() for kind, message in MESSAGE_TYPES.items()}
_ONEOFS: Mapping[type, tuple[tuple[str, tuple[str, ...]], ...]] = {
    kind: tuple(
        (oneof.name, tuple(member.name for member in oneof.fields))
        for oneof in message.DESCRIPTOR.oneofs
        if len(oneof.fields) > 1
    )
    for kind, message in MESSAGE_TYPES.items()
}
"""Name and members of each choice; an optional field is one of a single member, and none here."""


class _Path(NamedTuple):
    """Where something stands. Written out only for a problem: most messages have none."""

    parent: _Path | None
    name: str
    place: int | None = None

    def __str__(self) -> str:
        name = self.name if self.place is None else f"{self.name}[{self.place}]"
        return name if self.parent is None else f"{self.parent}.{name}"


def _fill(message: Message, value: object, path: _Path | None, problems: list[FieldViolation]) -> None:
    for field in _FIELDS[type(value)]:
        content = getattr(value, field.name)
        if not content and (type(content) is field.unsaid or (content is None and field.optional)):
            continue
        where = _Path(path, field.name)
        try:
            _set(message, field, content, where, problems)
        # What protobuf says when a value does not fit: wrong type, out of range, or text that is not valid Unicode.
        except (TypeError, ValueError, AttributeError, OverflowError):
            problems.append(FieldViolation(str(where), f"must be {_wanted(field)}, not {_shown(content)}"))
    for oneof, members in _ONEOFS[type(value)]:
        given = [member for member in members if getattr(value, member) is not None]
        if len(given) > 1:
            problems.append(FieldViolation(str(path or oneof), f"may hold only one of {' and '.join(given)}"))


def _set(message: Message, field: _Field, content: Any, where: _Path, problems: list[FieldViolation]) -> None:
    if field.plain:
        setattr(message, field.name, content)
    elif field.shape == "map":
        target = getattr(message, field.name)
        for key, item in content.items():
            try:
                target[key] = item
            except (TypeError, ValueError, OverflowError):
                problems.append(
                    FieldViolation(keyed(str(where), str(key)), f"must be {_NOUNS[field.item]}, not {_shown(item)}")
                )
    elif field.shape == "many":
        if isinstance(content, str | bytes):
            raise TypeError("a string is not a list of strings")
        target = getattr(message, field.name)
        if not field.part:
            target.extend(content)
            return
        for index, item in enumerate(content):
            inside = where._replace(place=index)
            if _is_a(field.item, item, inside, problems):
                _fill(target.add(), item, inside, problems)
    elif field.part:
        if _is_a(field.item, content, where, problems):
            part = getattr(message, field.name)
            _fill(part, content, where, problems)
            # An empty part is left out where absence means the same, so that JSON shows what was said and nothing else.
            if field.optional or part.ByteSize():
                part.SetInParent()
            else:
                message.ClearField(field.name)
    else:
        setattr(message, field.name, field.item(content).value)


def _is_a(kind: type, item: object, where: _Path, problems: list[FieldViolation]) -> bool:
    if type(item) is kind:
        return True
    problems.append(FieldViolation(str(where), f"must be a {kind.__name__}, not {_shown(item)}"))
    return False


_NOUNS: Mapping[type, str] = {
    bool: "true or false",
    bytes: "bytes",
    float: "a number",
    int: "a whole number in the field's range",
    str: "valid Unicode text",
}


def _wanted(field: _Field) -> str:
    if field.shape == "many":
        return "a list"
    if field.shape == "map":
        return "a mapping"
    if issubclass(field.item, IntEnum):
        return f"one of {', '.join(f'{field.item.__name__}.{member.name}' for member in field.item)}"
    return _NOUNS[field.item]


def _shown(content: object) -> str:
    """Numbers are shown, anything else only by type: content may be long, and may be private."""
    if isinstance(content, int) and content.bit_length() > 64:  # Python refuses to write very long ones at all
        return "a number this large"
    return repr(content) if isinstance(content, bool | int | float) else type(content).__name__


def _decode(kind: type[V], message: Any, path: _Path | None, problems: list[FieldViolation]) -> V:
    # Most fields of most messages are not set, and asking for each of them would take most of the time.
    values, fields = dict(_UNSET[kind]), _BY_NAME[kind]
    for descriptor, content in message.ListFields():
        field = fields.get(descriptor.name)
        if field is None:
            continue
        if field.plain:
            values[field.name] = content
        elif field.shape == "map":
            values[field.name] = dict(content)
        elif field.shape == "one":
            values[field.name] = _item(field.item, content, _Path(path, field.name), problems)
        elif field.part or field.enum:
            values[field.name] = tuple(
                _item(field.item, item, _Path(path, field.name, index), problems) for index, item in enumerate(content)
            )
        else:
            values[field.name] = tuple(content)
    for field in _FRESH[kind]:
        if field.name not in values:
            values[field.name] = {} if field.shape == "map" else _decode(field.item, _EMPTY[field.item], None, problems)
    return kind(**values)


def _item(kind: Any, content: Any, where: _Path, problems: list[FieldViolation]) -> Any:
    if kind in MESSAGE_TYPES:
        return _decode(kind, content, where, problems)
    try:
        return kind(content)
    except ValueError:
        known = ", ".join(f"{ENUM_TYPES[kind].Name(member)} = {member.value}" for member in kind)
        problems.append(FieldViolation(str(where), f"{content} is not defined; known: {known}"))
        return kind(0)
