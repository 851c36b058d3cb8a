"""The schemas of values say the same as what writes and reads their JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.test_wire import values
from xmguard import wire
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, CheckResponse, ModelInfo


@pytest.mark.parametrize("kind", [AnswerRequest, AnswerResponse, CheckResponse, ModelInfo])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_whatever_is_written_fits(kind: type, data: st.DataObject) -> None:
    schema = wire.json_schema(kind, closed=True)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(wire.to_data(data.draw(values(kind))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"invented": 1},
        {"spans": {}},
        {"spans": [{"text": 7}]},
        {"onConflict": "MAYBE"},
        {"rebalance": {"bias": {"a": "much"}}},
        {"decoding": {"maxTokens": -1}},
    ],
    ids=str,
)
def test_what_would_be_refused_does_not(wrong: dict[str, Any]) -> None:
    assert list(Draft202012Validator(wire.json_schema(AnswerRequest, closed=True)).iter_errors(wrong))


@pytest.mark.parametrize("kind", [AnswerRequest, AnswerResponse, CheckResponse, ModelInfo])
def test_every_schema_has_one_type_or_a_choice_of_such(kind: type) -> None:
    def check(schema: dict[str, Any]) -> None:
        assert ("type" in schema) != ("anyOf" in schema), schema
        assert isinstance(schema.get("type", ""), str)
        assert "enum" not in schema or schema["type"] == "string"
        inner = [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
        for each in (*inner, *schema.get("anyOf", ()), *schema.get("properties", {}).values()):
            check(each)

    check(wire.json_schema(kind, closed=True))


def test_notes_stand_at_their_fields_and_responses_may_grow() -> None:
    schema = wire.json_schema(AnswerRequest, {"Span.text": "words"}, closed=False)
    assert schema["properties"]["spans"]["items"]["properties"]["text"] == {"type": "string", "description": "words"}
    assert "additionalProperties" not in schema
