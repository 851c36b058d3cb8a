"""English: reduces short answers to their claims, and spots answers that report a disagreement.

Also reads what a model answers from a source in a language without a plugin of its own, as far as digits, `%` and
English words go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from xmguard.evidence import NormalizedAnswer
from xmguard.languages.english import phrases
from xmguard.languages.english.cleaning import FUNCTION_WORDS, QUESTION_WORDS, clean
from xmguard.languages.english.numerals import NUMBER_WORDS
from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.languages.reading import AnswerReader
from xmguard.languages.sentences import sentences
from xmguard.prompt_text import PromptText

_READER = AnswerReader(FUNCTION_WORDS, phrases.says_unknown, phrases.yes_or_no)


class English:
    """The built-in language."""

    tag = "en"
    name = "English"
    function_words: Collection[str] = FUNCTION_WORDS | QUESTION_WORDS
    number_words: Mapping[str, str] = NUMBER_WORDS
    prompt_text: PromptText = PROMPT_TEXT

    def normalize(self, answer: str) -> NormalizedAnswer:
        """Reduce a short answer to its claim; see `AnswerReader`."""
        return _READER.normalize(answer)

    def asks_for_number(self, question: str) -> bool:
        """Whether a question asks how many, how much, when, or for a year, a date or another measure."""
        return phrases.asks_for_number(question)

    def reports_conflict(self, answer: str) -> bool:
        """Whether the answer says that its sources disagree, rather than that they agree."""
        return phrases.reports_conflict(clean(answer))

    def sentences(self, text: str) -> Sequence[tuple[int, int]]:
        """Half-open character ranges of the sentences."""
        return sentences(text, self.tag)
