"""What each slot of a running batch reads, as tables on the device whose addresses never change.

A kernel that was captured once reads the tables anew at every replay, so a request that comes or goes costs a few
copies and no launch. Knows slots and positions, but no requests, models or kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

LAST = 2**31 - 1
"""A position that no row reaches."""
QUANTITIES = ("norms", "masses", "epsilons")
"""What is summed over rows, in this order."""
PROMPT, GENERATED = 0, 1
"""Which rows a sum is of."""


class Rule(IntEnum):
    """How a slot's epsilons are solved, row by row (`xmguard.attention.shares`); the kernels know them by number."""

    NONE = 0
    TARGET = 1
    FLOOR = 2
    SOFTEN = 3


@dataclass(frozen=True)
class SlotReading:
    """How the rows of one slot read."""

    spans: tuple[tuple[int, int], ...]
    """Half-open, in order, without overlap; segment k + 1 is span k, segment 0 the rest."""
    first_reader: tuple[int, ...]
    """Of each span the first position whose row reads it with a bias."""
    epsilon: tuple[float, ...]
    """Nats, of each span; -inf removes it."""
    served_from: int
    """First position whose row is read here. Rows before it are left to whoever else computes them."""
    measured_from: int = LAST
    """First position whose row is summed."""
    prompt_tokens: int = LAST
    """Rows from here on are summed as generated ones."""
    rule: Rule = Rule.NONE
    shares: tuple[float, ...] = ()
    """Of each span what the rule asks: a share, or a part of the largest; 0 leaves it alone. Softening asks nothing."""
    rule_value: float = 1.0
    """The floor's cap in nats, or softening's temperature."""
    head_factors: Tensor | None = None
    """[layer, head], from 0 to 1; None is 1 everywhere."""


@dataclass(frozen=True)
class SlotTables:
    """Tables of all slots. Create them once, before a graph is captured."""

    limits: Tensor
    """int32 [slot, 4]: number of spans, served from, measured from, prompt tokens."""
    borders: Tensor
    """int32 [slot, 2 * span]: start and stop of each span; `LAST` where there is none."""
    first_reader: Tensor
    """int32 [slot, span]"""
    epsilon: Tensor
    """float32 [slot, span], nats."""
    rules: Tensor
    """int32 [slot], a `Rule`."""
    shares: Tensor
    """float32 [slot, span]"""
    rule_values: Tensor
    """float32 [slot]"""
    head_factors: Tensor
    """float32 [slot, layer, head]"""
    sums: Tensor
    """float32 [slot, prompt or generated, layer, head, quantity, segment]: the kernels add to it."""
    pinned: bool = field(default=False)
    """Whether writes pass through pinned memory, so that the host waits for none."""

    @property
    def spans(self) -> int:
        """Most spans of a slot."""
        return self.epsilon.shape[1]

    @classmethod
    def empty(cls, slots: int, *, spans: int, layers: int, heads: int, device: torch.device | str) -> SlotTables:
        """Tables in which every slot reads nothing.

        Args:
            slots: most requests that run at once.
            spans: most spans of one of them, at least 1.
            layers: attention layers.
            heads: query heads of this device.
            device: where the kernels run.
        """

        def whole(value: int, *shape: int) -> Tensor:
            return torch.full(shape, value, dtype=torch.int32, device=device)

        def real(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float32, device=device)

        return cls(
            limits=whole(LAST, slots, 4),
            borders=whole(LAST, slots, 2 * spans),
            first_reader=whole(LAST, slots, spans),
            epsilon=real(slots, spans),
            rules=whole(0, slots),
            shares=real(slots, spans),
            rule_values=real(slots),
            head_factors=real(slots, layers, heads),
            sums=real(slots, 2, layers, heads, len(QUANTITIES), spans + 1),
            pinned=torch.device(device).type == "cuda",
        )

    def write(self, readings: Mapping[int, SlotReading]) -> None:
        """Overwrite slots; their sums start at 0.

        Raises:
            ValueError: a reading has more spans than the tables, spans out of order, lists of other lengths than its
                spans, or head factors of another shape.
        """
        if not readings:
            return
        for reading in readings.values():
            self.check(reading)
        values = list(readings.values())
        slots = self._staged(list(readings), torch.int64)
        whole, real = torch.int32, torch.float32
        columns: list[tuple[Tensor, Sequence[object], torch.dtype]] = [
            (self.limits, [(len(r.spans), r.served_from, r.measured_from, r.prompt_tokens) for r in values], whole),
            (self.borders, [self._row([b for span in r.spans for b in span], LAST, 2) for r in values], whole),
            (self.first_reader, [self._row(r.first_reader, LAST) for r in values], whole),
            (self.epsilon, [self._row(r.epsilon, 0.0) for r in values], real),
            (self.rules, [int(r.rule) for r in values], whole),
            (self.shares, [self._row(r.shares, 0.0) for r in values], real),
            (self.rule_values, [r.rule_value for r in values], real),
        ]
        for table, rows, dtype in columns:
            table.index_copy_(0, slots, self._staged(rows, dtype))
        ones = torch.ones(self.head_factors.shape[1:])
        factors = torch.stack([ones if r.head_factors is None else r.head_factors.float() for r in values])
        self.head_factors.index_copy_(0, slots, self._sent(factors))
        self.sums.index_fill_(0, slots, 0.0)

    def check(self, reading: SlotReading) -> None:
        """Raises what `write` would."""
        spans = reading.spans
        if len(spans) > self.spans:
            raise ValueError(f"there are {len(spans)} spans, the tables hold {self.spans}")
        borders = [0, *(border for span in spans for border in span)]
        if sorted(borders) != borders:
            raise ValueError(f"spans {list(spans)} are out of order or overlap")
        lists = {"first_reader": reading.first_reader, "epsilon": reading.epsilon}
        lists |= {"shares": reading.shares} if reading.rule in (Rule.TARGET, Rule.FLOOR) else {}
        for name, values in lists.items():
            if len(values) != len(spans):
                raise ValueError(f"there are {len(spans)} spans and {len(values)} of {name}")
        shape = self.head_factors.shape[1:]
        if reading.head_factors is not None and reading.head_factors.shape != shape:
            raise ValueError(
                f"head factors are for {list(reading.head_factors.shape)} layers and heads, "
                f"the tables for {list(shape)}"
            )

    def _row(self, values: Sequence[float], missing: float, each: int = 1) -> list[float]:
        return [*values, *[missing] * (each * self.spans - len(values))]

    def _staged(self, rows: Sequence[object], dtype: torch.dtype) -> Tensor:
        return self._sent(torch.tensor(rows, dtype=dtype))

    def _sent(self, tensor: Tensor) -> Tensor:
        """On the device. Pinned memory is not handed out again before its copy is through, so nothing is waited for."""
        if self.pinned:
            tensor = tensor.pin_memory()
        return tensor.to(self.limits.device, non_blocking=self.pinned)
