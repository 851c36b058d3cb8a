"""How a language says that sources disagree, as data for the rule judge: one table per language, and no logic.

Patterns are searched in text folded by `xmguard.languages.folding`: lower case, without accents.
"""

from __future__ import annotations

from dataclasses import dataclass

NEVER = r"(?!)"


@dataclass(frozen=True)
class Phrases:
    """One language's. Every field but the first two is a regular expression."""

    tag: str
    function_words: frozenset[str]
    """Folded words that tell the language, and that carry no claim: articles, prepositions, verbs of saying."""
    source: str
    """A noun for a source, or for what sources hold: paragraph, picture, information."""
    differ: str
    """Says that things differ."""
    alike: str
    """Says that things agree; denied, that they differ."""
    before: str
    """Denies what follows, at most `REACH` words later."""
    after: str
    """Denies what stands directly before it."""
    unreal: str
    """Makes the rest of its sentence a condition or a question: if, whether."""
    because: str
    """Begins a clause, so that no denial reaches beyond it: because, since."""
    reported: str
    """Makes a sentence the content of one source: the text says that."""
    sides: tuple[str, ...]
    """Mentions of a source, one pattern for each that can be told from the rest: the first, the second, the picture."""
    contrast: str
    """While, but, however."""
    silent: str
    """Says that a source leaves something open."""
    agrees: str
    """Also, likewise, the same."""
    yes: str
    no: str
    asks_same: str = NEVER
    """A question whether the sources lead to the same answer."""


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())
