"""Suites by name, as cases. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.cases import Case, of_clqa
from xmguard_research.benchmarks.clqa.items import items, parse_variant


def cases(suite: str, count: int, variants: str, size: str) -> list[Case]:
    """The cases of the first items of a suite, every variant in both orders, conflicts and controls.

    Args:
        suite: a name of `SUITES`.
        count: how many items, of which every one gives several cases.
        variants: some of the suite's, with commas; empty for all of them.
        size: of the texts, if the suite has several.

    Raises:
        InvalidRequest: there is no such suite, variant or size, or it has not that many items.
    """
    if suite not in SUITES:
        raise InvalidRequest.field("suite", f"there is no {suite!r}; there are {', '.join(SUITES)}")
    return SUITES[suite](count, variants, size)


def _clqa(count: int, variants: str, size: str) -> list[Case]:
    chosen = [parse_variant(one) for one in variants.split(",")] if variants else None
    return list(of_clqa(items(count, chosen=chosen, sizes=[size])))


SUITES: Mapping[str, Callable[[int, str, str], list[Case]]] = {"clqa": _clqa}
