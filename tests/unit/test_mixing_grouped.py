"""Attention over grouped queries is the fused kernel's, and its gradient too."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from xmguard_research.mixing.grouped import grouped


@pytest.mark.parametrize(("rows", "masked"), [(11, False), (4, False), (4, True)])
def test_it_is_what_torchs_own_kernel_computes(rows, masked):
    torch.manual_seed(0)
    query = torch.randn(2, 6, rows, 8, requires_grad=True)
    key, value = (torch.randn(2, 2, 11, 8, requires_grad=True) for _ in range(2))
    causal = torch.ones(rows, 11, dtype=torch.bool).tril(11 - rows).repeat(2, 1, 1, 1)
    if masked:
        causal[1, :, :, 2:5] = False

    found = grouped(query, key, value, causal if masked else None, 0.3)
    wide = (one.repeat_interleave(3, dim=1) for one in (key, value))
    wanted = scaled_dot_product_attention(query, *wide, attn_mask=causal, scale=0.3)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), (query, key, value)),
        torch.autograd.grad((wanted * weights).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
