"""The built-in features pass the contract of features, which notices each way in which a feature can go wrong."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from xmguard.bias import AttentionBias
from xmguard.contracts import Branch
from xmguard.testing import AnsweredSpan, EvidenceCase, FeatureContract
from xmguard.verdict.features import built_in

FERRY = EvidenceCase(
    "When does the ferry to Ransey leave?",
    (
        AnsweredSpan("The ferry to Ransey leaves at 8:15, from pier 2.", "at 8:15"),
        AnsweredSpan("Le ferry pour Ransey part à 9:40.", "9:40", "fr"),
        AnsweredSpan("The Ransey ferry leaves at 11:30 with 12 cars.", "11:30 with 12 cars"),
        AnsweredSpan("No ferry leaves any more.", "It has gone"),
    ),
    probed={("s1", "s2"): (2.0, 0.5, -1.0), ("s3", "s4"): (0.0, 1.0, -2.0), ("s2", "s3"): (900.0, -900.0, 0.0)},
)

for feature in built_in():
    name = f"Test{type(feature).__name__}"
    globals()[name] = type(name, (FeatureContract,), {"feature": feature, "cases": [FERRY]})


class Feature:
    """The difference of the answers' lengths, or what a test wants."""

    name = "lengths"
    summary = "tokens by which the answers differ in length"
    conflict = comparable = 0

    def __init__(self, value=None, **attributes):
        self.value = value or (lambda reading, a, b: abs(len(a.own) - len(b.own)))
        vars(self).update(attributes)

    def measure(self, reading):
        spans = {span.span_id: span for span in reading.evidence.spans}
        return {(a, b): self.value(reading, spans[a], spans[b]) for a, b in reading.pairs}


def contract(feature, *cases):
    class Tests(FeatureContract):
        pass

    Tests.feature, Tests.cases = feature, cases or (FERRY,)
    return Tests()


CALLS = []


def counting(reading, a, b):
    CALLS.append(a)
    return float(len(CALLS))


def named_by_ids_joined(reading, a, b):
    branch = Branch(f"{a.span_id}:{b.span_id}", reading.tail(f"\n{a.text}"), AttentionBias())
    return reading.session.score([(branch, reading.ids("x"))])[0][0]


def changing(reading, a, b):
    a.under.clear()
    return 1.0


def pass_all(tests):
    """Every test of the contract, as pytest runs them."""
    for name in (name for name in dir(tests) if name.startswith("test_")):
        test = getattr(tests, name)
        for case in tests.cases if "case" in test.__code__.co_varnames[: test.__code__.co_argcount] else [None]:
            test(*[case] * (test.__code__.co_argcount - 1))


@pytest.mark.parametrize(
    ("test", "value"),
    [
        ("test_values_are_finite_numbers_of_the_pairs_asked_for", lambda *_: math.nan),
        ("test_values_are_finite_numbers_of_the_pairs_asked_for", lambda *_: None),
        ("test_it_is_the_same_for_both_orders_of_a_pair", lambda _, a, b: float(len(a.own) - len(b.own))),
        ("test_measuring_is_pure", counting),
        ("test_measuring_is_pure", changing),
        ("test_what_spans_are_called_does_not_matter", lambda _, a, b: float(len(a.span_id))),
        ("test_what_spans_are_called_does_not_matter", named_by_ids_joined),
        ("test_a_span_without_text_is_put_up_with", lambda _, a, b: len(a.answer) / (len(a.text) * len(b.text))),
    ],
)
def test_a_broken_feature_does_not_pass(test, value):
    with pytest.raises((AssertionError, ValueError, ZeroDivisionError)):
        getattr(contract(Feature(value)), test)(FERRY)


def test_a_feature_that_gives_pairs_it_was_not_asked_for_does_not_pass():
    class Everything(Feature):
        def measure(self, reading):
            ids = [span.span_id for span in reading.evidence.spans]
            return {(a, b): 1.0 for a in ids for b in ids if a != b}

    with pytest.raises(AssertionError, match="was not asked for"):
        contract(Everything()).test_values_are_finite_numbers_of_the_pairs_asked_for(FERRY)
    with pytest.raises(AssertionError, match="'silent'"):
        contract(Everything()).test_a_span_that_does_not_answer_is_put_up_with(FERRY)


@pytest.mark.parametrize(
    "attributes", [{"name": "Answer length"}, {"summary": " "}, {"conflict": 2}, {"comparable": "up"}, {"measure": 1}]
)
def test_a_feature_that_describes_itself_wrongly_does_not_pass(attributes):
    contract(Feature()).test_it_describes_itself()
    wrong = Feature(**attributes)
    if attributes == {"measure": 1}:
        wrong = object()
    with pytest.raises(AssertionError):
        contract(wrong).test_it_describes_itself()


def test_a_feature_without_any_value_does_not_pass():
    class Silent(Feature):
        def measure(self, reading):
            return {}

    with pytest.raises(AssertionError, match="no case gives a value"):
        contract(Silent()).test_a_case_has_a_value()


def test_a_sound_feature_passes_what_the_broken_ones_do_not():
    pass_all(contract(Feature()))


def test_a_case_is_what_the_session_says_of_its_answers():
    with FERRY.reading() as reading:
        first, second, *_ = reading.evidence.spans
        said = reading.ids(first.answer)
        assert "".join(first.tokens) == "at 8:15"
        (own, under) = reading.session.score([(reading.alone[each], said) for each in ("s1", "s2")])
        assert first.own == pytest.approx(own, abs=1e-4)
        assert first.under["s2"] == pytest.approx(under, abs=1e-4)
        assert first.own != pytest.approx(under, abs=1e-2)
        assert (second.normalized.value, second.language) == ("9:40", "fr")
        assert set(reading.pairs) >= {("s1", "s2"), ("s3", "s4")}
    with replace(FERRY, probed={}).reading() as reading:
        assert reading.probed == {}


def test_the_feature_that_the_documents_show_passes():
    document = (Path(__file__).parents[2] / "plugins/README.md").read_text(encoding="utf-8")
    section = document.split("\n## A feature of the verdict\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names = {}
    exec(example, names)
    pass_all(names["TestLongerAnswer"]())
    names["test_it_counts_tokens"]()
