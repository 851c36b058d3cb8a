"""Tells languages by their script where a script decides.

Counts letters; knows no words. Scripts that several languages share (Latin, Cyrillic, Arabic, Devanagari) decide
nothing here.
"""

from __future__ import annotations

import re

_SIGNS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30ff\uff66-\uff9d]")
_DECIDING = {
    "ko": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"),
    "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "hy": re.compile("[\u0530-\u058f]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "ta": re.compile("[\u0b80-\u0bff]"),
    "te": re.compile("[\u0c00-\u0c7f]"),
    "kn": re.compile("[\u0c80-\u0cff]"),
    "ml": re.compile("[\u0d00-\u0d7f]"),
    "si": re.compile("[\u0d80-\u0dff]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "lo": re.compile("[\u0e80-\u0eff]"),
    "ka": re.compile("[\u10a0-\u10ff]"),
    "km": re.compile("[\u1780-\u17ff]"),
}
_JAPANESE = 0.1
"""Share of kana among kana and Chinese characters from which they are Japanese; Chinese borrows single ones (の)."""


def script_language(text: str) -> str | None:
    """The language that most of the letters' script decides on; None when no such script has more than half."""
    letters = sum(character.isalpha() for character in text)
    signs, kana = len(_SIGNS.findall(text)), len(_KANA.findall(text))
    if 2 * (signs + kana) > letters:
        return "ja" if kana >= _JAPANESE * (signs + kana) else "zh"
    return next((tag for tag, script in _DECIDING.items() if 2 * len(script.findall(text)) > letters), None)
