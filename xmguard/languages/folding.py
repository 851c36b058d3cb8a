"""Folds a text letter by letter, so that a pattern in plain lower-case letters finds it where it stands.

Unlike `xmguard.verdict.words`, which folds for comparison, this keeps every character's position.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache


def folded(text: str) -> str:
    """The text without case and accents, of the same length: a letter that folds to several (ß) stays as it is."""
    return "".join(map(_letter, text))


@lru_cache(maxsize=4096)
def _letter(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character).casefold().replace("ı", "i")
    bare = "".join(mark for mark in decomposed if not unicodedata.category(mark).startswith("M"))
    return bare if len(bare) == 1 else character


def substitute(pattern: re.Pattern[str], text: str, render: Callable[[re.Match[str]], str | None]) -> str:
    """Replace what a pattern finds in the folded text; None leaves a find as it is."""
    pieces = []
    position = 0
    for match in pattern.finditer(folded(text)):
        rendered = render(match)
        if rendered is not None:
            pieces += [text[position : match.start()], rendered]
            position = match.end()
    return "".join([*pieces, text[position:]])
