"""Norms of contributions through the output projection without ever leaving the head's own dimension.

With the head's slice W_O^h = Q_h R_h (QR; Q_h has orthonormal columns), ||W_O^h x|| = ||R_h x||, so a
[d_model]-vector per span, head and row never exists. Knows nothing of models; it is given weight matrices.
"""

from __future__ import annotations

import torch
from torch import Tensor


def norm_factors(o_proj_weight: Tensor, heads: int) -> Tensor:
    """R_h for every head, [head, min(d_model, head_dim), head_dim], float32.

    Args:
        o_proj_weight: [d_model, heads * head_dim], the weight of the attention's output projection.
        heads: number of query heads.
    """
    d_model, width = o_proj_weight.shape
    slices = o_proj_weight.detach().float().view(d_model, heads, width // heads).permute(1, 0, 2)
    factors: Tensor = torch.linalg.qr(slices, mode="r").R
    return factors


def contribution_norms(segment_out: Tensor, weights: Tensor, factors: Tensor) -> Tensor:
    """||u_k||_2 with u_k = W_O^h a_k o_k (paper, Eq. 1), [segment, batch, head, query].

    It is the norm of the sum over the segment's keys: opposing tokens cancel.

    Args:
        segment_out: o_k, [segment, batch, head, query, head_dim].
        weights: a_k, [segment, batch, head, query].
        factors: R_h of `norm_factors`, or one for each entry of the batch, [batch, head, ...].
    """
    product = "sbhqd,hed->sbhqe" if factors.ndim == 3 else "sbhqd,bhed->sbhqe"
    projected = torch.einsum(product, segment_out.to(factors.dtype), factors)
    norms: Tensor = torch.linalg.vector_norm(projected, dim=-1)
    return weights.to(factors.dtype) * norms
