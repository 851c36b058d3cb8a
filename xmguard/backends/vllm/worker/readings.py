"""Which row of vLLM's batch belongs to which request with a reading, and what each of these is owed.

One `Readings` lives in each worker. Knows nothing of attention; it hands out what has to be read, and keeps the books.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from xmguard.backends.vllm.spec import PicturePlace, ReadingSpec
from xmguard.backends.vllm.worker.steering import Steering
from xmguard.backends.vllm.worker.sums import Totals

if TYPE_CHECKING:
    from xmguard.backends.vllm.worker.paths import Path

logger = logging.getLogger("xmguard")

NEVER = 1 << 62
"""A position that no row reaches."""


@dataclass(frozen=True)
class ModelFacts:
    """What a worker found out about the model it has loaded."""

    layers: Mapping[str, int]
    """vLLM's name of each attention layer to its number."""
    heads: int
    """Query heads of a layer, over all ranks."""
    own_heads: slice
    """Those of this rank."""
    factors: Sequence[Tensor]
    """R_h of the output projections, by layer: [head, rank, head_dim] of this rank's heads."""
    adapted: Mapping[str, Mapping[int, Tensor]] = field(default_factory=dict)
    """Name of an adapter to the factors of the layers whose output projection it changes."""
    adapters: frozenset[str] = frozenset()
    """Names of the adapters that rows can be run with."""


class Channel(Protocol):
    """Where results go (`telling.Teller`)."""

    def totals(self, request: str, kind: str, totals: Totals) -> None:
        """Sums over rows."""

    def token(self, request: str, index: int, entropy: float) -> None:
        """A generated token."""

    def probe(self, request: str, logits: Sequence[float]) -> None:
        """What the probe says."""

    def scores(self, request: str, logprobs: Sequence[float]) -> None:
        """Log-probabilities of tokens."""

    def error(self, request: str, text: str) -> None:
        """That nothing more will come."""


class Reader:
    """One request in the batch, or waiting to come back into it."""

    def __init__(self, spec: ReadingSpec, outputs: Sequence[int], facts: ModelFacts) -> None:
        self.spec = spec
        self.outputs = outputs
        """Tokens generated so far; vLLM's own list, which grows."""
        self.steering = self.prompt = self.generated = None
        self.steered_from = NEVER
        """First position that reads some span with the bias."""
        layers, segments = len(facts.factors), len(spec.span_map) + 1
        if (first := spec.first_steered) is not None:
            self.steering = Steering(spec, layers, facts.heads, facts.own_heads)
            self.steered_from = first
        own = facts.own_heads.stop - facts.own_heads.start
        if spec.measured:
            self.prompt, self.generated = Totals(layers, segments, own), Totals(layers, segments, own)
        if spec.adapter and spec.adapter not in facts.adapters:
            raise ValueError(f"this engine has no adapter {spec.adapter!r}")
        self.factors = facts.adapted.get(spec.adapter, {})
        self.counted_to = spec.span_map.context_tokens
        """First position of a reader row that is not summed yet; a row that is run again is not summed again."""
        self.scores: dict[int, Sequence[float]] = {}
        """Position of a row to the log-probabilities of what is asked of it."""
        self.failed = False

    def asked_of(self, position: int) -> tuple[int, ...]:
        """Tokens whose log-probabilities a row is to tell."""
        if position == self.spec.prompt_tokens - 1:
            return self.spec.choices
        return self.spec.scored[position - self.spec.prompt_tokens + len(self.spec.scored) + 1 :][:1]


@dataclass(frozen=True)
class Chunk:
    """The rows of one request in one step: positions start .. stop - 1."""

    reader: Reader
    index: int
    """Of the request in the batch."""
    row: int
    """Of position `start` in the batch's tokens."""
    start: int
    stop: int
    counted: tuple[tuple[Totals, int, int], ...]
    """What is added to which sums: half-open ranges of positions."""

    @property
    def first_read(self) -> int:
        """First position that has to be read again; `stop` if none has."""
        firsts = [self.reader.steered_from, *(start for _, start, _ in self.counted)]
        return min(self.stop, max(self.start, min(firsts)))

    @property
    def is_row(self) -> bool:
        """Whether it is a single row, and that has to be read again."""
        return self.stop - self.start == 1 and self.first_read < self.stop

    @property
    def scoring(self) -> range:
        """Positions whose rows score tokens."""
        first = self.reader.spec.first_scored
        return (
            range(0) if first is None else range(max(first, self.start), min(self.stop, self.reader.spec.prompt_tokens))
        )

    def row_of(self, position: int) -> int:
        """Row of a position in the batch's tokens."""
        return self.row + position - self.start

    @property
    def predicts(self) -> int | None:
        """Index of the generated token that the last row predicts; None where vLLM has more to run before."""
        index = self.stop - self.reader.spec.prompt_tokens
        return index if index == len(self.reader.outputs) else None


