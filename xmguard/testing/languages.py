"""The tests that every language passes, English too.

    from xmguard.testing import LanguageContract

    class TestMine(LanguageContract):
        language = Mine()
        yes, no = "evet", "hayır"
        not_stated = ["Metinde belirtilmemiş."]
        conflicts = ["Kaynaklar çelişiyor."]
        no_conflicts = ["Kaynaklar çelişmiyor."]
        number_questions, other_questions = ["Kaç kişi öldü?"], ["Kim öldü?"]
        sentences = ["Köprü 3. Mart'ta açıldı. ", "Kimse gelmedi."]

Needs Hypothesis. Knows no language.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmguard.contracts import Language
from xmguard.evidence import AnswerKind
from xmguard.languages.english import English
from xmguard.testing.contract import Contract
from xmguard.verdict.equality import Agreement, compare
from xmguard.verdict.words import words

_ENGLISH = English()
_PLAIN = ("0", "7", "25", "25%", "-5", "1999", "1000000", "0.5", "3.5 km", "25 kg", "2024-03-05", "20:15", "")
"""What every language reads as English does: digits, symbols, ISO dates, the 24-hour clock."""
_ENGLISH_ANSWERS = """
    $1,500 | US$ 1,500 | $1.5 million | $12 million | €2 billion | €2 thousand | $5k | 25 in total | 30 in Madrid
    | 1 in 5 | 5 in 10 | No. 5 | No 5 | 20 miles per hour | 10 out of 12 | 3 out of 5 people | the recycling bin
    | Captain Kirk | 1 man | 3 man crew | 12 pm | 12 am | -5 degrees | minus 5 | two dozen | 2 dozen | 1 trillion
    | 1 m 78 | 10 may | 25 as of 2024 | March 3, 2024 | 8:15 pm | 20 mph | half a million | 1,234 | 1.234 | 12,345
    | 03/04/2024 | 2 mn | 5 wo | 5 real | 0.125 | CN¥25
"""
_SCRAPS = "0 7 25 1999 1,234 1.234 12,5 % $ € km kg - / : ' . , ! ? ( ) 2024-03-05 20:15 3."
_PIECES = ["\n", *_SCRAPS.split()]
_DIGITS_ONLY = re.compile(r"[\d.,/]+")
"""What is no English at all may be read in the language's own notation: "1.234", "03/04/2024"."""
_TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
# One failure at a time: several would come as a group, which is no AssertionError.
_SLOW = settings(max_examples=60, deadline=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck))


