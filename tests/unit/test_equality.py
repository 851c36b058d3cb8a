from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmguard.evidence import AnswerKind, NormalizedAnswer
from xmguard.languages.english import English
from xmguard.verdict.equality import Agreement, compare
from xmguard.verdict.units import to_base

SAME, DIFFERENT, UNKNOWN = Agreement.SAME, Agreement.DIFFERENT, Agreement.UNKNOWN

CASES = [
    ("25%", "25 percent", SAME),
    ("25%", "twenty-five percent", SAME),
    ("25%", "15 percent", DIFFERENT),
    ("25%", "25", SAME),
    ("25%", "15", DIFFERENT),
    ("308", "The Panthers gave up 308 points", SAME),
    ("1,200 people", "1200", SAME),
    ("1,200 people", "1,200 km", DIFFERENT),
    ("5 km", "5000 m", SAME),
    ("5 km", "5 miles", DIFFERENT),
    ("26 miles", "42 km", SAME),
    ("5 km", "5 kg", DIFFERENT),
    ("three days", "72 hours", SAME),
    ("$25", "$25.00", SAME),
    ("$25", "€25", DIFFERENT),
    ("$3.5 million", "€3.2 million", UNKNOWN),
    ("50 cents", "$0.50", UNKNOWN),
    ("50 cents", "$50", DIFFERENT),
    ("50 cents", "75 cents", DIFFERENT),
    ("two decades", "20 years", SAME),
    ("two decades", "30 years", DIFFERENT),
    ("a 3 century old oak", "300 years", SAME),
    ("the 20th century", "20 years", UNKNOWN),
    ("$3.5 million", "3,500,000 dollars", SAME),
    ("25°C", "77°F", UNKNOWN),
    ("24.8%", "25%", UNKNOWN),
    ("24.3%", "25%", DIFFERENT),
    ("1999", "in 1999", SAME),
    ("2020", "2019", DIFFERENT),
    ("March 3, 2021", "3 March 2021", SAME),
    ("March 3, 2021", "2021-03-04", DIFFERENT),
    ("March 3, 2021", "March 2021", SAME),
    ("March 3, 2021", "April 2021", DIFFERENT),
    ("March 3", "3 March 2021", SAME),
    ("March 3", "2021", UNKNOWN),
    ("2021", "March 3, 2021", SAME),
    ("2020", "March 3, 2021", DIFFERENT),
    ("25", "March 3, 2021", UNKNOWN),
    ("Yes", "Yes, he is.", SAME),
    ("Yes", "No", DIFFERENT),
    ("Yes", "He is alive", UNKNOWN),
    ("a double-decker bus", "The double decker bus.", SAME),
    ("bus", "a red bus", UNKNOWN),
    ("Paris", "Paris, France", UNKNOWN),
    ("Paris", "It is in Paris.", SAME),
    ("Paris", "was in Paris", UNKNOWN),
    ("a kilometre long", "approximately a kilometre long", SAME),
    ("York", "New York", UNKNOWN),
    ("The mayor signed", "The deputy mayor signed", UNKNOWN),
    ("approved", "approved unanimously rejected", UNKNOWN),
    ("dogs are brown", "dogs are either black or white", UNKNOWN),
    ("rejected by the council", "rejected the council", UNKNOWN),
    ("It rose by 25% in 2021", "It rose by 25% in 2019", UNKNOWN),
    ("It rose by 25% in 2021", "It rose by 25%", SAME),
    ("25% of men", "25% of women", UNKNOWN),
    ("25% of men", "25%", SAME),
    ("25%", "not 25%", UNKNOWN),
    ("less than 25%", "more than 25%", UNKNOWN),
    ("It rose by 25%", "It rose to 25%", UNKNOWN),
    ("25%", "The yield improved by approximately 25%.", SAME),
    ("340 people were evacuated before the storm.", "340 people were evacuated.", SAME),
    ("340 people were evacuated before the storm.", "340 people were evacuated after the storm.", UNKNOWN),
    ("three cats on the left of the sofa", "three cats on the right", UNKNOWN),
    ("three cats on the left of the sofa", "two cats on the right", DIFFERENT),
    ("three cats on the left of the sofa and two on the right", "three cats on the left of the sofa", UNKNOWN),
    ("Yes, by 25%", "Yes, by 15%", UNKNOWN),
    ("Yes, by 25%", "Yes", SAME),
    ("Yes, at 8:15", "Yes, at 9:40", UNKNOWN),
    ("1.200 people", "1,200 people", UNKNOWN),
    ("1.200 people", "1.2 people", UNKNOWN),
    ("8:15", "8:15 PM", SAME),
    ("8:15", "08:15", SAME),
    ("8:15 AM", "8:15 PM", DIFFERENT),
    ("8:15 PM", "20:15", SAME),
    ("8:15 AM", "20:15", DIFFERENT),
    ("8:15", "20:15", UNKNOWN),
    ("12:15", "12:15 am", SAME),
    ("8:15", "9:40", DIFFERENT),
    ("The ferry leaves at 8:15 PM.", "The ferry leaves at 9:40 this summer.", DIFFERENT),
    ("8:15", "8", UNKNOWN),
    ("alive", "not alive", UNKNOWN),
    ("war", "before the war", UNKNOWN),
    ("platform", "platform no. 5 north", UNKNOWN),
    ("London", "Paris", UNKNOWN),
    ("John beat Mary", "Mary beat John", UNKNOWN),
    ("London", "25", UNKNOWN),
    ("", "", UNKNOWN),
    ("", "25%", UNKNOWN),
    ("Not mentioned", "Not stated", UNKNOWN),
]


@pytest.mark.parametrize(("a", "b", "expected"), CASES)
def test_compare_is_right_both_ways_round(a: str, b: str, expected: Agreement) -> None:
    x, y = English().normalize(a), English().normalize(b)
    assert (compare(x, y), compare(y, x)) == (expected, expected)


def number(value: str, unit: str = "") -> NormalizedAnswer:
    return NormalizedAnswer(AnswerKind.NUMBER, value, unit)


def test_float_noise_of_a_plugin_is_no_difference() -> None:
    assert compare(number(str(0.1 + 0.2)), number("0.3")) is SAME


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_numbers_that_are_none_are_not_compared(value: str) -> None:
    assert compare(number(value), number("1")) is UNKNOWN


def test_numbers_in_a_plugins_own_notation_are_compared_as_written() -> None:
    assert compare(number("XXV"), number("XXV")) is SAME
    assert compare(number("XXV"), number("XV")) is DIFFERENT


answers = st.builds(
    NormalizedAnswer,
    st.sampled_from(AnswerKind),
    st.one_of(st.text(max_size=12), st.decimals(allow_nan=False).map(str), st.dates().map(str)),
    st.sampled_from(["", "%", "usd", "eur", "km", "m", "°c"]),
)


@given(answers, answers)
def test_compare_is_symmetric_and_never_raises(a: NormalizedAnswer, b: NormalizedAnswer) -> None:
    assert compare(a, b) is compare(b, a)


@given(answers)
def test_an_answer_never_differs_from_itself(answer: NormalizedAnswer) -> None:
    assert compare(answer, answer) is not DIFFERENT


def test_units_convert_to_their_base() -> None:
    assert to_base(Decimal(2), "km") == ("length", Decimal(2000))
    assert to_base(Decimal(2), "usd") is None
