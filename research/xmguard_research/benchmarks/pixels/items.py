"""Items: CLQA's, with each paragraph as text or as a picture of its words. Draws nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks import lines
from xmguard_research.benchmarks.clqa import items as clqa
from xmguard_research.benchmarks.clqa.items import Variant
from xmguard_research.benchmarks.clqa.paragraphs import SHORT, Paragraph
from xmguard_research.benchmarks.pixels.page import Page, laid_out

TOPICS = 400
TEXT, LETTERED = "text", "pixels"
VARIANTS = ("text-text", "text-pixels", "pixels-text", "pixels-pixels")
"""How the paragraphs are read, in their order."""
ENGLISH: Variant = ("en", "en")


@dataclass(frozen=True)
class Source:
    """A paragraph, and the page that shows it where it is not read as text."""

    paragraph: Paragraph
    page: Page | None


@dataclass(frozen=True)
class Item:
    """A question over two paragraphs, in the order in which they are read."""

    id: str
    topic: str
    """Items of one topic stay together in folds and bootstrap draws."""
    variant: str
    """One of `VARIANTS`, and the languages unless both are English: `text-pixels en-es`."""
    question: str
    sources: tuple[Source, Source]
    answers: tuple[str, str]
    conflict: bool


def items(
    count: int = TOPICS,
    *,
    seed: int = 0,
    variants: Sequence[str] = VARIANTS,
    languages: Variant = ENGLISH,
    size: str = SHORT,
) -> Iterator[Item]:
    """Every topic of CLQA in every variant: a conflict and its control.

    The four variants of a topic are of the same words. Paraphrases and what is changed take turns over topics, as CLQA
    has it; the order of the languages is as they are named.

    Raises:
        InvalidRequest: there is no such variant or size, not so many topics, or no typeface for a language.
    """
    unknown = [variant for variant in variants if variant not in VARIANTS]
    if unknown or not variants:
        raise InvalidRequest.field("variants", f"{unknown or 'nothing'} is not among {', '.join(VARIANTS)}")
    suffix = "" if languages == ENGLISH else f" {'-'.join(languages)}"
    for drawn in clqa(count, seed=seed, chosen=[languages], sizes=[size]):
        if drawn.swapped:
            continue
        label = "conflict" if drawn.conflict else "control"
        # A conflict and its control look alike: the page depends on the topic and the paraphrase, not on the value.
        pages = [laid_out(one.text, f"{drawn.topic}:{one.language}:{one.paraphrase}") for one in drawn.paragraphs]
        for variant in variants:
            sources = [
                Source(paragraph, page if kind == LETTERED else None)
                for paragraph, page, kind in zip(drawn.paragraphs, pages, variant.split("-"), strict=True)
            ]
            yield Item(
                id=f"{drawn.topic}/{size}/{'-'.join(languages)}/{variant}/{label}",
                topic=drawn.topic,
                variant=variant + suffix,
                question=drawn.question,
                sources=(sources[0], sources[1]),
                answers=drawn.answers,
                conflict=drawn.conflict,
            )


def line(item: Item) -> bytes:
    """The item as JSON with its line feed: everything that determines it but the number of pixels."""
    row = {
        "id": item.id,
        "topic": item.topic,
        "variant": item.variant,
        "question": item.question,
        "sources": [_row(source) for source in item.sources],
        "answers": item.answers,
        "conflict": item.conflict,
    }
    return lines.line(row)


def _row(source: Source) -> dict[str, object]:
    own = source.paragraph
    row: dict[str, object] = {"language": own.language, "text": own.text, "start": own.start, "end": own.end}
    # Where lines end depends on the typeface's file, so that the digest would too.
    return row if source.page is None else row | {"face": source.page.face, "look": source.page.look}
