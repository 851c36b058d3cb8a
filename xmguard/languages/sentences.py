"""Cuts a text of any language into sentences, by characters. Rules and a few abbreviations, no model.

Follows the idea of UAX #29: a full stop ends a sentence only where what follows does not go on with it; the full stops
of scripts that have one of their own always do. Where it is unsure it does not cut, because a quotation that holds a
sentence too many can still be read. Thai and its like mark no ends of sentences, so only their paragraphs are cut.
Knows nothing of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_STOPS = "。｡．！？‼⁇⁈⁉‽⸮؟۔।॥።፧፨။។៕᠃᠉։܀܁܂᙮꓿꘎꛳꫰꯫"
"""Ends of sentences in scripts that need no space after them."""
_OPENING = "\"'“”„‟‘’‚‹›«»([{¿¡「『【《〈（［｛*_~`#>|•‣▪-–—"
"""What may stand before a sentence's first letter."""
_CLOSING = "\"'”’»›」』)]}】》〉）］｝*_`"
_CLOSING_IN_GERMAN = "“‘«‹"
"""These open elsewhere, so they close only before a space."""
_SPACELESS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Scripts in which a Latin stop is followed by no space either."""

# Every run is looked at from its first character only and given back nowhere, so that any text takes linear time.
_END = re.compile(
    rf"(?<![.!?…{_STOPS}])(?P<stops>[.!?…{_STOPS}]++)"
    # What closes, and marks of notes ("[3]"); French puts a space before its closing quotes.
    rf"(?P<closing>(?:[{re.escape(_CLOSING)}]|[{_CLOSING_IN_GERMAN}](?=\s|\Z)"
    rf"|\[\d{{1,3}}\]|[ \u00a0\u202f][»›](?=\s|\Z))*+)(?P<space>\s*+)"
)
_PARAGRAPH = re.compile(r"\n(?:[^\S\n]*+\n\s*+|(?=[^\S\n]*+(?:[-*•‣▪–—#>|]|\d{1,3}[.)])[^\S\n]))|\u2029\s*+")
"""A blank line, or a line break before an item of a list; others only wrap a line."""
_ACRONYM = re.compile(r"(?:[^\W\d_]{1,3}\.)+[^\W\d_]{1,3}")
"""Letters with full stops between them, the last one left out: "e.g", "U.S"."""
_MAY_END = frozenset({"a.m", "p.m"})
"""The acronyms that end sentences more often than not where a capital follows."""
_COUNT_WITH_STOPS = "bs cs da de dsb et eu fi fo hr hsb hu is lb lv nb nn no pl sk sl sr tr"
_ORDINALS = frozenset(_COUNT_WITH_STOPS.split())
"""Languages that write an ordinal with a full stop: "3. Oktober"."""
_LONGEST_WORD = 24

_NAMES_FOLLOW = """
    adj adm av bkz bzgl bzw capt cf cmdr col dipl doç dott dr dra dña eng evtl frk frú frl gen ggf gob hr hra ing inkl
    insb jfr lic lt maj mgr mio mlle mln mme mmes mr mrd mrs ms msgr mt mtro prof profa rev sgt sig sog sr sra srta st
    sta ste sto str svo uds vd vds vgl vs zzgl örn डॉ श्री प्रो тов ул
"""
_NUMBERS_FOLLOW = """
    abb abs anm apr approx art aug avr bd bl ca cap ch chap cl dec dez dic déc eds ene eq fasc feb febr fev fig figs
    févr gl jan janv juil jul jun kap kl lfd mar mart mrt nos nov nr num nº núm oct okt ott pag pp pág págs sec sect sep
    sept seç sn tab tel vol vols no yp zn
"""
_BEFORE_NAMES = frozenset(_NAMES_FOLLOW.split())
"""Abbreviations that a name or another word follows, whatever its case; without those that end sentences as well."""
_BEFORE_NUMBERS = frozenset(_NUMBERS_FOLLOW.split())
"""Abbreviations when a number follows; words at other times."""


def sentences(text: str, language: str = "", abbreviations: Collection[str] = ()) -> tuple[tuple[int, int], ...]:
    """Half-open character ranges of the sentences; they tile the text, and white space belongs to what it follows.

    A piece without a letter or digit is no sentence and joins the one before it. Empty text has no sentences.

    Args:
        text: any.
        language: BCP-47 tag, which says what a full stop after a number means; empty when unknown.
        abbreviations: lower-case words of the language whose full stop ends no sentence, beside those known here.
    """
    ordinals = language.split("-")[0].lower() in _ORDINALS
    paragraphs = [match.end() for match in _PARAGRAPH.finditer(text)]
    cuts = [*paragraphs, len(text)]
    begins = paragraph = 0
    for match in _END.finditer(text):
        while paragraph < len(paragraphs) and paragraphs[paragraph] <= match.start():
            begins = max(begins, paragraphs[paragraph])
            paragraph += 1
        if _ends(text, match, ordinals, begins, abbreviations):
            begins = match.end()
            cuts.append(begins)
    return _pieces(text, sorted(set(cuts)))


def _ends(text: str, match: re.Match[str], ordinals: bool, begins: int, abbreviations: Collection[str]) -> bool:
    """Whether the sentence that begins at `begins` ends with these stops."""
    stops, closing, space = match["stops"], match["closing"], match["space"]
    last, following = stops[-1], _following(text, match.end())
    if last in _STOPS:
        return not (last == "．" and following.isdigit() and not space)
    if not following:
        return True
    if not space:
        return _SPACELESS.match(following) is not None
    if following.islower():  # "Really?" she asked.
        return last in "!?" and not closing
    if following in ",;:":
        return False
    if stops != ".":
        return True
    return not _abbreviates(text, match.start(), following, ordinals, begins, abbreviations)


def _abbreviates(
    text: str, stop: int, following: str, ordinals: bool, begins: int, abbreviations: Collection[str]
) -> bool:
    """Whether the full stop at `stop` belongs to the word before it."""
    start = stop
    while start > begins and stop - start < _LONGEST_WORD and not text[start - 1].isspace():
        start -= 1
    word = text[start:stop].strip(_OPENING)
    folded = word.lower()
    if word.isdecimal():  # the number of an item, or an ordinal
        return (ordinals and len(word) <= 2) or not text[begins:start].strip(_OPENING + " \t")
    if word.isalpha() and (len(word) == 1 or (len(word) == 2 and word[0] == word[1] and word.isupper())):
        return True  # an initial, or a Spanish plural: EE. UU.
    if _ACRONYM.fullmatch(word):
        return folded not in _MAY_END
    return folded in abbreviations or folded in _BEFORE_NAMES or (following.isdecimal() and folded in _BEFORE_NUMBERS)


def _following(text: str, position: int) -> str:
    """The first character from there on that opens nothing; empty at the end."""
    while position < len(text) and (text[position] in _OPENING or text[position].isspace()):
        position += 1
    return text[position : position + 1]


def _pieces(text: str, ends: list[int]) -> tuple[tuple[int, int], ...]:
    """The pieces up to these ends, those without a letter or digit joined to the one before, or else to the next."""
    found: list[tuple[int, int]] = []
    start = seen = 0
    for end in ends:
        if any(character.isalnum() for character in text[seen:end]):
            found.append((start, end))
            start = end
        elif found:
            found[-1] = (found[-1][0], end)
            start = end
        seen = end
    if not found:
        return ((0, len(text)),) if text else ()
    return tuple(found)
