"""What an engine for a language must be told, as tables and patterns.

Names and patterns are matched against folded text (`xmguard.languages.folding`): lower case, no accents. Where a field
holds names, they are separated by spaces, and `_` stands for the space inside a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xmguard.prompt_text import PromptText


@dataclass(frozen=True)
class NumberWords:
    """How a language spells whole numbers."""

    spelled: Mapping[str, int]
    """Folded spellings of 0 to 999 with spaces and hyphens left out, all the variants that occur."""
    scales: Mapping[str, int]
    """Folded words for powers of ten from a thousand on; 0 where the word is another power elsewhere, and not read."""
    joiner: str = ""
    """What may stand between a scale and what follows it ("mil *e* duzentos")."""
    never_alone: frozenset[str] = frozenset()
    """Spellings that mean something else unless a scale, another numeral or a unit follows: "one" as an article."""
    bare_scales: frozenset[str] = frozenset()
    """Scales that need no number before them: "mil" is 1000."""
    half_of: str = ""
    """Pattern of "half a", before a scale."""
    and_half: str = ""
    """Pattern of "and a half", after a number or its scale."""
    glued: str = ""
    """Pattern of scales that are written together with what surrounds them ("zweitausend")."""


@dataclass(frozen=True)
class Tables:
    """One language."""

    tag: str
    name: str
    numbers: NumberWords
    months: tuple[str, ...]
    """Twelve times the names of a month, inflected and short ones too."""
    units: Mapping[str, str]
    """Canonical symbol (`xmguard.verdict.units`, `%`) to its names, inflected ones too."""
    yes: str
    """Pattern of the words that answer "yes" when they stand alone."""
    no: str
    unknown: str
    """Pattern of a clause that says the answer is not stated or not known."""
    conflict: str
    """Pattern of a sentence that says sources disagree."""
    no_conflict: str
    """Pattern of a sentence that takes this back."""
    asks_number: str
    """Pattern of questions for a number, a measure or a date."""
    function_words: str
    """Words that carry no claim of their own; without those that tell claims apart ("before", "not", "less")."""
    prompt_text: PromptText
    telling: str = ""
    """Words before numbers that do tell claims apart, so no function words; neither makes a name of what follows."""
    unit_link: str = ""
    """Pattern of what may stand between a number and its unit ("millones *de* euros")."""
    decimal: str = ","
    group: str = "."
    """What groups digits beside the spaces of typography; empty for none."""
    weekdays: str = ""
    date_between: str = r"\s+"
    """Pattern between day and month, and between month and year."""
    date_after_day: str = ""
    """Pattern of what may follow a day's number ("3er", "3.")."""
    date_end: str = ""
    """Pattern of what may be glued to a date, for languages that inflect it."""
    date_separators: str = "."
    """What separates the fields of a numeric date, day first: only the marks that are the language's own."""
    times: tuple[str, ...] = ()
    """Patterns of times of day, with groups `hour` and perhaps `minute`, `am`, `pm`, `night` (both, by the hour)."""
    minus: str = ""
    """Pattern of the word before a negative number, but not where it means "less" ("al *menos* 5")."""
    unread: str = ""
    """Pattern of what no number beside it is read for: a quarter to eight, dozens."""
    ordinal: str = ""
    """Pattern of what makes the digits before it an ordinal."""
    ranges: tuple[str, ...] = ()
    """Patterns of ranges with `#` for each of the two ends ("zwischen # und #"); neither end is the claim."""
    fraction: str = ""
    """Pattern of what makes the number before it a part of something ("two thirds")."""
    but: str = ""
    """Words that begin a contrasting clause."""
    when: str = ""
    """Pattern of plain words for "in" before a year ("im jahr"); not of those that say since when or until when."""
    rewrites: tuple[tuple[str, str], ...] = ()
    """Patterns and what replaces them (a template of `re.Match.expand`), before anything else is read."""
    rewrites_of_numbers: tuple[tuple[str, str], ...] = ()
    """The same once numbers are digits in English notation: what stands before a number and belongs behind it."""
    signs: Mapping[str, str] = field(default_factory=dict)
    """Signs of money that mean something else than in English, or are not known there, to their symbols."""
    abbreviations: str = ""
    """Words whose full stop ends no sentence, beside those that every language shares."""