@dataclass
class Step:
    """One forward pass: what is read in it, and by which layers it has been read so far."""

    chunks: tuple[Chunk, ...]
    served: set[int] = field(default_factory=set)

    @cached_property
    def replaced(self) -> int:
        """How many rows are written, in the place of what vLLM's own attention would say."""
        return sum(chunk.stop - max(chunk.start, min(chunk.stop, chunk.reader.steered_from)) for chunk in self.chunks)

    probed: list[tuple[Chunk, list[float]]] = field(default_factory=list)
    scored: list[tuple[Chunk, int, Sequence[float]]] = field(default_factory=list)
    """Positions, and what their rows say of the tokens asked of them."""
    settled: list[Callable[[], None]] = field(default_factory=list)
    """What to do once every layer has been read."""

    @cached_property
    def adapted(self) -> dict[str, Tensor]:
        """Name of an adapter to the rows of the batch that it acts on, [row]."""
        rows: dict[str, list[int]] = {}
        for chunk in self.chunks:
            spec = chunk.reader.spec
            if spec.adapter and (first := max(chunk.start, spec.span_map.context_tokens)) < chunk.stop:
                rows.setdefault(spec.adapter, []).extend(range(chunk.row_of(first), chunk.row_of(chunk.stop)))
        return {name: torch.tensor(found) for name, found in rows.items()}


