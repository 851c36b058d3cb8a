"""Features of a pair of spans from the log-probabilities of their answers. Pure functions.

Everything is in nats per token, so that long and short answers compare. What is missing is None, never 0 or NaN.
Knows nothing of what the answers mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xmguard.evidence import SpanEvidence

FLOOR = -30.0
"""Nats. A token is counted as no less likely than this, so that a single impossible one cannot outweigh the rest."""
MIN_GAIN = 0.05
"""Nats per token. A span that raises its own answer by less over the prior is not where the answer comes from."""


@dataclass(frozen=True)
class PairLikelihood:
    """How two spans receive each other's answer."""

    drop: float
    """Mean over the directions known of `likelihood_drop`; nats per token."""
    retained: float | None
    """Mean over the directions known of `retained_gain`; None when neither span gains over the prior."""


def mean_logprob(logprobs: Sequence[float]) -> float | None:
    """(1/T) sum_t max(log p_t, FLOOR) over the T tokens of an answer; None for no tokens.

    Raises:
        ValueError: if a value is NaN or above 0, which no log-probability is.
    """
    for value in logprobs:
        if math.isnan(value) or value > 1e-6:
            raise ValueError(f"{value} is not a log-probability")
    return math.fsum(max(value, FLOOR) for value in logprobs) / len(logprobs) if logprobs else None


def log_total(values: Sequence[float]) -> float:
    """Log-sum-exp of at least one finite log-probability or logit, without overflow or underflow."""
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))


def likelihood_drop(own: Sequence[float], under: Sequence[float]) -> float | None:
    """mean(own) - mean(under): how much less likely an answer becomes when another span is read instead.

    About 0 when the other span supports the answer as well, positive when it does not; None if either is missing.
    """
    at_home, abroad = mean_logprob(own), mean_logprob(under)
    return None if at_home is None or abroad is None else at_home - abroad


def retained_gain(own: Sequence[float], under: Sequence[float], prior: Sequence[float]) -> float | None:
    """(mean(under) - mean(prior)) / (mean(own) - mean(prior)): what share of the answer's gain the other span gives.

    1 when reading the other span makes the answer as likely as reading its own does, 0 when it helps no more than
    reading nothing, negative when it speaks against it. None if anything is missing or the gain is under MIN_GAIN.
    """
    at_home, abroad, unread = mean_logprob(own), mean_logprob(under), mean_logprob(prior)
    if at_home is None or abroad is None or unread is None or at_home - unread < MIN_GAIN:
        return None
    return (abroad - unread) / (at_home - unread)


def gain(span: SpanEvidence) -> float | None:
    """mean(own) - mean(prior): how much likelier reading the span made its answer; None if either is missing."""
    return likelihood_drop(span.own, span.prior)


def directions(a: SpanEvidence, b: SpanEvidence) -> tuple[PairLikelihood, ...]:
    """The features of either span's answer under the other span, where it was scored there."""
    found = []
    for one, other in ((a, b), (b, a)):
        under = one.under.get(other.span_id, ())
        drop = likelihood_drop(one.own, under)
        if drop is not None:
            found.append(PairLikelihood(drop, retained_gain(one.own, under, one.prior)))
    return tuple(found)


def pair_likelihood(a: SpanEvidence, b: SpanEvidence) -> PairLikelihood | None:
    """The features of a pair, symmetric in its spans; None when neither answer was scored under the other span."""
    known = directions(a, b)
    if not known:
        return None
    gains = [one.retained for one in known if one.retained is not None]
    return PairLikelihood(
        math.fsum(one.drop for one in known) / len(known), math.fsum(gains) / len(gains) if gains else None
    )
