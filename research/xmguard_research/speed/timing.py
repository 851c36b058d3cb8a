"""Variants take turns and are timed. Knows nothing of models."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

WARM_UP = 1
"""Rounds that are run and dropped: first calls pay for thread pools, allocator growth and lazy imports."""

Tokens = tuple[tuple[int, ...], ...]
"""Decoded token ids, one tuple per sequence."""


@dataclass(frozen=True)
class Timed:
    """One call of a variant. It times itself, because what comes before the clock starts is its own business."""

    seconds: float
    tokens: Tokens = ()
    """Empty where sequences of variants cannot be compared."""


Variant = Callable[[], Timed]


@dataclass(frozen=True)
class Cell:
    """Variants that are compared with each other, under one setting."""

    experiment: str
    case: Mapping[str, int | str]
    """The setting, for example context and batch."""
    divisor: int
    """What the seconds of a sample are divided by to be shown: tokens for a time per token, otherwise 1."""
    build: Callable[[ExitStack], Mapping[str, Variant]]
    """Prepares the variants, untimed; what they hold open is closed with the stack."""


def interleave(
    variants: Mapping[str, Variant], *, repeats: int, tick: Callable[[], None] = lambda: None
) -> dict[str, list[Timed]]:
    """Every sample of every variant, those of `rounds`. `tick` is called after each round."""
    taken: dict[str, list[Timed]] = {name: [] for name in variants}
    for samples in rounds(variants, repeats=repeats):
        for name, sample in samples.items():
            taken[name].append(sample)
        tick()
    return taken


def rounds(
    variants: Mapping[str, Variant], *, repeats: int, turn: Callable[[str], None] = lambda name: None
) -> Iterator[Mapping[str, Timed]]:
    """Run every variant once a round, the first of a round being the second of the one before.

    Gives the samples of each round when it is over; those of the warm-up are dropped, so that it gives none. Garbage is
    collected before each call and not during it. `turn` is called with the name of a variant that is about to be run.
    """
    names = list(variants)
    for number in range(WARM_UP + repeats):
        first = number % len(names)
        samples = {}
        for name in names[first:] + names[:first]:
            turn(name)
            samples[name] = _without_collection(variants[name])
        yield samples if number >= WARM_UP else {}


def _without_collection(variant: Variant) -> Timed:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        return variant()
    finally:
        if was_enabled:
            gc.enable()
