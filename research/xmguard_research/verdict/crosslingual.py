"""One paragraph in two languages: as translated, and with the answer changed in one of them.

A conflict puts the answer of another question of the same kind and shape, in the same language, in the place of every
mention of the answer; its consistent twin is the same two paragraphs untouched. Both come in both orders. Questions
stay English. In twins only a conflict has a changed paragraph, so a text that looks forged gives the label away;
four-way pairs have neither, each, or both of the paragraphs changed, so that no text does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

from xmguard_research.benchmarks.xquad.parallel import ENGLISH, Parallel
from xmguard_research.benchmarks.xquad.replacing import LeftOut, alternating, find_donor, with_answer_of
from xmguard_research.verdict.answers import Kind
from xmguard_research.verdict.pairs import Label, Pair

YARDSTICK = "crosslingual"
OTHERS = ("zh", "tr", "es", "de")
"""Languages that are paired with English."""


def twins(rows: Sequence[Parallel], other: str, *, seed: int = 0) -> Iterator[Pair]:
    """Four pairs a question: one paragraph changed and neither, each in both orders.

    Which language is changed alternates over the questions whose answer has a kind, in the order of `rows`; a question
    without another answer that fits gives no pairs.
    """
    for row, language in alternating(rows, (ENGLISH, other)):
        donor = find_donor(rows, row, (language,), (ENGLISH, other), seed)
        if not isinstance(donor, LeftOut):
            yield from _pairs(row, donor, other, f"{YARDSTICK}-en-{other}", [(language,), ()])


def four_way(rows: Sequence[Parallel], other: str, *, seed: int = 0) -> Iterator[Pair]:
    """Eight pairs a question: English changed, the other changed (conflicts), neither, both, each in both orders."""
    for row in rows:
        donor = find_donor(rows, row, (ENGLISH, other), (ENGLISH, other), seed)
        if not isinstance(donor, LeftOut):
            yardstick = f"{YARDSTICK}-4-en-{other}"
            yield from _pairs(row, donor, other, yardstick, [(ENGLISH,), (other,), (), (ENGLISH, other)])


def foreign(rows: Sequence[Parallel], other: str) -> Iterator[Pair]:
    """Two pairs a question of `twins`, for UNDETERMINED: its own paragraph comes first, one of another article second.

    Articles are told apart by the paragraph's first number. Which foreign paragraph is taken is fixed by position.
    """
    yardstick = f"{YARDSTICK}-foreign-en-{other}"
    for index, (row, _) in enumerate(alternating(rows, (ENGLISH, other))):
        strangers = [one for one in rows if one.paragraph.split("-")[0] != row.paragraph.split("-")[0]]
        stranger = strangers[(index * 37) % len(strangers)]
        for own, strange in ((ENGLISH, other), (other, ENGLISH)):
            texts = (row.contexts[own], stranger.contexts[strange])
            key = f"{yardstick}|{row.name}|own in {own}"
            yield Pair(key, row.paragraph, yardstick, row.question, texts, (own, strange), Label.UNDETERMINED)


def kinds(rows: Sequence[Parallel], other: str, *, seed: int = 0) -> str:
    """How many questions of each kind there are, and how many of them give twins and four-way pairs; Markdown."""
    asked = Counter(row.kind for row in rows)
    given = [
        Counter(by_name[name].kind for name in {pair.key.split("|")[1] for pair in made})
        for by_name in [{row.name: row for row in rows}]
        for made in (twins(rows, other, seed=seed), four_way(rows, other, seed=seed))
    ]
    lines = [f"| en and {other}: questions | asked | in twins | in four-way pairs |", "|---|---|---|---|"]
    for kind in Kind:
        lines.append(f"| {kind.value} | {asked[kind]} | {given[0][kind]} | {given[1][kind]} |")
    lines.append(f"| of no kind, left out | {asked[None]} | | |")
    return "\n".join(lines)


def _pairs(
    row: Parallel, donor: Parallel, other: str, yardstick: str, changes: Sequence[tuple[str, ...]]
) -> Iterator[Pair]:
    for changed, languages in product(changes, ((ENGLISH, other), (other, ENGLISH))):
        texts = {language: row.contexts[language] for language in languages}
        for language in changed:
            texts[language] = with_answer_of(row, donor, language)
        key = f"{yardstick}|{row.name}|{'-'.join(languages)}|changed:{'+'.join(changed) or 'none'}"
        label = Label.CONFLICT if len(changed) == 1 else Label.CONSISTENT
        first, second = languages
        yield Pair(key, row.paragraph, yardstick, row.question, (texts[first], texts[second]), languages, label)
