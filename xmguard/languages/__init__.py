"""The built-in language and language detector, offered through the same hooks as a plugin's.

Light to import: the detector's model and the date parser are loaded on first use.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import Language
from xmguard.hookspecs import hookimpl
from xmguard.languages.detection import detect
from xmguard.languages.english import English


@hookimpl
def xmguard_languages() -> Iterable[Language]:
    """English."""
    return [English()]


@hookimpl
def xmguard_detect_language(text: str) -> str | None:
    """What py3langid is confident of."""
    return detect(text)
