"""MMIR's numbers of a run: open accuracy and multiple-choice score, over all pages and by category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from xmguard_research.benchmarks.derived import Number
from xmguard_research.benchmarks.mmir.page import CATEGORIES
from xmguard_research.benchmarks.summary import Row
from xmguard_research.metrics import Bootstrap, Estimate, share


def numbers(rows: Sequence[Row]) -> list[Number]:
    """Controls stand apart: that nothing is wrong with them is no part of the source's numbers."""
    return list(_made(rows))


def _made(rows: Sequence[Row]) -> Iterator[Number]:
    said = [row for row in rows if row.key.measure == "names_both"]
    chose = [row for row in rows if row.key.measure == "chooses_both"]
    controls = [row for row in rows if row.key.measure == "leaves_alone"]
    for category in ("", *CATEGORIES):
        name = f", {category}" if category else ""
        open_, choice = ([row for row in own if not category or row.key.variant == category] for own in (said, chose))
        if open_:
            yield Number(f"open accuracy{name}", _share(open_), len(open_))
        if choice:
            yield Number(f"choice score{name}", _mean(choice), len(choice))
    if controls:
        yield Number("choice, controls left alone", _share(controls), len(controls))


def _share(rows: Sequence[Row]) -> Estimate:
    return share([bool(row.found) for row in rows], [row.item for row in rows])


def _mean(rows: Sequence[Row]) -> Estimate:
    """Of the scores; where they are all 0 or 1, it is a share, whose interval is never without width."""
    scores = [row.amounts["score"] for row in rows]
    if set(scores) <= {0.0, 1.0}:
        return _share(rows)
    return Bootstrap([row.item for row in rows]).of_sums(np.divide, scores, [1.0] * len(scores))
