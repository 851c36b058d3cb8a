"""What a run may cost, before it, and what it did cost. Prices are the user's to say. Knows no endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from xmguard_research.benchmarks.generated.clqa import BATCH, CALLS
from xmguard_research.benchmarks.generated.prompts import PLACES, Prompts

_PARAGRAPH = 280
"""Tokens of a paragraph of 150 words; in English fewer, in other scripts more."""
_TOPIC = 16
_CHARACTERS = 4
"""Of a prompt's template, in a token."""


@dataclass(frozen=True)
class Prices:
    """Dollars for a million tokens; 0 where nothing is to be said about it."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Dollars."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


@dataclass(frozen=True)
class Estimate:
    """Without any reply that is malformed or there already."""

    calls: int
    tokens_in: int
    tokens_out: int


def estimate(prompts: Prompts, topics: int, languages: int) -> Estimate:
    """Calls and tokens of so many topics: a paragraph in a prompt or a reply counts as 280 tokens."""
    batches = ceil(topics / BATCH)
    calls, read = batches, batches * (_template(prompts, "topics") + topics * _TOPIC // 2)
    written = topics * _TOPIC
    for step, times in CALLS.items():
        number = topics * times * (1 if step == "paragraph" else languages)
        holds = _PARAGRAPH if "paragraph" in PLACES[step] else 0
        calls += number
        read += number * (_template(prompts, step) + holds)
        written += number * (_PARAGRAPH + 2 * _TOPIC)
    return Estimate(calls, read, written)


def _template(prompts: Prompts, step: str) -> int:
    return len(prompts.templates[step]) // _CHARACTERS
