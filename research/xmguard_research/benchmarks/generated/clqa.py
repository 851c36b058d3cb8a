"""CLQA by the paper's protocol: topics, paragraphs that contradict each other in two languages, and their translations.

From the translations come the variants in one language, and the controls, which the paper does not have. Knows neither
endpoints nor files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xmguard_research.benchmarks.clqa.items import Change, Item
from xmguard_research.benchmarks.clqa.languages import ENGLISH
from xmguard_research.benchmarks.clqa.paragraphs import LONG, Paragraph
from xmguard_research.benchmarks.generated import checks
from xmguard_research.benchmarks.generated.prompts import Prompts
from xmguard_research.benchmarks.generated.writer import Writer

KIND = "generated"
BATCH = 20
"""Topics that are asked for at a time."""
WORDS = (80, 240)
"""Fewer or more words in the first paragraph are malformed; the prompt asks for the paper's 100 to 200."""
CALLS = {"paragraph": 1, "contradiction": 1, "translation": 4}
"""Of a topic, the last two for each language."""


@dataclass(frozen=True)
class Told:
    """A paragraph and the words in it that answer."""

    language: str
    text: str
    quote: str
    answer: str
    """In English."""

    def paragraph(self, paraphrase: int) -> Paragraph:
        """As an item has it."""
        start = self.text.index(self.quote)
        return Paragraph(self.language, paraphrase, self.text, start, start + len(self.quote), self.answer)


def topics(writer: Writer, prompts: Prompts, count: int) -> list[str]:
    """So many topics, none of them twice, asked for in batches that name those before.

    Raises:
        Unwritten: the model gives no further ones.
    """
    found: list[str] = []

    def fresh(reply: dict[str, Any]) -> list[str]:
        known = {topic.casefold() for topic in found}
        if type(reply["topics"]) is not list:
            raise ValueError("the topics are no list")
        new = [" ".join(checks.text(topic, "a topic").split()) for topic in reply["topics"]]
        unique = {topic.casefold(): topic for topic in new if topic.casefold() not in known}
        if not unique:
            raise ValueError("there is no topic that was not there before")
        return list(unique.values())

    while len(found) < count:
        known = "\n".join(f"- {topic}" for topic in found) or "- nothing yet"
        prompt = prompts.fill("topics", count=str(min(BATCH, count - len(found))), known=known)
        found += writer.write("topics", prompt, fresh)
    return found[:count]


def of_topic(
    writer: Writer, prompts: Prompts, name: str, topic: str, languages: Sequence[tuple[str, str]]
) -> list[Item]:
    """Items of a topic: with English and each language, both orders of three pairs that conflict and their controls.

    Args:
        writer: who is asked.
        prompts: what it is told.
        name: of the topic, for ids.
        topic: what it is about.
        languages: code and English name of each.

    Raises:
        Unwritten: some paragraph could not be had; then the topic has no items.
    """
    question, first = writer.write("paragraph", prompts.fill("paragraph", topic=topic), _report)
    found: list[Item] = []
    for code, said in languages:
        found += _items(writer, prompts, _Topic(name, topic, question, first), (code, said))
    return found


@dataclass(frozen=True)
class _Topic:
    name: str
    topic: str
    question: str
    first: Told


def _items(writer: Writer, prompts: Prompts, asked: _Topic, language: tuple[str, str]) -> Iterator[Item]:
    code, said = language

    def translated(told: Told, into: tuple[str, str]) -> Told:
        prompt = prompts.fill(
            "translation", paragraph=told.text, question=asked.question, quote=told.quote, language=into[1]
        )
        return writer.write("translation", prompt, lambda reply: _told(reply, into[0], told.answer))

    def contradicting(reply: dict[str, Any]) -> Told:
        told = _told(reply, code, checks.text(reply["answer"], "the answer"))
        if checks.letters(told.answer) == checks.letters(asked.first.answer):
            raise ValueError(f"the answer is still {told.answer!r}")
        return told

    english = (ENGLISH, "English")
    first = asked.first
    prompt = prompts.fill(
        "contradiction", paragraph=first.text, question=asked.question, answer=first.answer, language=said
    )
    other = writer.write("contradiction", prompt, contradicting)
    first_there = translated(first, language)
    first_back = translated(first_there, english)
    pairs = (
        ("conflict", f"{ENGLISH}-{code}", first, other),
        ("conflict", f"{ENGLISH}-{ENGLISH}", first, translated(other, english)),
        ("conflict", f"{code}-{code}", first_there, other),
        ("control", f"{ENGLISH}-{code}", first, first_there),
        ("control", f"{ENGLISH}-{ENGLISH}", first, first_back),
        ("control", f"{code}-{code}", first_there, translated(first_back, language)),
    )
    for label, variant, one, two in pairs:
        for swapped in (False, True):
            order = "swapped" if swapped else "straight"
            sides = (one.paragraph(0), two.paragraph(1))
            read = (sides[1], sides[0]) if swapped else sides
            conflict = label == "conflict"
            yield Item(
                id=f"{asked.name}/via-{code}/{variant}/{order}/{label}",
                topic=asked.name,
                event=asked.topic,
                kind=KIND,
                size=LONG,
                variant=variant,
                swapped=swapped,
                question=asked.question,
                paragraphs=read,
                answers=(read[0].value, read[1].value),
                change=Change(0 if swapped else 1, KIND, one.answer, two.answer) if conflict else None,
            )


def _report(reply: dict[str, Any]) -> tuple[str, Told]:
    told = _told(reply, ENGLISH, checks.text(reply["answer"], "the answer"))
    checks.within(told.text, WORDS, "paragraph")
    return checks.text(reply["question"], "the question"), told


def _told(reply: dict[str, Any], language: str, answer: str) -> Told:
    return Told(language, *checks.quoted(reply, "paragraph"), answer)
