"""Items: two paragraphs of a topic and its question, contradicting each other or not.

A conflict and its control differ in one paragraph, and there in the answer alone. Knows no prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.clqa.corpus import CLQA, Corpus
from xmguard_research.benchmarks.clqa.languages import ENGLISH, LANGUAGES
from xmguard_research.benchmarks.clqa.paragraphs import LONG, SIZES, Paragraph, paragraph
from xmguard_research.benchmarks.clqa.topics import TOPICS, Topic, topics
from xmguard_research.benchmarks.clqa.values import written

Variant = tuple[str, str]
"""Languages of a pair, `("en", "zh")`; `("zh", "zh")` is monolingual."""


@dataclass(frozen=True)
class Change:
    """How a conflict differs from its control."""

    paragraph: int
    """Which paragraph was changed, in the order of the item."""
    kind: str
    before: str
    """What it answers in the control, as `values` keeps it."""
    after: str


@dataclass(frozen=True)
class Item:
    """A question over two paragraphs, in the order in which they are read."""

    id: str
    topic: str
    """Identifies the topic: items of one stay together in folds and bootstrap draws."""
    event: str
    kind: str
    """Of the answer."""
    size: str
    variant: str
    """Its languages without regard to order: `en-zh`."""
    swapped: bool
    """Whether the variant's second language is read first; in `zh-zh` its second paraphrase."""
    question: str
    """English."""
    paragraphs: tuple[Paragraph, Paragraph]
    answers: tuple[str, str]
    """What each paragraph answers, written in English; equal if they do not contradict each other."""
    change: Change | None
    """None in a control."""

    @property
    def conflict(self) -> bool:
        """Whether the paragraphs answer the question differently."""
        return self.change is not None

    @property
    def languages(self) -> tuple[str, str]:
        """Of the paragraphs, in their order."""
        return self.paragraphs[0].language, self.paragraphs[1].language


def variants(languages: Sequence[str] = LANGUAGES) -> list[Variant]:
    """Every language with itself, and English with every other one."""
    return [(code, code) for code in languages] + [
        (ENGLISH, code) for code in languages if ENGLISH in languages and code != ENGLISH
    ]


def parse_variant(text: str, languages: Sequence[str] = LANGUAGES) -> Variant:
    """`en-zh` as languages.

    Raises:
        InvalidRequest: it does not name two of `languages`.
    """
    codes = text.split("-")
    if len(codes) != 2 or not set(codes) <= set(languages):
        raise InvalidRequest.field(
            "variant", f"{text!r} must be two of {', '.join(languages)}, such as en-{languages[-1]}"
        )
    return codes[0], codes[1]


def items(
    count: int = TOPICS,
    *,
    seed: int = 0,
    chosen: Sequence[Variant] | None = None,
    sizes: Sequence[str] = (LONG,),
    corpus: Corpus = CLQA,
) -> Iterator[Item]:
    """Every topic in every variant and size: both orders, and of each a conflict and its control.

    Args:
        count: how many topics.
        seed: whatever is drawn depends on it and the topic's number only.
        chosen: variants; None for `variants()`.
        sizes: some of `SIZES`.
        corpus: whose events are told.

    Raises:
        InvalidRequest: there are not that many topics, or no such size.
    """
    unknown = set(sizes) - set(SIZES)
    if unknown:
        raise InvalidRequest.field("size", f"{', '.join(sorted(unknown))} is not among {', '.join(SIZES)}")
    drawn = topics(corpus, count, seed=seed)
    pairs = variants() if chosen is None else chosen
    return (
        item for topic in drawn for variant in pairs for size in sizes for item in _of(corpus, topic, variant, size)
    )


def _of(corpus: Corpus, topic: Topic, variant: Variant, size: str) -> Iterator[Item]:
    stated, other = topic.answers
    kind, english = topic.event.kind, corpus.english
    paraphrases = (topic.first, 1 - topic.first)
    told = [paragraph(topic, corpus.language(variant[side]), paraphrases[side], size, stated) for side in range(2)]
    own = corpus.language(variant[topic.changed])
    twin = paragraph(topic, own, paraphrases[topic.changed], size, other)
    for swapped in (False, True):
        for conflict in (True, False):
            sides = [twin if conflict and side == topic.changed else told[side] for side in range(2)]
            read = (sides[1], sides[0]) if swapped else (sides[0], sides[1])
            changed = 1 - topic.changed if swapped else topic.changed
            answers = (written(kind, read[0].value, english), written(kind, read[1].value, english))
            yield _item(topic, variant, size, swapped, read, answers, changed if conflict else None)


def _item(
    topic: Topic,
    variant: Variant,
    size: str,
    swapped: bool,
    read: tuple[Paragraph, Paragraph],
    answers: tuple[str, str],
    changed: int | None,
) -> Item:
    name = "-".join(variant)
    kind = topic.event.kind
    order, label = "swapped" if swapped else "straight", "control" if changed is None else "conflict"
    return Item(
        id=f"{topic.name}/{size}/{name}/{order}/{label}",
        topic=topic.name,
        event=topic.event.name,
        kind=kind,
        size=size,
        variant=name,
        swapped=swapped,
        question=topic.question,
        paragraphs=read,
        answers=answers,
        change=None if changed is None else Change(changed, kind, *topic.answers),
    )
