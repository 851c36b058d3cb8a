"""The contract, the generated code and the values say the same."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from xmguard.v1 import guard_pb2
from xmguard.wire.messages import ENUM_TYPES, MESSAGE_TYPES
from xmguard_server.inference import inference_pb2

PROTOS = Path(__file__).parents[2] / "protos"
BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")

WRAPPERS = {"StreamAnswerRequest", "StreamAnswerResponse", "CheckRequest", "GetModelRequest"}
"""Messages that hold one request, event or name, and so are no values of their own."""

FILE = FileDescriptorProto.FromString(guard_pb2.DESCRIPTOR.serialized_pb)
INFERENCE = FileDescriptorProto.FromString(inference_pb2.DESCRIPTOR.serialized_pb)
VALUES = {message.DESCRIPTOR.name: kind for kind, message in MESSAGE_TYPES.items()}
ENUMS = {enum.DESCRIPTOR.name: kind for kind, enum in ENUM_TYPES.items()}

needs_buf = pytest.mark.skipif(BUF is None, reason="buf is not installed (it is in xmguard[dev])")


@needs_buf
@pytest.mark.parametrize("command", [["lint"], ["format", "--diff", "--exit-code"]], ids=lambda command: command[0])
def test_buf_has_no_findings(command: list[str]) -> None:
    done = subprocess.run([BUF, *command], cwd=PROTOS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_buf
def test_the_generated_code_is_of_the_contract_as_it_is_now(tmp_path: Path) -> None:
    image = tmp_path / "image.binpb"
    subprocess.run(
        [BUF, "build", "--as-file-descriptor-set", "--exclude-source-info", "-o", image], cwd=PROTOS, check=True
    )
    built = {file.name: file for file in FileDescriptorSet.FromString(image.read_bytes()).file}
    generated = {file.name: file for file in (FILE, INFERENCE)}
    # Both describe fields' JSON names, but only one compiler writes them out.
    for file in (*built.values(), *generated.values()):
        for message in file.message_type:
            for field in [*message.field, *(field for nested in message.nested_type for field in nested.field)]:
                field.ClearField("json_name")
    assert built == generated, "run `make proto`"


def test_every_rpc_and_message_is_translated() -> None:
    assert {message.name for message in FILE.message_type} == set(VALUES) | WRAPPERS
    assert {enum.name for enum in FILE.enum_type} == set(ENUMS)


@pytest.mark.parametrize("message", [m for m in FILE.message_type if m.name not in WRAPPERS], ids=lambda m: m.name)
def test_fields_of_values_and_messages_agree(message: Any) -> None:
    hints = get_type_hints(VALUES[message.name])
    assert {field.name for field in message.field} == set(hints)
    maps = {nested.name for nested in message.nested_type if nested.options.map_entry}
    for field in message.field:
        assert _said(hints[field.name]) == _meant(field, maps), f"{message.name}.{field.name}"


@pytest.mark.parametrize("enum", FILE.enum_type, ids=lambda enum: enum.name)
def test_enum_values_agree(enum: Any) -> None:
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum.name).lstrip("_")
    ours = {f"{prefix}_{member.name}": member.value for member in ENUMS[enum.name]}
    assert ours == {value.name: value.number for value in enum.value}


@pytest.mark.parametrize("kind", VALUES.values(), ids=lambda kind: kind.__name__)
def test_values_are_frozen_and_can_be_made_of_nothing_but_media(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    if kind is not VALUES["Media"]:
        kind()


def _said(hint: Any) -> tuple[str, bool]:
    """A value field's type in the contract's words, and whether it can be absent."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return f"repeated {_said(arguments[0])[0]}", False
    if origin is Mapping:
        return "map", False
    if NoneType in arguments:
        return _said(arguments[0])[0], True
    names = {bool: "bool", bytes: "bytes", float: "double", int: "uint", str: "string"}
    by_type = {kind: name for name, kind in (*VALUES.items(), *ENUMS.items())}
    return names.get(hint) or by_type[hint], False


OPTIONAL_MESSAGES = {"media", "evidence_a", "evidence_b"}
"""Messages whose absence means something; others are equal to an empty one."""


def _meant(field: Any, maps: set[str]) -> tuple[str, bool]:
    names = {
        field.TYPE_BOOL: "bool",
        field.TYPE_BYTES: "bytes",
        field.TYPE_DOUBLE: "double",
        field.TYPE_STRING: "string",
        field.TYPE_UINT32: "uint",
        field.TYPE_UINT64: "uint",
    }
    name = names.get(field.type) or field.type_name.rpartition(".")[2]
    if name in maps:
        return "map", False
    if field.label == field.LABEL_REPEATED:
        return f"repeated {name}", False
    return name, field.HasField("oneof_index") or field.name in OPTIONAL_MESSAGES
