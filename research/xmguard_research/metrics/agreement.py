"""Agreement of judges beyond chance: Krippendorff's alpha for nominal ratings.

Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: any number of judges, ratings may
be missing. Neither scipy nor scikit-learn has it, and the library of that name is licensed under the GPL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from xmguard_research.metrics.columns import require_equal_lengths


def krippendorff_alpha(*judges: Sequence[Hashable | None]) -> float | None:
    """Alpha = 1 - D_o / D_e: observed over expected disagreement; 1 is perfect, 0 is chance, below 0 is worse.

    D_o is the share of pairs of ratings within a unit that differ, units of m ratings weighted with m; D_e is the same
    over all pairable ratings. A unit with fewer than two ratings has no pairs and is left out.

    Args:
        judges: of each judge the rating of every unit, None where there is none.

    Returns:
        None if nothing is pairable or all ratings are equal: no disagreement is possible, so none can be ruled out.

    Raises:
        ValueError: there are fewer than two judges, or they rate different numbers of units.

    >>> krippendorff_alpha([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    0.09523809523809523
    """
    if len(judges) < 2:
        raise ValueError("agreement takes two judges or more")
    require_equal_lengths(**{f"judge {number}": ratings for number, ratings in enumerate(judges, start=1)})
    units = [[rating for rating in unit if rating is not None] for unit in zip(*judges, strict=True)]
    pairable = [unit for unit in units if len(unit) > 1]
    ratings = [rating for unit in pairable for rating in unit]
    expected = _differing_pairs(ratings)
    if not expected:
        return None
    observed = sum(_differing_pairs(unit) / (len(unit) - 1) for unit in pairable)
    return 1.0 - (len(ratings) - 1) * observed / expected


def _differing_pairs(ratings: Sequence[Hashable]) -> int:
    """Ordered pairs of two ratings that differ."""
    return len(ratings) ** 2 - sum(count**2 for count in Counter(ratings).values())
