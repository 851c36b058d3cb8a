"""Epsilons that give every row the shares a rule asks for, in closed form from the row's own log-sum-exps.

With p_k the row's share of segment k and l_k its log-sum-exp, log p_k = l_k - logsumexp(l): a rule on shares is a
rule on l. All tensors are [segment, batch, head, query]; segment 0 is the rest, which no rule steers. Knows nothing of
spans' names, models or requests.
"""

from __future__ import annotations

import torch
from torch import Tensor


def target_epsilon(lse: Tensor, shares: Tensor, sinks: Tensor | None = None) -> Tensor:
    """eps_k = log(t_k / p_k) - log(t_rest / p_rest): every row's share of each steered segment becomes its t_k.

    A segment with share 0 stays at 0, and its t_k goes to the rest: everything unsteered, an attention sink included.
    Where a row sees nothing but steered segments their shares become proportional to t.

    Args:
        lse: nats, [segment, batch, head, query].
        shares: t_k, broadcastable to `lse`; 0 for what is not steered. Sums over segments are below 1.
        sinks: logit per head of an attention sink, [head].
    """
    shares = shares.to(lse.dtype).expand_as(lse)
    steered = (shares > 0) & (lse > -torch.inf)
    rest = torch.logsumexp(lse.masked_fill(steered, -torch.inf), dim=0)
    if sinks is not None:
        rest = torch.logaddexp(rest, sinks.to(lse.dtype).view(1, -1, 1))
    rest_share = 1.0 - shares.masked_fill(~steered, 0.0).sum(dim=0)
    rest_term = torch.where(rest > -torch.inf, rest - rest_share.log(), 0.0)
    return torch.where(steered, shares.log() - lse + rest_term, 0.0)


def floor_epsilon(lse: Tensor, minimum: Tensor, spans: Tensor, cap: Tensor) -> Tensor:
    """eps_k = log(m_k max_j p_j / p_k) within 0 .. cap: no steered span is left below m_k of the largest span's share.

    The largest span's own epsilon is 0, so nothing goes past parity with it. A segment with share 0 stays at 0.

    Args:
        lse: nats, [segment, batch, head, query].
        minimum: m_k, broadcastable to `lse`; 0 for what is not steered, otherwise at most 1.
        spans: bool, broadcastable to `lse`: the segments that are compared.
        cap: largest epsilon in nats, broadcastable to `lse`.
    """
    minimum = minimum.to(lse.dtype)
    largest = lse.masked_fill(~spans, -torch.inf).amax(dim=0)
    steered = (minimum > 0) & spans & (lse > -torch.inf)
    lift = torch.where(steered, minimum.log() + largest - lse, 0.0)
    return torch.minimum(lift.clamp_min(0.0), cap.to(lse.dtype))


def soften_epsilon(lse: Tensor, temperature: Tensor, spans: Tensor) -> Tensor:
    """Shares within the spans become proportional to p^(1 / temperature), and the sum of the spans' shares stays.

    Args:
        lse: nats, [segment, batch, head, query].
        temperature: broadcastable to `lse`, at least 1.
        spans: bool, broadcastable to `lse`: the segments that take part. A segment with share 0 stays at 0.
    """
    steered = spans & (lse > -torch.inf)
    inside = lse.masked_fill(~steered, -torch.inf)
    softened = (inside / temperature.to(lse.dtype)).masked_fill(~steered, -torch.inf)
    kept = torch.logsumexp(inside, dim=0) - torch.logsumexp(softened, dim=0)
    return torch.where(steered, softened + kept - lse, 0.0)
