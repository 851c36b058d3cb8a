"""How often a rule says that sources contradict each other: of conflicts, and of controls. Knows no rule."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Rule:
    """How often a rule says that sources contradict each other, in one variant; None where there is nothing to ask."""

    name: str
    variant: str
    detected: float | None
    """Share of conflicts."""
    false_alarms: float | None
    """Share of controls."""


def rates(said: Iterable[tuple[K, bool, bool]]) -> Mapping[K, tuple[float | None, float | None]]:
    """Of (what is kept apart, whether it is a conflict, whether the rule says so): detected and false alarms by key.

    A share of nothing is None.
    """
    groups: dict[K, tuple[list[bool], list[bool]]] = {}
    for key, conflict, one in said:
        groups.setdefault(key, ([], []))[not conflict].append(one)
    return {key: (_share(conflicts), _share(controls)) for key, (conflicts, controls) in groups.items()}


def shown(value: float | None) -> str:
    """With two places, for a table."""
    return "-" if value is None else f"{value:.2f}"


def _share(said: Sequence[bool]) -> float | None:
    return sum(said) / len(said) if said else None