class Readings:
    """The requests with a reading that one worker knows."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.facts: ModelFacts | None = None
        """None until the model was examined."""
        self.path: Path
        """How rows are read; chosen when the model is examined."""
        self.is_alive: Callable[[str], bool] = lambda request: False
        """Whether vLLM still holds a request with this spec id, running or not."""
        self.pictures: Callable[[str], tuple[PicturePlace, ...]] = lambda request: ()
        """The pictures that vLLM runs with the prompt of the request with this spec id, in order."""
        self._rows: dict[int, Reader] = {}
        self._known: dict[str, Reader] = {}
        self._step: Step | None = None

    def __len__(self) -> int:
        return len(self._known)

    def move(
        self,
        removed: Iterable[int],
        added: Iterable[tuple[int, ReadingSpec | None, int, Sequence[int]]],
        moved: Iterable[tuple[int, int, bool]],
    ) -> None:
        """Follow a change of the batch, in this order.

        Args:
            removed: rows that were left.
            added: row, reading (None without one), length of the prompt and tokens generated so far of each new one.
            moved: from, to, and whether the two were exchanged.
        """
        for index in removed:
            self._rows.pop(index, None)
        for index, spec, prompt_tokens, outputs in added:
            self._rows.pop(index, None)
            reader = None if spec is None else self._reader(spec, prompt_tokens, outputs)
            if reader is not None:
                self._rows[index] = reader
        for first, second, exchanged in moved:
            one, other = self._rows.pop(first, None), self._rows.pop(second, None)
            if one is not None:
                self._rows[second] = one
            if other is not None and exchanged:
                self._rows[first] = other
        here = {reader.spec.id for reader in self._rows.values()}
        for request in [name for name in self._known if name not in here and not self.is_alive(name)]:
            self._end(self._known.pop(request))

    def begin(self) -> None:
        """A step begins; whatever vLLM runs outside of steps (warm-up) reads plainly."""
        self.settle()
        self._step = Step(()) if not self._rows else None

    def step(self, starts: Sequence[int], lengths: Sequence[int]) -> Step:
        """The step that has begun; made when first asked for.

        Args:
            starts: first row of each request of the batch, and the number of rows, [request + 1].
            lengths: tokens of each request once the step is done, [request].
        """
        if self._step is None:
            chunks = []
            for index, reader in sorted(self._rows.items()):
                if reader.failed:
                    continue
                stop = lengths[index]
                start = stop - (starts[index + 1] - starts[index])
                chunks.append(Chunk(reader, index, starts[index], start, stop, self._counted(reader, start, stop)))
            self._step = Step(tuple(chunk for chunk in chunks if not chunk.reader.failed))
        return self._step

    def adapted_rows(self, adapter: str) -> Tensor | None:
        """Rows of the running step that an adapter acts on, [row]; None if there are none."""
        return None if self._step is None else self._step.adapted.get(adapter)

    def finishing(self, adapter: str) -> list[Chunk]:
        """What ends a prompt in the running step, of requests with an adapter."""
        chunks = () if self._step is None else self._step.chunks
        return [chunk for chunk in chunks if chunk.reader.spec.adapter == adapter and chunk.predicts == 0]

    def probed(self, chunk: Chunk, logits: list[float]) -> None:
        """Keep what the probe says until the step is known to have been read as asked."""
        if self._step is not None:
            self._step.probed.append((chunk, logits))

    def scoring(self) -> list[tuple[Chunk, int]]:
        """Requests and positions of the running step whose rows score tokens."""
        chunks = () if self._step is None else self._step.chunks
        return [(chunk, position) for chunk in chunks for position in chunk.scoring]

    def scored(self, chunk: Chunk, position: int, logprobs: Sequence[float]) -> None:
        """Keep what a row says until the step is known to have been read as asked."""
        if self._step is not None:
            self._step.scored.append((chunk, position, logprobs))

    def settle(self) -> Step:
        """The forward pass is over: every layer has read every row, or the request fails. Returns the step."""
        step, self._step = self._step or Step(()), Step(())
        layers = len(self.facts.factors) if self.facts is not None else 0
        for finish in step.settled:
            finish()
        for chunk in step.chunks:
            reader = chunk.reader
            if len(step.served) != layers:
                self.fail(reader, f"its bias reached {len(step.served)} of {layers} layers")
            if reader.failed or reader.prompt is None or reader.generated is None:
                continue
            for totals, start, stop in chunk.counted:
                totals.rows += stop - start
            done = chunk.stop >= reader.spec.prompt_tokens > reader.counted_to
            reader.counted_to = max(reader.counted_to, chunk.stop)
            if done:
                self.channel.totals(reader.spec.id, "prompt", reader.prompt)
        for chunk, logits in step.probed:
            if not chunk.reader.failed:
                self.channel.probe(chunk.reader.spec.id, logits)
        for chunk, position, logprobs in step.scored:
            if not chunk.reader.failed:
                self._scored(chunk.reader, position, logprobs)
        return step

    def _scored(self, reader: Reader, position: int, logprobs: Sequence[float]) -> None:
        """Positions come in order; one that is run again says the same."""
        reader.scores[position] = logprobs
        first, prompt = reader.spec.first_scored, reader.spec.prompt_tokens
        if first is None or position < prompt - 1:
            return
        if missing := [each for each in range(first, prompt) if each not in reader.scores]:
            self.fail(reader, f"rows {missing} were never run, so they score nothing")
        else:
            told = [logprob for each in range(first, prompt) for logprob in reader.scores[each]]
            self.channel.scores(reader.spec.id, told)

    def fail(self, reader: Reader, text: str) -> None:
        """End a request's reading with an error; said once."""
        if not reader.failed:
            reader.failed = True
            self._refuse(reader.spec.id, text)

    def tell_generated(self, requests: Iterable[str]) -> None:
        """Tell what has been summed over generated tokens so far, for those of the requests that are still known."""
        for request in requests:
            if (reader := self._known.get(request)) is not None:
                self._tell_generated(reader)

    def _reader(self, spec: ReadingSpec, prompt_tokens: int, outputs: Sequence[int]) -> Reader | None:
        """The reader of a request that comes into the batch, or comes back; None if its reading cannot be had."""
        known = self._known.get(spec.id)
        if known is not None:
            known.outputs = outputs
            return known
        try:
            if self.facts is None:
                raise ValueError("the engine was not examined")
            if outputs and spec.measured:
                raise ValueError("what was measured of it is lost")
            if prompt_tokens != spec.prompt_tokens:
                raise ValueError(f"its prompt has {prompt_tokens} tokens; its reading is of {spec.prompt_tokens}")
            if (found := self.pictures(spec.id)) != spec.pictures:
                said = f"vLLM runs it with {_told(found)}; its spans were laid by {_told(spec.pictures)}"
                raise ValueError(f"its pictures are others, or elsewhere: {said}")
            reader = Reader(spec, outputs, self.facts)
        except ValueError as error:
            self._refuse(spec.id, str(error))
            return None
        self._known[spec.id] = reader
        return reader

    def _refuse(self, request: str, text: str) -> None:
        logger.error("xmguard: request %s cannot be read as asked: %s", request, text)
        self.channel.error(request, text)

    def _counted(self, reader: Reader, start: int, stop: int) -> tuple[tuple[Totals, int, int], ...]:
        if reader.prompt is None or reader.generated is None:
            return ()
        if start > reader.counted_to:
            self.fail(reader, f"rows {reader.counted_to} to {start - 1} were never run, so they are not measured")
            return ()
        prompt = reader.spec.prompt_tokens
        first = max(start, reader.counted_to)
        ranges = [(reader.prompt, first, min(stop, prompt)), (reader.generated, max(first, prompt), stop)]
        return tuple((totals, begin, end) for totals, begin, end in ranges if begin < end)

    def _end(self, reader: Reader) -> None:
        if not reader.failed:
            self._tell_generated(reader)

    def _tell_generated(self, reader: Reader) -> None:
        if reader.generated is not None:
            self.channel.totals(reader.spec.id, "generated", reader.generated)


def _told(pictures: Sequence[PicturePlace]) -> str:
    """Which pictures lie where, for a person."""
    told = [
        f"{place.identity[:8]} at {', '.join(f'{start}-{stop - 1}' for start, stop in place.features)}"
        for place in pictures
    ]
    return "; ".join(told) or "none"


_READINGS: dict[str, Readings] = {}


def readings_of(vllm_config: Any) -> Readings | None:
    """The readings of this worker's engine, by the address of its front; None if the engine is not xmguard's."""
    asked = (vllm_config.additional_config or {}).get("xmguard")
    if asked is None:
        return None
    address = asked["address"]
    if address not in _READINGS:
        from xmguard.backends.vllm.worker.telling import Teller

        parallel = vllm_config.parallel_config
        teller = Teller(address, asked["secret"], parallel.rank, parallel.tensor_parallel_size)
        _READINGS[address] = Readings(teller)
    return _READINGS[address]
