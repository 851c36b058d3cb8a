"""How the CPU backend lays keys and values out in a block, found by writing coded ones through vLLM's own operator.

Each instruction set has its own order of a block's numbers; whatever it is, it has to be a permutation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


class Order:
    """Where each number of a block lies.

    Args:
        places: [token * head_dim] integers: the place in the block of (token, dim).
        size: tokens of a block.
    """

    def __init__(self, places: Tensor, size: int) -> None:
        self.size = size
        self.places = places
        plain = torch.arange(places.numel())
        self._plain = torch.equal(places, plain)
        self._turned = torch.equal(places, plain.view(-1, size).T.reshape(-1))

    def pages(self, blocks: Tensor) -> Tensor:
        """Blocks [request, block, head, ...] in their own order as [request, head, block * token, head_dim], a copy."""
        requests, count, heads = blocks.shape[:3]
        flat = blocks.reshape(requests, count, heads, -1)
        if self._plain:
            ordered = flat.view(requests, count, heads, self.size, -1)
        elif self._turned:
            ordered = flat.view(requests, count, heads, -1, self.size).transpose(3, 4)
        else:
            ordered = flat[..., self.places].view(requests, count, heads, self.size, -1)
        # Of a single block that is turned this would be a view, and torch's flash kernel reads whole rows only.
        return ordered.transpose(1, 2).reshape(requests, heads, count * self.size, -1).contiguous()


@dataclass(frozen=True)
class Layout:
    """The orders of keys and of values."""

    key: Order
    value: Order


@cache
def cpu_layout(isa: str, dtype: torch.dtype, block: int, heads: int, head_dim: int) -> Layout:
    """Of a cache of float keys.

    Args:
        isa: the instruction set that vLLM has chosen.
        dtype: of the keys.
        block: tokens of a block.
        heads: key heads.
        head_dim: numbers of a key.

    Raises:
        RuntimeError: the operator does not merely put the numbers of a block in another order.
    """
    from vllm import _custom_ops as ops

    def write(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [token, head, head_dim] through the operator, as blocks [1, head, token, head_dim]."""
        cache = torch.zeros(1, heads, 2 * block, head_dim, dtype=dtype)
        key_cache, value_cache = cache.chunk(2, dim=2)
        slots = torch.arange(block)
        ops.cpu_attn_reshape_and_cache(key, value, key_cache, value_cache, slots, isa)
        return key_cache, value_cache

    return found(write, dtype, block, heads, head_dim)


def found(
    write: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], dtype: torch.dtype, block: int, heads: int, head_dim: int
) -> Layout:
    """The layout of what `write` makes of keys and values."""
    codes = torch.arange(block * head_dim)
    digits = []
    # Every 16-bit float holds the whole numbers up to 128 exactly; 0 is kept for places that nothing is written to.
    for digit in (codes % 100, codes // 100 % 100, codes // 10_000):
        coded = (digit + 1).to(dtype).view(block, 1, head_dim).expand(block, heads, head_dim).contiguous()
        digits.append([blocks[0].float().round().long() - 1 for blocks in write(coded, coded.clone())])
    orders = []
    for ones, hundreds, rest in zip(*digits, strict=True):
        read = (ones + 100 * hundreds + 10_000 * rest).reshape(heads, -1)
        if not torch.equal(read.sort(-1).values, codes.expand(heads, -1)) or not torch.equal(
            read, read[:1].expand_as(read)
        ):
            raise RuntimeError("vLLM's cache of keys is not a mere reordering of them; this version is not supported")
        orders.append(Order(read[0].argsort(), block))
    return Layout(*orders)
