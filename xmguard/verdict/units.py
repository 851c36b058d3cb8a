"""Which canonical units measure the same thing, and how to convert them.

Symbols only: how a language names them is the language plugin's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

CURRENCIES = frozenset({"usd", "eur", "gbp", "jpy", "cny", "inr", "rub", "try", "isk", "brl", "cent"})
"""Not convertible: the rate of the day is unknown, and so is what a cent is a hundredth of."""

TEMPERATURES = frozenset({"°c", "°f"})
"""Not converted: rounding in one scale is coarser than a change that matters in the other."""

_FACTORS: Mapping[str, tuple[str, str]] = {
    "mm": ("length", "0.001"),
    "cm": ("length", "0.01"),
    "m": ("length", "1"),
    "km": ("length", "1000"),
    "in": ("length", "0.0254"),
    "ft": ("length", "0.3048"),
    "yd": ("length", "0.9144"),
    "mi": ("length", "1609.344"),
    "mg": ("mass", "0.000001"),
    "g": ("mass", "0.001"),
    "kg": ("mass", "1"),
    "t": ("mass", "1000"),
    "lb": ("mass", "0.45359237"),
    "oz": ("mass", "0.028349523125"),
    "ml": ("volume", "0.001"),
    "l": ("volume", "1"),
    "s": ("time", "1"),
    "min": ("time", "60"),
    "h": ("time", "3600"),
    "day": ("time", "86400"),
    "week": ("time", "604800"),
    "month": ("time", "2629746"),
    "year": ("time", "31556952"),
    "decade": ("time", "315569520"),
    "century": ("time", "3155695200"),
    "m2": ("area", "1"),
    "ha": ("area", "10000"),
    "acre": ("area", "4046.8564224"),
    "km2": ("area", "1000000"),
    "mi2": ("area", "2589988.110336"),
    "km/h": ("speed", "1"),
    "mph": ("speed", "1.609344"),
    "w": ("power", "1"),
    "kw": ("power", "1000"),
    "mw": ("power", "1000000"),
    "gw": ("power", "1000000000"),
}
"""Symbol to its dimension and its size in that dimension's base unit."""


def to_base(value: Decimal, unit: str) -> tuple[str, Decimal] | None:
    """Dimension and the value in its base unit (SI, but litres and km/h), or None for a unit without conversion."""
    if unit not in _FACTORS:
        return None
    dimension, factor = _FACTORS[unit]
    return dimension, value * Decimal(factor)
