"""Variants take turns and are timed. Knows nothing of models."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
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
    """Run every variant once a round, the first of a round being the second of the one before.

    Garbage is collected before each call and not during it. `tick` is called after each round.
    """
    names = list(variants)
    taken: dict[str, list[Timed]] = {name: [] for name in names}
    for turn in range(WARM_UP + repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            sample = _without_collection(variants[name])
            if turn >= WARM_UP:
                taken[name].append(sample)
        tick()
    return taken


def _without_collection(variant: Variant) -> Timed:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        return variant()
    finally:
        if was_enabled:
            gc.enable()
