"""Values, messages, JSON and statuses: everything that leaves comes back the same, and what does not fit is named."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from enum import IntEnum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.rpc import code_pb2, error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard import errors, wire
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest, Decoding, OnConflict, Rebalance, Scope
from xmguard.response import AnswerResponse, ConflictVerdict, Delta, Done, Event, ModelInfo, SpanReport, Started, Usage
from xmguard.span import Media, Span
from xmguard.v1 import guard_pb2 as pb
from xmguard.wire.jsontext import MAX_PROBLEMS
from xmguard.wire.messages import MESSAGE_TYPES
from xmguard.wire.status import DOMAIN

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = {
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
    float: st.floats(allow_nan=False),
    int: st.integers(0, 2**32 - 1),
    str: TEXT,
}


def anything(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return st.lists(anything(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, anything(arguments[1]), max_size=2)
    if NoneType in arguments:
        return st.one_of(st.none(), anything(arguments[0]))
    if hint in MESSAGE_TYPES:
        return st.deferred(lambda: values(hint))
    if issubclass(hint, IntEnum):
        return st.sampled_from(hint)
    return SCALARS[hint]


def values(kind: type) -> st.SearchStrategy[Any]:
    """Any value of a message type."""
    built = st.builds(kind, **{name: anything(hint) for name, hint in get_type_hints(kind).items()})
    return built.filter(lambda span: span.text is None or span.media is None) if kind is Span else built


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_value_comes_back_the_same(kind: type, data: st.DataObject) -> None:
    value = data.draw(values(kind))
    again = MESSAGE_TYPES[kind].FromString(wire.encode(value).SerializeToString())
    assert wire.decode(kind, again) == value
    assert wire.from_json(kind, wire.to_json(value)) == value


@settings(max_examples=25, deadline=None)
@given(request=values(AnswerRequest), event=anything(Event.__args__[0]) | values(ConflictVerdict) | values(Delta))
def test_every_method_carries_its_values(request: AnswerRequest, event: Event) -> None:
    for method in (wire.ANSWER, wire.STREAM_ANSWER, wire.CHECK):
        assert method.unpack_request(method.pack_request(request)) == request
    assert wire.STREAM_ANSWER.unpack_response(wire.STREAM_ANSWER.pack_response((7, event))) == (7, event)


@pytest.mark.parametrize(
    "event", [Started(), ConflictVerdict(), Delta(), Done()], ids=lambda event: type(event).__name__
)
def test_an_event_with_nothing_in_it_is_still_an_event(event: Event) -> None:
    assert wire.STREAM_ANSWER.unpack_response(wire.STREAM_ANSWER.pack_response((0, event))) == (0, event)


def test_get_model_carries_a_name() -> None:
    assert wire.GET_MODEL.unpack_request(wire.GET_MODEL.pack_request("smollm2")) == "smollm2"
    info = ModelInfo(model="m", calibration="calibrated on 40 pairs")
    assert wire.GET_MODEL.unpack_response(wire.GET_MODEL.pack_response(info)) == info


# -- presence ----------------------------------------------------------------------------------------------------------


def test_zero_is_present_and_none_is_absent() -> None:
    zero = wire.encode(SpanReport(bias=0.0))
    assert zero.HasField("bias")
    assert not wire.encode(SpanReport()).HasField("bias")
    assert wire.decode(SpanReport, pb.SpanReport()).bias is None
    assert wire.decode(SpanReport, zero).bias == 0.0


def test_empty_text_and_empty_media_are_not_the_same_as_none() -> None:
    for span, held in ((Span(text=""), "text"), (Span(media=Media("", b"")), "media"), (Span(), None)):
        message = wire.encode(span)
        assert message.WhichOneof("content") == held
        assert wire.decode(Span, message) == span


def test_a_response_that_says_nothing_has_unknown_numbers_not_zeros() -> None:
    response = wire.ANSWER.unpack_response(b"")
    assert response == AnswerResponse()
    assert response.verdict.probability is None


# -- what does not fit -------------------------------------------------------------------------------------------------


def refused(call: Any, *arguments: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_unknown_enum_numbers_are_refused_with_every_path() -> None:
    message = pb.AnswerRequest(on_conflict=9, rebalance=pb.Rebalance(scope=17))
    violations = refused(wire.ANSWER.unpack_request, message.SerializeToString())
    assert set(violations) == {"on_conflict", "rebalance.scope"}
    assert "SCOPE_ALL = 2" in violations["rebalance.scope"]


def test_an_unknown_enum_in_a_response_is_not_the_callers_fault() -> None:
    data = pb.AnswerResponse(verdict=pb.Verdict(decision=9)).SerializeToString()
    with pytest.raises(XmguardError, match="same version") as caught:
        wire.ANSWER.unpack_response(data)
    assert not isinstance(caught.value, InvalidRequest)


def test_an_event_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(XmguardError, match="same version"):
        wire.STREAM_ANSWER.unpack_response(pb.StreamAnswerResponse(sequence=1).SerializeToString())


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (AnswerRequest(spans=("text",)), {"spans[0]"}),
        (AnswerRequest(spans="text"), {"spans"}),
        (AnswerRequest(spans=None), {"spans"}),
        (AnswerRequest(question=5, decoding=Decoding(max_tokens=-1)), {"question", "decoding.max_tokens"}),
        (AnswerRequest(decoding=Decoding(max_tokens=2**32, seed=2**64)), {"decoding.max_tokens", "decoding.seed"}),
        (AnswerRequest(on_conflict="ABSTAIN"), {"on_conflict"}),
        (AnswerRequest(rebalance={"policy": "none"}), {"rebalance"}),
        (AnswerRequest(rebalance=Rebalance(bias={"a": "x", "b": 1.0})), {'rebalance.bias["a"]'}),
        (AnswerRequest(rebalance=Rebalance(parameters=3)), {"rebalance.parameters"}),
        (AnswerRequest(spans=(Span(), Span(text="\ud800"))), {"spans[1].text"}),
        (AnswerRequest(spans=(Span(text="a", media=Media("image/png", b"")),)), {"spans[0]"}),
        (AnswerRequest(conflict_threshold=10**400), {"conflict_threshold"}),
        (AnswerRequest(rebalance=Rebalance(bias={'a"': 10**400})), {r'rebalance.bias["a\""]'}),
        (AnswerRequest(decoding=Decoding(max_tokens=10**5000)), {"decoding.max_tokens"}),
    ],
)
def test_values_of_the_wrong_type_are_named(request_: AnswerRequest, paths: set[str]) -> None:
    assert set(refused(wire.ANSWER.pack_request, request_)) == paths


def test_a_wrong_value_is_not_repeated_in_its_error() -> None:
    (description,) = refused(wire.encode, Rebalance(bias={"a": "private"})).values()
    assert "private" not in description


@pytest.mark.parametrize("method", wire.METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe"])
def test_bytes_that_are_no_message_are_malformed(method: wire.Method[Any, Any], data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        method.unpack_request(data)
    assert caught.value.reason is Reason.REQUEST_MALFORMED
    assert "google.protobuf" not in str(caught.value)


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_minus_infinity_in_a_bias_works_in_json() -> None:
    request = wire.from_json(AnswerRequest, '{"rebalance": {"bias": {"s1": "-Infinity", "s2": 2}}}')
    assert request.rebalance.bias == {"s1": -math.inf, "s2": 2.0}
    assert '"-Infinity"' in wire.to_json(request)


def test_nan_reaches_validation_only_when_it_is_spelt_out() -> None:
    assert math.isnan(wire.from_json(Rebalance, '{"bias": {"s1": "NaN"}}').bias["s1"])
    assert refused(wire.from_json, Rebalance, '{"bias": {"s1": NaN}}').keys() == {'bias["s1"]'}


def test_both_spellings_are_read_and_the_canonical_one_is_written() -> None:
    for name in ("onConflict", "on_conflict"):
        request = wire.from_json(AnswerRequest, json.dumps({name: "ON_CONFLICT_ABSTAIN"}))
        assert request.on_conflict is OnConflict.ABSTAIN
    assert json.loads(wire.to_json(request)) == {"onConflict": "ON_CONFLICT_ABSTAIN"}


def test_null_is_absent_and_text_stays_readable() -> None:
    assert wire.from_json(AnswerRequest, '{"conflictThreshold": null}').conflict_threshold is None
    assert "汉字" in wire.to_json(AnswerRequest(question="汉字"))


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('{"qestion": "x"}', {"qestion"}),
        ('{"spans": [{"text": "a"}, {"txet": "b"}]}', {"spans[1].txet"}),
        ('{"spans": [{"text": 1}, 3]}', {"spans[0].text", "spans[1]"}),
        ('{"spans": {}}', {"spans"}),
        ('{"spans": [null]}', {"spans[0]"}),
        ('{"rebalance": []}', {"rebalance"}),
        ('{"rebalance": {"bias": []}}', {"rebalance.bias"}),
        ('{"rebalance": {"bias": {"a": "x", "b": null, "c": 1}}}', {'rebalance.bias["a"]', 'rebalance.bias["b"]'}),
        ('{"rebalance": {"scope": "ALL"}, "decoding": {"maxTokens": 1.5}}', {"rebalance.scope", "decoding.max_tokens"}),
        ('{"rebalance": {"scope": 17}}', {"rebalance.scope"}),
        ('{"onConflict": 1, "on_conflict": 2}', {"on_conflict"}),
        ('{"spans": [{"text": "a", "media": {}}]}', {"spans[0]"}),
        ('{"spans": [{"media": {"data": "?"}}]}', {"spans[0].media.data"}),
        ('{"question": "\\ud800"}', {"question"}),
        ('{"decoding": {"maxTokens": %s}}' % ("9" * 5000), {"decoding.max_tokens"}),
        ('{"decoding": {"seed": -%s}}' % ("9" * 5000), {"decoding.seed"}),
        ('{"rebalance": {"bias": {"s1": 1%s}}}' % ("0" * 400), {'rebalance.bias["s1"]'}),
        ('{"rebalance": {"bias": {"a\\"]\\n": "x"}}}', {r'rebalance.bias["a\"]\n"]'}),
        ('{"conflictThreshold": 1%s}' % ("0" * 400), {"conflict_threshold"}),
        ('{"rebalance": {"scope": 1e400}, "onError": 1%s}' % ("0" * 400), {"rebalance.scope", "on_error"}),
    ],
)
def test_json_that_does_not_fit_names_every_field(text: str, paths: set[str]) -> None:
    assert set(refused(wire.from_json, AnswerRequest, text)) == paths


def test_the_largest_numbers_that_fit_are_read_exactly() -> None:
    assert wire.from_json(Decoding, f'{{"seed": {2**64 - 1}}}').seed == 2**64 - 1
    assert wire.from_json(Rebalance, '{"bias": {"s1": 1%s}}' % ("0" * 300)).bias["s1"] == 1e300


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", b"\xff", '{"model": "a", "model": "b"}', "[" * 100_000])
def test_text_that_is_no_json_object_is_refused(text: str | bytes) -> None:
    assert set(refused(wire.from_json, AnswerRequest, text)) == {"request"}


def test_of_very_many_problems_only_some_are_listed_and_it_is_said() -> None:
    found = refused(wire.from_json, AnswerRequest, '{"spans": [' + "1," * 5000 + "1]}")
    assert len(found) == MAX_PROBLEMS + 1
    assert "more wrong" in found["request"]


def test_a_key_that_is_given_twice_is_found_in_a_large_object() -> None:
    keys = ", ".join(f'"k{number}": 1' for number in range(100_000))
    with pytest.raises(InvalidRequest, match='"k7" is given twice'):
        wire.parse_json(f'{{{keys}, "k7": 2}}')


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("ask", "ask"),
        ("a b", '["a b"]'),
        ("a.b[0]", '["a.b[0]"]'),
        ("", '[""]'),
        ("\ud800'\n", r"""["\ud800'\n"]"""),
        ("k" * 80, "k" * 80),
        ("k" * 10_000_000, f'["{"k" * 80}…"]'),
    ],
    ids=lambda text: text[:12],
)
def test_a_key_that_callers_made_up_is_repeated_as_json_and_not_at_length(key: str, path: str) -> None:
    assert set(refused(wire.from_json, AnswerRequest, json.dumps({key: 1}))) == {path}
    within = refused(wire.from_json, AnswerRequest, json.dumps({"rebalance": {key: 1}}))
    assert set(within) == {f"rebalance{path}" if path.startswith("[") else f"rebalance.{path}"}
    of_map = refused(wire.from_json, AnswerRequest, json.dumps({"rebalance": {"bias": {key: "x"}}}))
    quoted = path if path.startswith("[") else f'["{path}"]'
    assert set(of_map) == {f"rebalance.bias{quoted}"}
    twice = refused(wire.from_json, AnswerRequest, f"{{{json.dumps(key)}: 1, {json.dumps(key)}: 2}}")
    assert twice == {"request": f"{quoted[1:-1]} is given twice in one object"}
    assert all(len(text.encode()) < 200 for text in (*within, *of_map))


def test_a_json_error_says_where() -> None:
    assert "line 2, column 13" in refused(wire.from_json, AnswerRequest, '{\n"question": oops}')["request"]


# -- errors ------------------------------------------------------------------------------------------------------------


def back(error: XmguardError) -> XmguardError:
    status = wire.to_status(error)
    return wire.from_status(error.code.name, status.message, status.SerializeToString())


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("reason", Reason)
def test_every_code_and_reason_comes_back(code: ErrorCode, reason: Reason) -> None:
    error = back(XmguardError("what happened", code=code, reason=reason))
    assert (error.code, error.reason, str(error)) == (code, reason, "what happened")


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest([FieldViolation("spans[2].text", "is empty"), FieldViolation("question", "汉字")]),
        InvalidRequest.field("spans", "too long", reason=Reason.PROMPT_TOO_LONG),
        errors.ModelNotFound("no such model"),
        errors.PluginError("broken"),
        errors.SetupIncomplete("run this"),
        errors.DeadlineExceeded("late"),
        errors.Cancelled("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back_as_what_they_were(error: XmguardError) -> None:
    again = back(error)
    assert type(again) is type(error)
    assert (str(again), again.code, again.reason, again.violations) == (
        str(error),
        error.code,
        error.reason,
        error.violations,
    )


def test_every_error_code_is_a_canonical_one() -> None:
    assert {code.value for code in ErrorCode} <= set(code_pb2.Code.keys())


def test_a_status_holds_what_other_clients_look_for() -> None:
    error = InvalidRequest.field("question", "is empty")
    error.retry_after = 1.5
    status = wire.to_status(error)
    info, retry, request = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    assert [detail.Unpack(kind) for detail, kind in zip(status.details, (info, retry, request), strict=True)] == [
        True
    ] * 3
    assert (status.code, info.reason, info.domain) == (code_pb2.INVALID_ARGUMENT, "REQUEST_INVALID", DOMAIN)
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert request.field_violations[0].field == "question"


@pytest.mark.parametrize("letter", ["a", "%", "é", "汉"])
@pytest.mark.parametrize("count", [1, 64, 5000])
def test_the_largest_error_fits_into_trailers(letter: str, count: int) -> None:
    error = InvalidRequest([FieldViolation(letter * 5000, letter * 5000)] * count)
    status = wire.to_status(error)
    assert status.ByteSize() < 4600
    again = back(error)
    omitted = count - len(again.violations)
    assert again.violations
    assert (f"and {omitted} more" in str(again)) is bool(omitted)


@pytest.mark.parametrize(
    ("code", "expected", "reason"),
    [
        ("UNAVAILABLE", ErrorCode.UNAVAILABLE, Reason.SERVER_UNREACHABLE),
        ("DEADLINE_EXCEEDED", ErrorCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
        ("UNKNOWN", ErrorCode.INTERNAL, Reason.INTERNAL),
        ("INVALID_ARGUMENT", ErrorCode.INVALID_ARGUMENT, Reason.REQUEST_INVALID),
    ],
)
@pytest.mark.parametrize("data", [None, b"", b"\xff\xff not a status"])
def test_a_status_from_somebody_else_keeps_its_code(
    code: str, expected: ErrorCode, reason: Reason, data: bytes | None
) -> None:
    error = wire.from_status(code, "said so", data)
    assert (error.code, error.reason, str(error)) == (expected, reason, "said so")


# -- boundaries --------------------------------------------------------------------------------------------------------


def test_importing_it_loads_no_transport() -> None:
    program = "import sys, xmguard.wire; sys.exit('grpc' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_values_stay_frozen_and_plain() -> None:
    usage = wire.decode(Usage, wire.encode(Usage(prompt_tokens=3)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        usage.prompt_tokens = 4  # type: ignore[misc]
    assert type(wire.decode(Rebalance, wire.encode(Rebalance(bias={"a": 1.0}))).bias) is dict
    assert wire.decode(Rebalance, wire.encode(Rebalance(scope=Scope.ALL))).scope is Scope.ALL
