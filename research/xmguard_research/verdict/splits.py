"""Which fold an item belongs to, for good: a hash of its name, so that adding data moves nothing."""

from __future__ import annotations

from hashlib import sha256

FOLDS = 5


def fold(item: str) -> int:
    """Fold of an item, 0 to 4; all of its pairs, in every yardstick, share it. Probes are held out by it."""
    return _part(item)


def fitting_fold(item: str) -> int:
    """The same for weights, unrelated to `fold`: the items of one fold of a probe are spread over all of these."""
    return _part(f"fit {item}")


def _part(name: str) -> int:
    return int(sha256(name.encode()).hexdigest(), 16) % FOLDS
