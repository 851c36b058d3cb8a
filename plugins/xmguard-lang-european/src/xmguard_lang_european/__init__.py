"""Spanish, French, German, Portuguese and Italian for xmguard: tables for the engine of `xmguard.languages.local`.

One module a language; none knows of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xmguard.contracts import Language
from xmguard.hookspecs import hookimpl
from xmguard.languages.local import LocalLanguage
from xmguard_lang_european.french import FRENCH
from xmguard_lang_european.german import GERMAN
from xmguard_lang_european.italian import ITALIAN
from xmguard_lang_european.portuguese import PORTUGUESE
from xmguard_lang_european.spanish import SPANISH

_ERA = re.compile(r"(?<=\d) ?([ad])\.? ?C\b\.?")


def _eras(text: str) -> str:
    """Before and after Christ in Spanish, Portuguese and Italian, as words that are neither acres ("ac") nor alike."""
    return _ERA.sub(r" \1_C", text)


@hookimpl
def xmguard_languages() -> Iterable[Language]:
    """The five languages."""
    with_eras = [LocalLanguage(tables, _eras) for tables in (SPANISH, PORTUGUESE, ITALIAN)]
    return [*with_eras, *(LocalLanguage(tables) for tables in (FRENCH, GERMAN))]
