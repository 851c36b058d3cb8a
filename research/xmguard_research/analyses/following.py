"""Which source an answer follows: it gives what that source is known to answer, and not what another one does.

An answer gives a known one if the claim that a language plugin reads in it is the same, or if it holds it word for word
(`harm.is_right`). It is read in English and in the languages of the sources, because small models keep the notation of
what they read. A name in another script than the known answer's is not recognised: such answers follow neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from xmguard.context import ENGLISH
from xmguard.contracts import Language
from xmguard.plugins import Registry
from xmguard.verdict.equality import Agreement, compare
from xmguard_research.benchmarks.cases import Case
from xmguard_research.harm import is_right


def gives(answer: str, known: str, registry: Registry, tags: Sequence[str] = ()) -> bool:
    """Whether an answer, read in English and in the languages `tags`, gives a known one, which is English; never ""."""
    if not known.strip():
        return False
    english: Language = registry.languages.items[ENGLISH]
    if is_right(answer, known, english):
        return True
    claim = english.normalize(known)
    others = [language for tag in dict.fromkeys(tags) if (language := registry.language(tag)) is not None]
    return any(compare(language.normalize(answer), claim) is Agreement.SAME for language in others)


def written_in(case: Case) -> list[str]:
    """Tags of the languages that the sources of a case are said to be in."""
    return [span.language for span in case.spans if span.language]


def source_followed(answer: str, case: Case, registry: Registry) -> int | None:
    """Position of the source that an answer to a conflict follows; None if it gives no known answer or several."""
    tags = written_in(case)
    given = [place for place, known in enumerate(case.answers) if gives(answer, known, registry, tags)]
    return given[0] if len(given) == 1 else None
