"""Numbers in a language's digits and words, rewritten as English writes digits: "1.234,5" and "zwei Millionen".

Exact decimals. What two notations would read differently, or what is a part or a rank of something, is rewritten to a
form that no reader takes for a number (`1_234`, `2_Drittel`, `21th`), never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from xmguard.languages.english.numerals import canonical
from xmguard.languages.folding import folded, substitute
from xmguard.languages.local.tables import NumberWords, Tables

_TOKEN = re.compile(r"(?<![\w.,:/'])\d[\d.,']*\d")
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
"""A thousand in one notation, a little over one in another."""
_APOSTROPHES = re.compile(r"\d{1,3}(?:'\d{3})+(?:[.,]\d+)?")
_YEAR = re.compile(r"1\d{3}|20\d{2}|2100")
_WORD = re.compile(r"[^\W\d_]+")
_LONGEST = 9
"""Words of a spelled number below a thousand at most ("neuf cent quatre vingt dix sept")."""
_NEVER = "(?!)"


def unread(*pieces: str) -> str:
    """Pieces of what looks numeric, in a form that is no number to anybody."""
    return "_".join(pieces)


class Numbers:
    """Rewrites the numbers of one language."""

    def __init__(self, tables: Tables, unit: str) -> None:
        """`unit` is a pattern of the names of units."""
        words = tables.numbers
        self._words = words
        self._decimal, group = tables.decimal, re.escape(tables.group)
        self._grouped = re.compile(rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+(?:{tables.decimal}\d+)?" if group else _NEVER)
        self._fractional = re.compile(rf"\d+{re.escape(tables.decimal)}\d+")
        self._ordinal = re.compile(rf"(?<![\w.,:/'-])(\d{{1,3}})(?:{tables.ordinal or _NEVER})")
        self._fraction = re.compile(rf"(?<![\w.,:/'])(\d[\d.]*)[ -](?={tables.fraction or _NEVER})")
        scales = "|".join(sorted(map(re.escape, words.scales), key=len, reverse=True)) or _NEVER
        half = words.and_half or _NEVER
        self._scaled = re.compile(
            rf"(?<![\w.,:/'])(\d+(?:\.\d+)?)(?P<before> ?(?:{half}))?(?P<scales>(?:[ -]?(?:{scales})(?![^\W\d_]))+)\.?"
            rf"(?P<after> ?(?:{half})(?![^\W\d_]))?"
        )
        self._halved = re.compile(rf"(?<![\w.,:/'])(\d+) ?(?:{half})(?![^\W\d_])")
        self._halved_unit = re.compile(rf"(?<![\w.,:/'])(\d+)(?P<unit>[ -](?:{unit})) (?:{half})(?![^\W\d_])")
        self._half_of = re.compile(rf"(?<![\w-])(?:{words.half_of or _NEVER})(?=[ -]?(?:{scales})(?![^\W\d_]))")
        self._and_half = re.compile(rf"[ -](?:{half})(?![^\W\d_])")
        self._glued = re.compile(rf"(?<![^\W\d_])([^\W\d_]*?)({words.glued or _NEVER})([^\W\d_]*)(?![^\W\d_])")
        self._counted = re.compile(rf"[ -](?:{unit}|{half})(?![^\W\d_])")

    def digits(self, text: str) -> str:
        """Numbers in digits; call it before anything else writes digits in English notation."""
        if self._decimal != ".":
            text = _TOKEN.sub(lambda match: self._plain(match[0]), text)
        return substitute(self._ordinal, text, lambda match: f"{match[1]}th ")

    def words(self, text: str) -> str:
        """Numbers in words, then scales and halves behind digits, then parts, which are no numbers."""
        text = substitute(self._scaled, substitute(self._glued, text, self._part), self._scale)
        # After the scales behind digits: "12 mil" is not 12 and 1000.
        text = substitute(self._scaled, self._spelled(text), self._scale)
        # After what ends in a half: "one and a half million" holds "half million".
        text = substitute(self._half_of, text, lambda match: "0.5")
        text = substitute(self._scaled, text, self._scale)
        text = substitute(self._halved_unit, text, lambda match: f"{match[1]}.5{match['unit']}")
        text = substitute(self._halved, text, lambda match: f"{match[1]}.5")
        return substitute(self._fraction, text, lambda match: unread(match[1], ""))

    def _plain(self, token: str) -> str:
        if token.isdecimal():
            return token
        if _APOSTROPHES.fullmatch(token):
            return token.replace("'", "").replace(",", ".")
        if self._grouped.fullmatch(token):
            plain = "".join(c for c in token if c.isdecimal() or c == self._decimal).replace(self._decimal, ".")
        elif self._fractional.fullmatch(token) and not _AMBIGUOUS.fullmatch(token):
            plain = canonical(Decimal(token.replace(self._decimal, ".")))
        elif _AMBIGUOUS.fullmatch(token):
            return unread(*re.split("[.,]", token))
        else:
            return token
        return unread(*plain.split(".")) if _AMBIGUOUS.fullmatch(plain) else plain

    def _part(self, match: re.Match[str]) -> str | None:
        before, scale, after = match.groups()
        if (before and before not in self._words.spelled) or (after and after not in self._words.spelled):
            return None
        return " ".join(piece for piece in (before, scale, after) if piece)

    def _spelled(self, text: str) -> str:
        bare = folded(text)
        found = list(_WORD.finditer(bare))
        pieces, position, index = [], 0, 0
        while index < len(found):
            value, scale, taken = self._value(bare, found, index)
            if taken:
                end = found[index + taken - 1].end()
                if half := self._and_half.match(bare, end):  # "deux millions et demi"
                    value, end = value + Decimal(scale) / 2, half.end()
                pieces += [text[position : found[index].start()], canonical(value)]
                position = end
            index += taken or 1
            while index < len(found) and found[index].start() < position:
                index += 1
        return "".join([*pieces, text[position:]])

    def _value(self, bare: str, found: list[re.Match[str]], start: int) -> tuple[Decimal, int, int]:
        """Value of the number that begins with a word, its last scale, and how many words it takes: 0 for none."""
        words = list(_together(bare, found, start))
        below, taken = self._below_thousand(words, 0)
        if not taken and (words[0] not in self._words.bare_scales):
            return Decimal(0), 0, 0
        total, current, smallest = 0, below, 10**18
        while taken < len(words):
            scale = self._words.scales.get(words[taken])
            if scale and scale < smallest and (current or not total):
                total, current, smallest, taken = total + max(current, 1) * scale, 0, scale, taken + 1
            elif scale and total and not current:  # "dos mil millones"
                total, smallest, taken = total * scale, scale, taken + 1
            elif total and not current:
                joined = int(words[taken] == self._words.joiner)
                below, more = self._below_thousand(words, taken + joined)
                if not below or below >= smallest:
                    break
                current, taken = below, taken + joined + more
            else:
                break
        only = words[0] if taken == 1 else ""
        if only in self._words.never_alone and not self._counted.match(bare, found[start].end()):
            return Decimal(0), 0, 0
        return Decimal(total + current), 1 if current or not total else smallest, taken

    def _below_thousand(self, words: list[str], start: int) -> tuple[int, int]:
        for length in range(min(_LONGEST, len(words) - start), 0, -1):
            value = self._words.spelled.get("".join(words[start : start + length]))
            if value is not None:
                return value, length
        return 0, 0

    def _scale(self, match: re.Match[str]) -> str | None:
        scales = [self._words.scales[scale] for scale in _scales(match["scales"], self._words)]
        after_a_year = _YEAR.fullmatch(match[1]) and match["scales"].strip(" -") in self._words.bare_scales
        if not all(scales) or after_a_year:  # "en 2021 mil personas"
            return unread(match[1], *match["scales"].split())
        value = Decimal(match[1]) + (Decimal("0.5") if match["before"] or match["after"] else 0)
        for scale in scales:
            value *= scale
        return canonical(value)


def _scales(text: str, words: NumberWords) -> list[str]:
    """The scales in a run of them, which may be written together."""
    by_length = sorted(map(re.escape, words.scales), key=len, reverse=True)
    return re.findall("|".join(by_length), text)


def _together(bare: str, found: list[re.Match[str]], start: int) -> Iterator[str]:
    """Words from there on that are parted by a space or hyphen only."""
    yield found[start][0]
    for one, other in zip(found[start : start + 16], found[start + 1 : start + 17], strict=False):
        if bare[one.end() : other.start()] not in (" ", "-"):
            return
        yield other[0]


def single_words(numbers: NumberWords) -> Mapping[str, str]:
    """Spellings in one word to their digits, without those that mean something else alone."""
    alone = {word: str(value) for word, value in numbers.spelled.items() if word not in numbers.never_alone}
    return {word.replace("ß", "ss"): digits for word, digits in alone.items()}  # as it is looked up
