"""Tables of a language that cannot be what is meant are refused, with the language and the field."""

from dataclasses import replace

import pytest

from xmguard.evidence import AnswerKind
from xmguard.languages.english import English
from xmguard.languages.local import LocalLanguage, NumberWords, Tables

TABLES = Tables(
    tag="xx",
    name="Testish",
    numbers=NumberWords(spelled={"un": 1, "du": 2}, scales={"mil": 1000, "bilion": 0}, bare_scales=frozenset({"mil"})),
    months=tuple(f"mo{letter}" for letter in "abcdefghijkl"),
    units={"km": "kilo kilos", "°c": "grado"},
    yes=r"oc|(?P<Loud>\boc!)",
    no="na",
    unknown=r"\bse\S+ dit",
    conflict="contra",
    no_conflict="na contra",
    asks_number=r"\bquant\b",
    function_words="de la",
    prompt_text=English.prompt_text,
    times=(r"(?P<hour>\d{1,2})h(?P<minute>\d{2})?",),
    rewrites=((r"(\d) de (\d)", r"\1.\2"),),
)


def numbers(**changes):
    return {"numbers": replace(TABLES.numbers, **changes)}


def test_sound_tables_are_a_language():
    said = LocalLanguage(TABLES).normalize("du mil kilos")
    assert (said.kind, said.value, said.unit) == (AnswerKind.NUMBER, "2000", "km")


def test_no_end_of_a_range_is_the_claim():
    language = LocalLanguage(replace(TABLES, ranges=("# a #",)))
    said = {answer: language.normalize(answer) for answer in ("du a 3 kilos", "1.5 a 3 kilos", "2021 a 3 grado")}
    assert [(one.kind, one.value) for one in said.values()] == [
        (AnswerKind.TEXT, "2-3 km"),
        (AnswerKind.TEXT, "1.5-3 km"),
        (AnswerKind.NUMBER, "3"),  # a year only tells when
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"months": TABLES.months[:11]}, "months: 11 entries; twelve are needed"),
        ({"months": (*TABLES.months[:11], " ")}, "months: 12 entries; twelve are needed, each with the names"),
        ({"units": {"kilometre": "kilo"}}, r"units: kilometre not known; known are %, usd, "),
        ({"conflict": "contra("}, r"conflict: is no pattern, missing \), unterminated subpattern at position 6"),
        ({"times": (*TABLES.times, "[")}, r"times\[1\]: is no pattern"),
        ({"times": (r"(\d+)h",)}, r"times\[0\]: has the groups none; hour is needed"),
        ({"times": (r"(?P<hour>\d+)h(?P<minutes>\d+)",)}, r"times\[0\]: has the groups hour, minutes; hour is needed"),
        ({"rewrites": ((r"(\d)", r"\2"),)}, r"rewrites\[0\]: the template names group 2; the pattern has 1"),
        ({"ranges": ("# a #", "# fins")}, r"ranges\[1\]: has 1 ends; two are needed, each written as #"),
        ({"ranges": ("(# a #",)}, r"ranges\[0\]: is no pattern"),
        ({"yes": "Oc"}, "yes: O never occurs in folded text; write 'o'"),
        ({"no": "nà|né"}, "no: à é never occurs in folded text; write 'ae'"),
        ({"unknown": ""}, "unknown: matches the empty text"),
        ({"unknown": "|dit"}, "unknown: matches the empty text"),
        ({"weekdays": "lun Mar"}, "weekdays: M never occurs"),
        (numbers(spelled={"mil": 1000}), "numbers.spelled: 'mil' is 1000; 0 to 999 are spelled"),
        (numbers(scales={"mil": 1500}, bare_scales=frozenset()), "numbers.scales: 'mil' is 1500; a power of ten"),
        (numbers(bare_scales=frozenset({"cent"})), "numbers.bare_scales: cent not among the scales"),
        (numbers(half_of="*"), "numbers.half_of: is no pattern"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused_by_language_and_field(changes, expected):
    with pytest.raises(ValueError, match=f"^Testish: {expected}"):
        LocalLanguage(replace(TABLES, **changes))


def test_everything_wrong_is_told_at_once():
    with pytest.raises(ValueError, match=r"conflict: .*; times.*; months: "):
        LocalLanguage(replace(TABLES, conflict="(", times=("x",), months=()))