class LanguageContract(Contract):
    """Inherit, set the language and some of its sentences, and pytest collects the rest."""

    language: ClassVar[Language]
    yes: ClassVar[str]
    """The word that says yes."""
    no: ClassVar[str]
    not_stated: ClassVar[Sequence[str]]
    """Answers that say the source does not tell."""
    conflicts: ClassVar[Sequence[str]]
    """Sentences that say sources disagree."""
    no_conflicts: ClassVar[Sequence[str]]
    """Sentences that say they do not."""
    number_questions: ClassVar[Sequence[str]]
    """Questions for a number or a date."""
    other_questions: ClassVar[Sequence[str]]
    sentences: ClassVar[Sequence[str]]
    """A text in sentences, each with the white space that follows it."""

    def test_it_describes_itself(self) -> None:
        """A tag that spans can name, a name that people can read."""
        assert isinstance(self.language, Language)
        assert _TAG.fullmatch(self.language.tag), f"{self.language.tag!r} is no BCP-47 tag such as 'tr' or 'pt-BR'"
        assert self.language.name.strip()

    def test_any_text_is_read_and_reading_what_was_read_changes_nothing(self) -> None:
        """Never raises; folded text is folded."""
        samples = [self.yes, self.no, *self.not_stated, *self.conflicts, *self.sentences, *self.language.number_words]
        pieces = st.sampled_from([*_PIECES, *samples])
        mixed = st.lists(st.one_of(pieces, st.text(max_size=6)), max_size=6)

        @_SLOW
        @given(text=st.one_of(st.text(max_size=60), mixed.map("".join), mixed.map(" ".join)))
        def check(text: str) -> None:
            said = self.language.normalize(text)
            assert (said.kind is AnswerKind.NONE) == (said.value == ""), f"{text!r} became {said}"
            if said.kind is AnswerKind.TEXT:
                assert self.language.normalize(said.value) == said, f"{text!r} became {said}"
            self.language.reports_conflict(text)
            self.language.asks_for_number(text)

        check()

    def test_a_rambling_answer_takes_seconds_at_most(self) -> None:
        """Time grows in proportion to the length; 10 s of CPU are far more than that."""
        started = time.process_time()
        for piece in ("1,", "3. ", "9", f"{self.yes} ", self.no, self.sentences[0]):
            text = piece * (10_000 // len(piece))
            self.language.normalize(text)
            self.language.reports_conflict(text)
            self.language.sentences(text)
        assert time.process_time() - started < 10

    def test_digits_are_read_as_in_english(self) -> None:
        """Plain digits, symbols of units, ISO dates and times mean the same everywhere."""
        for text in _PLAIN:
            assert self.language.normalize(text) == _ENGLISH.normalize(text), text
        for number in (*range(0, 200, 13), 1999, 20, 10**6):
            assert self.language.normalize(str(number)) == _ENGLISH.normalize(str(number))

    def test_english_answers_are_read_as_in_english_or_not_at_all(self) -> None:
        """A model answers in English too; what the language's own notation would make of that never contradicts it."""
        for text in map(str.strip, _ENGLISH_ANSWERS.split("|")):
            said, english = self.language.normalize(text), _ENGLISH.normalize(text)
            assert compare(said, english) is not Agreement.DIFFERENT, f"{text!r} became {said}"
            own_notation = english.kind is AnswerKind.TEXT and _DIGITS_ONLY.fullmatch(text)
            if said.kind is not AnswerKind.TEXT and not own_notation:
                assert (said.kind, said.value) == (english.kind, english.value), f"{text!r} became {said}"

    def test_yes_and_no_are_told_apart(self) -> None:
        """In any case, with and without a full stop."""
        for word, value in ((self.yes, "yes"), (self.no, "no")):
            for text in (word, f"{word}.", word.capitalize()):
                said = self.language.normalize(text)
                assert (said.kind, said.value) == (AnswerKind.BOOLEAN, value), text

    def test_not_stated_claims_nothing(self) -> None:
        """Such an answer must not be compared with one."""
        assert self.not_stated
        for text in self.not_stated:
            assert self.language.normalize(text).kind is AnswerKind.NONE, text

    def test_conflicts_are_told_from_agreement(self) -> None:
        """Whether an answer says that its sources disagree."""
        assert self.conflicts
        assert self.no_conflicts
        assert [text for text in self.conflicts if not self.language.reports_conflict(text)] == []
        assert [text for text in self.no_conflicts if self.language.reports_conflict(text)] == []

    def test_questions_for_numbers_are_told_from_others(self) -> None:
        """What is asked for decides what two sources are compared by."""
        assert self.number_questions
        assert self.other_questions
        assert [text for text in self.number_questions if not self.language.asks_for_number(text)] == []
        assert [text for text in self.other_questions if self.language.asks_for_number(text)] == []

    def test_words_are_folded_as_they_are_looked_up(self) -> None:
        """A function word or numeral in another form is never found."""
        wrong = [word for word in self.language.function_words if words(word) != [word]]
        assert wrong == [], f"function words that no text holds once it is folded: {wrong}"
        for word, digits in self.language.number_words.items():
            assert words(word) in ([word], [digits]), f"{word!r} is not folded"
            assert digits.isdecimal(), f"{word!r} is {digits!r}, not digits"

    def test_sentences_tile_any_text(self) -> None:
        """Ranges are in order, inside the text, and leave nothing out."""

        @_SLOW
        @given(
            text=st.one_of(st.text(max_size=60), st.lists(st.sampled_from([*self.sentences, *_PIECES])).map("".join))
        )
        def check(text: str) -> None:
            found = self.language.sentences(text)
            assert "".join(text[start:end] for start, end in found) == text
            assert all(0 <= start < end <= len(text) for start, end in found)
            assert all(before[1] == after[0] for before, after in pairwise(found))

        check()

    def test_sentences_end_where_they_end(self) -> None:
        """On the text given."""
        text = "".join(self.sentences)
        assert [text[start:end] for start, end in self.language.sentences(text)] == list(self.sentences)
