"""Which slot of vLLM's V2 runner holds which request with a reading, and what each of these is owed.

The counterpart of `readings` where rows are computed by kernels that read `SlotTables`: the books are kept on the host,
from lengths the host knows, and nothing waits for the device. Knows neither vLLM nor kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor

from xmguard.attention.slot_tables import GENERATED, LAST, PROMPT, Rule, SlotReading, SlotTables
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.backends.vllm.worker.readings import Channel, ModelFacts
from xmguard.backends.vllm.worker.reports import Reports
from xmguard.backends.vllm.worker.sums import Totals
from xmguard.bias import FloorShares, ShareRule, SoftenShares, TargetShares

logger = logging.getLogger("xmguard")

BLANK = SlotReading((), (), (), served_from=LAST)
"""Of a slot whose request asked nothing."""


LEFT = 64
"""Requests that have left their slots and are remembered, because some of them were only put off."""


@dataclass(frozen=True)
class Row:
    """What one request of the batch is to the kernels."""

    slot: int
    """-1 where nothing is served."""
    count_from: int
    """First position whose row is summed."""
    whole: bool
    """Whether every row is served, so that the engine's own attention has nothing to read."""


PLAIN = Row(-1, 0, False)


class SlotReader:
    """One request in a slot, or waiting to come back into one."""

    def __init__(self, spec: ReadingSpec, table: SlotReading) -> None:
        self.spec = spec
        self.table = table
        self.occupant: str | None = None
        """vLLM's name of the request, once it was seen in its slot."""
        self.counted_to = spec.span_map.context_tokens
        """First position that is not summed yet; a row that is run again is not summed again."""
        self.next_token = 0
        """Index of the generated token that comes next."""
        self.kept: Tensor | None = None
        """On the host, what was summed before it left its slot."""
        self.failed = False

    def rows(self, kind: int) -> int:
        """How many rows of a kind have been summed."""
        prompt = self.spec.prompt_tokens
        if kind == PROMPT:
            return min(self.counted_to, prompt) - self.spec.span_map.context_tokens
        return max(self.counted_to - prompt, 0)


class Slots:
    """The requests with a reading that one worker knows."""

    def __init__(self, tables: SlotTables, channel: Channel, reports: Reports) -> None:
        self.facts: ModelFacts | None = None
        """None until the model was examined."""
        self.occupant: Callable[[int], str | None] = lambda slot: None
        """vLLM's name of the request in a slot."""
        self._tables = tables
        self._channel = channel
        self._reports = reports
        self._slots: dict[int, SlotReader] = {}
        self._left: dict[str, SlotReader] = {}
        self._staged: dict[int, SlotReading] = {}
        self._written: set[int] = set()
        self._open = False
        self._step: dict[int, tuple[SlotReader, int]] | None = None
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._slots)

    def reader(self, slot: int) -> SlotReader | None:
        """Who is in a slot, unless its reading has failed."""
        reader = self._slots.get(slot)
        return None if reader is None or reader.failed else reader

    def add(self, slot: int, spec: ReadingSpec | None) -> bool:
        """A request enters a slot, whoever was in it before. Returns whether it has a reading that can be had."""
        self._leave(slot)
        if slot in self._written:
            self._staged[slot] = BLANK
        reader = None if spec is None else self._reader(spec)
        if reader is None:
            return False
        self._slots[slot] = reader
        self._staged[slot] = reader.table
        return True

    def begin(self) -> None:
        """A step begins: whoever has left is done with, and the tables are written."""
        self.settle()
        for slot, reader in list(self._slots.items()):
            occupant = self.occupant(slot)
            if reader.occupant is None:
                reader.occupant = occupant
            elif occupant != reader.occupant:
                self._leave(slot)
                self._staged[slot] = BLANK
        self._tables.write(self._staged)
        for slot, reading in self._staged.items():
            (self._written.discard if reading is BLANK else self._written.add)(slot)
            back = self._slots.get(slot)
            if back is not None and back.kept is not None:
                self._tables.sums[slot].copy_(back.kept, non_blocking=True)
                back.kept = None
        self._staged.clear()
        self._open = True

    def rows(self, slots: Sequence[int], starts: Sequence[int], lengths: Sequence[int]) -> list[Row]:
        """What the requests of the step that has begun are to the kernels; the same whenever it is asked again.

        Args:
            slots: of each request.
            starts: first query token of each request, and the number of tokens, [request + 1].
            lengths: tokens of each request once the step is done, [request].

        Outside of a step, as in warm-up and capture, nothing is served.
        """
        if not self._open:
            return [PLAIN] * len(slots)
        if self._step is None:
            self._step = {}
            self._rows = [
                self._row(slot, starts[index + 1] - starts[index], lengths[index]) for index, slot in enumerate(slots)
            ]
        return self._rows

    def settle(self) -> None:
        """The forward pass is queued: count its rows, and tell of prompts that are through."""
        step, self._step, self._open = self._step or {}, None, False
        for slot, (reader, stop) in step.items():
            if not reader.spec.measured or reader.failed:
                continue
            done = stop >= reader.spec.prompt_tokens > reader.counted_to
            reader.counted_to = max(reader.counted_to, stop)
            if done:
                self._tell(slot, reader, PROMPT)

    def token(self, slot: int, length: int) -> int | None:
        """Index of the generated token that a request's last row predicts; None if none, or one that came before.

        Args:
            slot: of the request.
            length: tokens of the request once the step is done.
        """
        reader = self.reader(slot)
        if reader is None or length - reader.spec.prompt_tokens != reader.next_token:
            return None
        reader.next_token += 1
        return reader.next_token - 1

    def entropies(self, told: Sequence[tuple[str, int]], entropies: Tensor) -> None:
        """Tell the entropies of generated tokens; `told` names request and index of each."""

        def tell(values: Tensor) -> None:
            for (request, index), value in zip(told, values.tolist(), strict=True):
                self._channel.token(request, index, value)

        self._reports.send(entropies, tell)

    def tell_generated(self, requests: Iterable[str]) -> None:
        """Tell what has been summed over generated tokens so far, for those of the requests that are still known."""
        wanted = set(requests)
        for slot, reader in self._slots.items():
            if reader.spec.id in wanted and reader.spec.measured and not reader.failed:
                self._tell(slot, reader, GENERATED)

    def fail(self, reader: SlotReader, text: str) -> None:
        """End a request's reading with an error; said once."""
        if not reader.failed:
            reader.failed = True
            self._refuse(reader.spec.id, text)

    def _row(self, slot: int, queries: int, stop: int) -> Row:
        reader = self.reader(slot)
        if reader is None or self._step is None:
            return PLAIN
        start = stop - queries
        if reader.spec.measured and start > reader.counted_to:
            self.fail(reader, f"rows {reader.counted_to} to {start - 1} were never run, so they are not measured")
            return PLAIN
        self._step[slot] = (reader, stop)
        served_from = reader.table.served_from
        if stop <= served_from:
            return PLAIN
        return Row(slot, reader.counted_to, start >= served_from)

    def _leave(self, slot: int) -> None:
        """A slot's request has ended, or was put off and may come back."""
        reader = self._slots.pop(slot, None)
        if reader is None or reader.failed:
            return
        reader.occupant = None
        if reader.spec.measured:
            reader.kept = self._tell(slot, reader, GENERATED)
        self._left[reader.spec.id] = reader
        while len(self._left) > LEFT:
            self._left.pop(next(iter(self._left)))

    def _reader(self, spec: ReadingSpec) -> SlotReader | None:
        if (known := self._left.pop(spec.id, None)) is not None:
            return known
        if self.facts is None:
            self._refuse(spec.id, "the engine was not examined")
            return None
        try:
            self._tables.check(table := slot_reading(spec, self.facts))
            return SlotReader(spec, table)
        except ValueError as error:
            self._refuse(spec.id, str(error))
            return None

    def _refuse(self, request: str, text: str) -> None:
        logger.error("xmguard: request %s cannot be read as asked: %s", request, text)
        self._reports.say(lambda: self._channel.error(request, text))

    def _tell(self, slot: int, reader: SlotReader, kind: int) -> Tensor:
        """Tell one kind of a slot's sums. Returns the host's copy of both."""
        name, rows, request = ("prompt", "generated")[kind], reader.rows(kind), reader.spec.id
        segments = len(reader.spec.span_map) + 1

        def tell(sums: Tensor) -> None:
            self._channel.totals(request, name, totals_of(sums[kind, ..., :segments], rows))

        return self._reports.send(self._tables.sums[slot], tell)


