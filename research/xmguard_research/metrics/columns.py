"""Columns that tell of the same rows: they are of one length, or it is said which are not."""

from __future__ import annotations

from collections.abc import Sized


def require_equal_lengths(**columns: Sized) -> None:
    """Raise ValueError with every column and its length, unless all are equally long.

    >>> require_equal_lengths(joint=["red"], text_only=["red", "blue"])
    Traceback (most recent call last):
    ValueError: joint (1), text_only (2): of different lengths; give the same rows in the same order
    """
    if len({len(column) for column in columns.values()}) > 1:
        told = ", ".join(f"{name} ({len(column)})" for name, column in columns.items())
        raise ValueError(f"{told}: of different lengths; give the same rows in the same order")
