"""Linear layers for the two to four rows of a decoding step with branches, on a CPU in float32.

Some BLAS libraries pack the whole matrix anew for such products, which reads it twice as often as the product of a
single row does: a step of two branches then costs twice a step of one. Rows multiplied one by one, side by side, need
not pay that. Which way is faster is a matter of library, cores and caches, so it is tried when a model is loaded. Both
ways are the same product up to rounding. Knows nothing of attention.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

ROWS = (2, 3, 4)
"""Numbers of rows that are tried; from about eight on a packed product is the faster one everywhere."""
WORTH_IT = 0.85
"""Part of the usual time below which the other way is taken: less is noise, and not worth being different."""
SMALLEST = 64 << 20
"""Bytes of weights below which nothing is tried: they stay in the caches, where packing costs little."""
TRIES = 3
SAMPLE = 4
"""Weights of one shape that are tried: several, so that the caches do not hold them all."""

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of rows, weight and bias."""


class FewRowsLinear(nn.Linear):
    """A linear layer that shares another one's parameters and multiplies some numbers of rows one by one."""

    def __init__(self, linear: nn.Linear, rows: frozenset[int]) -> None:
        nn.Module.__init__(self)  # the parameters exist already
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._rows = rows

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name that nn.Linear gives it
        """[..., in_features] to [..., out_features]."""
        if input.shape[:-1].numel() in self._rows:
            return one_by_one(input, self.weight, self.bias)
        return super().forward(input)


def one_by_one(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product of each row by itself, as a batch."""
    flat = rows.reshape(-1, 1, rows.shape[-1])
    product = torch.bmm(flat, weight.t().expand(flat.shape[0], -1, -1)).view(*rows.shape[:-1], -1)
    return product if bias is None else product + bias


@torch.inference_mode()
def install(model: nn.Module) -> frozenset[int]:
    """Replace the linear layers of a model if that makes it faster; returns the numbers of rows it does so for."""
    linears = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    weights = list({id(linear.weight): linear.weight for linear in linears.values()}.values())
    if sum(weight.nbytes for weight in weights) < SMALLEST:
        return frozenset()
    if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in weights):
        return frozenset()
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        by_shape.setdefault(weight.shape, []).append(weight)
    sample = [weight for alike in by_shape.values() for weight in alike[:SAMPLE]]
    faster = frozenset(rows for rows in ROWS if _faster(sample, rows))
    for name, linear in linears.items() if faster else ():
        model.set_submodule(name, FewRowsLinear(linear, faster))
    return faster


def _faster(weights: Sequence[Tensor], rows: int) -> bool:
    usual, other = [], []
    for _ in range(TRIES):  # taking turns, so that a busy machine slows both
        usual.append(_seconds(weights, rows, nn.functional.linear))
        other.append(_seconds(weights, rows, one_by_one))
    return min(other) < WORTH_IT * min(usual)


def _seconds(weights: Sequence[Tensor], rows: int, product: Product) -> float:
    inputs = {weight.shape[1]: torch.ones(rows, weight.shape[1]) for weight in weights}
    started = time.perf_counter()
    for weight in weights:
        product(inputs[weight.shape[1]], weight, None)
    return time.perf_counter() - started