def totals_of(sums: Tensor, rows: int) -> Totals:
    """Sums over rows of [layer, head, quantity, segment] as they are told."""
    layers, heads, _, segments = sums.shape
    totals = Totals(layers, segments, heads)
    for layer in range(layers):
        norms, masses, epsilons = sums[layer].permute(1, 2, 0).unsqueeze(-1)
        totals.add(layer, norms, masses, epsilons)
    totals.rows = rows
    return totals


def slot_reading(spec: ReadingSpec, facts: ModelFacts) -> SlotReading:
    """What a request asks for, as the tables hold it.

    Raises:
        ValueError: it runs with an adapter, or its head factors are of another shape than the model's.
    """
    if spec.adapter:
        raise ValueError(f"adapters such as {spec.adapter!r} are not run on CUDA")
    spans, bias = spec.span_map, spec.bias
    factors = None
    if bias.heads is not None:
        whole = torch.tensor(bias.heads)
        if whole.shape != (shape := (len(facts.factors), facts.heads)):
            raise ValueError(f"head factors are for {list(whole.shape)} layers and heads, the model has {list(shape)}")
        factors = whole[:, facts.own_heads]
    measured_from = spans.context_tokens if spec.measured else LAST
    steered_from = spec.first_steered
    rule, shares, value = (Rule.NONE, (), 1.0) if bias.rule is None else _asked(bias.rule, spans.ids)
    return SlotReading(
        spans=tuple((span.start, span.stop) for span in spans),
        first_reader=tuple(spec.first_reader(span) for span in spans),
        epsilon=tuple(bias.epsilon.get(name, 0.0) for name in spans.ids),
        served_from=measured_from if steered_from is None else min(steered_from, measured_from),
        measured_from=measured_from,
        prompt_tokens=spec.prompt_tokens,
        rule=rule,
        shares=shares,
        rule_value=value,
        head_factors=factors,
    )


@singledispatch
def _asked(rule: ShareRule, ids: Sequence[str]) -> tuple[Rule, tuple[float, ...], float]:
    """A rule's number, what it asks of each span, and its one value."""
    raise TypeError(f"no kernel solves {type(rule).__name__}")


@_asked.register
def _(rule: TargetShares, ids: Sequence[str]) -> tuple[Rule, tuple[float, ...], float]:
    return Rule.TARGET, tuple(rule.shares.get(name, 0.0) for name in ids), 1.0


@_asked.register
def _(rule: FloorShares, ids: Sequence[str]) -> tuple[Rule, tuple[float, ...], float]:
    return Rule.FLOOR, tuple(rule.minimum.get(name, 0.0) for name in ids), rule.cap


@_asked.register
def _(rule: SoftenShares, ids: Sequence[str]) -> tuple[Rule, tuple[float, ...], float]:
    return Rule.SOFTEN, (), rule.temperature
