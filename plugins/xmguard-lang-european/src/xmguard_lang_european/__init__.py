"""Spanish, French, German, Portuguese and Italian for xmguard: tables for the engine of `xmguard.languages.local`.

One module a language; none knows of the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import Language
from xmguard.hookspecs import hookimpl
from xmguard.languages.local import LocalLanguage
from xmguard_lang_european.french import FRENCH
from xmguard_lang_european.german import GERMAN
from xmguard_lang_european.italian import ITALIAN
from xmguard_lang_european.portuguese import PORTUGUESE
from xmguard_lang_european.spanish import SPANISH


@hookimpl
def xmguard_languages() -> Iterable[Language]:
    """The five languages."""
    return [LocalLanguage(tables) for tables in (SPANISH, FRENCH, GERMAN, PORTUGUESE, ITALIAN)]
