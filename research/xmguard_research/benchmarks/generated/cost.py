"""What a run may cost, before it, and what it did cost. Prices are the user's to say. Knows no endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from xmguard_research.benchmarks.generated import clqa, cmqa
from xmguard_research.benchmarks.generated.prompts import PLACES, Prompts

_PARAGRAPH = 280
"""Tokens of a paragraph of 150 words; in English fewer, in other scripts more."""
_DESCRIPTION = 200
"""Of an English one of 120 words."""
_PHOTOGRAPH = 425
"""What OpenAI charges gpt-4o for 640 x 480 pixels: two tiles of 170, and 85. Other models count otherwise."""
_TOPIC = 16
_CHARACTERS = 4
"""Of a prompt's template, in a token."""


@dataclass(frozen=True)
class Prices:
    """Dollars for a million tokens and for one picture; 0 where nothing is to be said about it."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0
    picture: float = 0.0

    def of(self, tokens_in: int, tokens_out: int, pictures: int = 0) -> str:
        """Dollars, in words.

        >>> Prices(2.5, 10, 0.04).of(1_000_000, 100_000, 50), Prices().of(7, 7)
        ('$5.50', 'no price given')
        """
        if self == Prices():
            return "no price given"
        return f"${(tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6 + pictures * self.picture:.2f}"


@dataclass(frozen=True)
class Estimate:
    """Without any reply that is malformed or there already."""

    calls: int
    tokens_in: int
    tokens_out: int
    pictures: int = 0


def of_topics(prompts: Prompts, topics: int, languages: int) -> Estimate:
    """Calls and tokens of so many topics: a paragraph in a prompt or a reply counts as 280 tokens."""
    batches = ceil(topics / clqa.BATCH)
    calls, read = batches, batches * (_template(prompts, "topics") + topics * _TOPIC // 2)
    written = topics * _TOPIC
    for step, times in clqa.CALLS.items():
        number = topics * times * (1 if step == "paragraph" else languages)
        holds = _PARAGRAPH if "paragraph" in PLACES["clqa"][step] else 0
        calls += number
        read += number * (_template(prompts, step) + holds)
        written += number * (_PARAGRAPH + 2 * _TOPIC)
    return Estimate(calls, read, written)


def of_triples(prompts: Prompts, triples: int) -> Estimate:
    """Calls, tokens and pictures of so many triples: a description counts as 200 tokens, a photograph as 425."""
    calls = pictures = read = written = 0
    for step, times in cmqa.CALLS.items():
        number = triples * times
        calls += number
        if step in cmqa.DRAWN:
            pictures += number
            continue
        holds = _DESCRIPTION if "description" in PLACES["cmqa"][step] else 0
        holds += _PHOTOGRAPH if step in cmqa.SEEING else 0
        read += number * (_template(prompts, step) + holds)
        written += number * (_DESCRIPTION + 2 * _TOPIC)
    return Estimate(calls, read, written, pictures)


def _template(prompts: Prompts, step: str) -> int:
    return len(prompts.templates[step]) // _CHARACTERS
