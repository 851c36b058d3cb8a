"""Cases: a paragraph of XQuAD in two languages, or twice in one, as it is or with another answer in one of the two.

A conflict and its control differ in that answer alone. Questions are English.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from xmguard import Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.clqa.items import Variant, parse_variant, variants
from xmguard_research.benchmarks.xquad.parallel import ENGLISH, LANGUAGES, Parallel
from xmguard_research.benchmarks.xquad.replacing import LeftOut, alternating, find_donor, with_answer_of


def chosen(rows: Sequence[Parallel], names: Sequence[str] = ()) -> list[Variant]:
    """Variants by their names; without any, every language with itself and English with each other one.

    Raises:
        InvalidRequest: not every question has those languages.
    """
    languages = [language for language in LANGUAGES if all(language in row.contexts for row in rows)]
    return [parse_variant(name, languages) for name in names] or variants(languages)


def cases(rows: Sequence[Parallel], variant: Variant, *, seed: int = 0) -> Iterator[Case]:
    """Every question that gives a conflict in a variant.

    In two languages four cases: both orders, and of each a conflict and its control; which language is changed
    alternates over the questions. In one language three: the changed paragraph before and after the other, and one
    control for both, in which a paragraph stands twice.
    """
    first, second = variant
    for row, language in alternating(rows, variant):
        donor = find_donor(rows, row, (language,), variant, seed)
        if isinstance(donor, LeftOut):
            continue
        if first == second:
            yield from (_case(row, donor, variant, changed) for changed in (None, 0, 1))
        else:
            for order in (variant, (second, first)):
                yield _case(row, donor, order, None)
                yield _case(row, donor, order, order.index(language))


def counted(rows: Sequence[Parallel], variant: Variant, *, seed: int = 0) -> tuple[int, Counter[LeftOut]]:
    """How many questions a variant has cases of, and how many it leaves out and why."""
    found = [find_donor(rows, row, (language,), variant, seed) for row, language in alternating(rows, variant)]
    why = Counter(one for one in found if isinstance(one, LeftOut))
    why[LeftOut.UNCLEAR] = len(rows) - len(found)
    return len(rows) - why.total(), why


def _case(row: Parallel, donor: Parallel, languages: Variant, changed: int | None) -> Case:
    spans, answers = [], []
    for place, language in enumerate(languages):
        is_changed = place == changed
        text = with_answer_of(row, donor, language) if is_changed else row.contexts[language]
        spans.append(Span(f"s{place + 1}", text, language=language))
        answers.append((donor if is_changed else row).answers[ENGLISH])
    name = "-".join(languages)
    label = "control" if changed is None else f"changed-s{changed + 1}"
    return Case(
        id=f"{row.name}/{name}/{label}",
        item=row.paragraph,
        variant=name,
        question=row.question,
        spans=tuple(spans),
        conflict=changed is not None,
        answers=tuple(answers),
    )
