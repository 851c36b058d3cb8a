"""English passes the contract of languages, which notices each way in which a language can go wrong."""

from __future__ import annotations

import pytest

from xmguard.evidence import AnswerKind, NormalizedAnswer
from xmguard.languages.english import English
from xmguard.testing import LanguageContract


class TestEnglish(LanguageContract):
    language = English()
    yes, no = "yes", "no"
    not_stated = ["It is not stated.", "I don't know."]
    conflicts = ["The sources contradict each other."]
    no_conflicts = ["The sources do not contradict each other.", "The bridge is red."]
    number_questions = ["How many people died?", "When did it open?"]
    other_questions = ["Who built the bridge?"]
    sentences = ["Dr. Smith came at 8 a.m. sharp. ", "Did he? ", "Yes."]


TESTS = [name for name in vars(LanguageContract) if name.startswith("test_")]


class Broken(English):
    """English with one thing wrong."""

    def __init__(self, **wrong):
        for name, value in wrong.items():
            setattr(self, name, value)


def text(value):
    return NormalizedAnswer(AnswerKind.TEXT, value)


def reading(wrong):
    """Normalises as English but where `wrong` has something to say."""
    return lambda answer: wrong(answer) or English().normalize(answer)


def raising(answer):
    raise ValueError(answer)


BREAKS = {
    "test_it_describes_itself": [{"tag": "english"}, {"name": " "}],
    "test_any_text_is_read_and_reading_what_was_read_changes_nothing": [
        {"normalize": raising},
        {"reports_conflict": raising},
        {"asks_for_number": raising},
        {"normalize": lambda answer: text(f"{answer}!")},
        {"normalize": lambda answer: text("")},
    ],
    "test_a_rambling_answer_takes_seconds_at_most": [{"normalize": lambda answer: int(answer[:1] + "9" * len(answer))}],
    "test_digits_are_read_as_in_english": [
        {"normalize": reading(lambda answer: text("x") if "25" in answer else None)}
    ],
    "test_english_answers_are_read_as_in_english_or_not_at_all": [
        {"normalize": reading(lambda answer: English().normalize("1 usd") if answer == "$1,500" else None)},
        {"normalize": reading(lambda answer: English().normalize("12 October") if answer == "10 out of 12" else None)},
    ],
    "test_yes_and_no_are_told_apart": [
        {"normalize": reading(lambda answer: text("no") if answer.startswith("no") else None)},
        {"normalize": reading(lambda answer: text("yes") if answer == "Yes" else None)},
    ],
    "test_not_stated_claims_nothing": [
        {"normalize": reading(lambda answer: text("it") if "stated" in answer else None)}
    ],
    "test_conflicts_are_told_from_agreement": [
        {"reports_conflict": lambda answer: False},
        {"reports_conflict": lambda answer: "contradict" in answer},
    ],
    "test_questions_for_numbers_are_told_from_others": [
        {"asks_for_number": lambda question: False},
        {"asks_for_number": lambda question: True},
    ],
    "test_words_are_folded_as_they_are_looked_up": [
        {"function_words": ["The"]},
        {"function_words": ["où"]},
        {"number_words": {"vier": "four"}},
        {"number_words": {"fünf": "5"}},
    ],
    "test_sentences_tile_any_text": [
        {"sentences": lambda text: []},
        {"sentences": lambda text: [(0, len(text) + 1)]},
        {"sentences": lambda text: [(0, len(text)), (0, len(text))]},
    ],
    "test_sentences_end_where_they_end": [{"sentences": lambda text: [(0, len(text))]}],
}


def test_every_check_has_a_language_that_fails_it():
    assert set(BREAKS) == set(TESTS)


@pytest.mark.parametrize(("test", "wrong"), [(test, wrong) for test, breaks in BREAKS.items() for wrong in breaks])
def test_a_broken_language_does_not_pass(test, wrong):
    class Tests(TestEnglish):
        language = Broken(**wrong)

    with pytest.raises((AssertionError, ValueError)):
        getattr(Tests(), test)()
