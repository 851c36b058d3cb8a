"""Relative uncertainty of two unimodal runs, and the balance point at which a model follows both modalities equally.

Source: "When Modalities Conflict" (arXiv 2511.02243): entropy over the vocabulary at the answer token; the probability
of following a modality falls as its relative uncertainty grows. The logistic curve is our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmguard_research.metrics.amounts import amounts
from xmguard_research.metrics.columns import require_equal_lengths
from xmguard_research.metrics.draws import Array


def relative_uncertainty(text_entropy: float, image_entropy: float) -> float | None:
    """DH = 2 (H_t - H_v) / (H_t + H_v), in [-2, 2]; positive means that the text is the less certain one.

    Entropies are of the two unimodal runs, in one unit (`scipy.stats.entropy` gives nats). None if both are 0.

    Raises:
        ValueError: an entropy is negative or not finite.

    >>> relative_uncertainty(3.0, 1.0), relative_uncertainty(0.0, 1.0), relative_uncertainty(0.0, 0.0)
    (1.0, -2.0, None)
    """
    amounts(text_entropy=text_entropy, image_entropy=image_entropy)
    total = text_entropy + image_entropy
    return 2.0 * (text_entropy - image_entropy) / total if total else None


@dataclass(frozen=True)
class FollowCurve:
    """P(follow text) = 1 / (1 + exp(-(intercept + slope * dH)))."""

    intercept: float
    slope: float
    """Negative where the text is followed less the less certain it is."""

    @property
    def balance_point(self) -> float | None:
        """The dH at which P = 0.5; below 0 the image is preferred, above 0 the text.

        None unless the curve falls: where uncertainty does not turn the model away, nothing is balanced.
        """
        return -self.intercept / self.slope if self.slope < 0.0 else None

    def probability(self, uncertainty: float) -> float:
        """P(follow text) at a relative uncertainty."""
        return (1.0 + math.tanh((self.intercept + self.slope * uncertainty) / 2.0)) / 2.0


def follow_curve(
    followed_text: Sequence[bool], uncertainty: Sequence[float], times: Sequence[float] | None = None
) -> FollowCurve | None:
    """Maximum likelihood, not regularised, over the items that follow the text or the image.

    Args:
        followed_text: whether each item's joint answer is the text's; the others follow the image.
        uncertainty: dH of each item.
        times: how often each item counts; None is once.

    Returns:
        None where no maximum exists: one class only, or a value of dH that parts the two.

    Raises:
        ValueError: the columns have different lengths, or a dH is not finite.

    >>> curve = follow_curve([True, True, False, True, False, False], [-1.0, -0.5, -0.4, 0.4, 0.5, 1.0])
    >>> curve.slope < 0, abs(curve.balance_point) < 1e-6
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression

    counts = np.ones(len(followed_text)) if times is None else np.asarray(times, dtype=np.float64)
    require_equal_lengths(followed_text=followed_text, uncertainty=uncertainty, times=counts)
    x, followed = np.asarray(uncertainty, dtype=np.float64), np.asarray(followed_text, dtype=bool)
    if not np.isfinite(x).all():
        raise ValueError("a relative uncertainty is not finite; leave out the items that have none")
    x, followed, counts = x[counts > 0], followed[counts > 0], counts[counts > 0]
    text, image = x[followed], x[~followed]
    if not (text.size and image.size) or text.max() <= image.min() or image.max() <= text.min():
        return None
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(x[:, None], followed, counts)
    return FollowCurve(float(fitted.intercept_[0]), float(fitted.coef_[0, 0]))


def balance_point(followed_text: Array, uncertainty: Array, times: Array) -> Array:
    """The balance point on every draw, for `Bootstrap.estimate`: one fit a draw, 2,000 take seconds.

    >>> import numpy as np
    >>> followed = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    >>> point = balance_point(followed, np.array([-0.8, -0.3, -0.2, 0.6, 0.7, 1.2]), np.ones((1, 6)))
    >>> round(float(point[0]), 6)
    0.2
    """
    curves = (follow_curve(followed_text.astype(bool).tolist(), uncertainty.tolist(), row.tolist()) for row in times)
    points = [None if curve is None else curve.balance_point for curve in curves]
    return np.array([np.nan if point is None else point for point in points])
