"""One request's context in a transformers model: prefilled once, read by many branches.

Each branch adds its own suffix (the tail and what it generates) to the shared keys and values of the context. Knows
nothing of verdicts or policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import DynamicCache

from xmguard.attention.segments import Segmentation
from xmguard.backends.transformers.answer_adapter import Adapted, adapted
from xmguard.backends.transformers.attention import AttentionCall, Reading
from xmguard.backends.transformers.branch_reading import BranchReading
from xmguard.backends.transformers.branches import BranchBatch, BranchState
from xmguard.backends.transformers.compact_context import sees_little
from xmguard.backends.transformers.context_keys import ContextKeys
from xmguard.backends.transformers.decoding_batch import DecodingBatch
from xmguard.backends.transformers.directed import directed
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.prefill import ContextStore, forward, probe_rows
from xmguard.backends.transformers.recording import Recording, StepRecorder, measure, measured_rows
from xmguard.backends.transformers.rows import Rows
from xmguard.backends.transformers.sampling import Speaker
from xmguard.backends.transformers.steering import Steering, steer
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import EncodedPrompt, SpanMap
from xmguard.contracts import Branch, Token
from xmguard.deadline import Stop
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.request import Decoding, Scope
from xmguard.usage import SessionUsage

MAX_BATCH = 16
"""Branches run together at most; more are run in chunks, so that memory stays bounded."""


class TransformersSession:
    """Satisfies `xmguard.contracts.Session`."""

    def __init__(
        self, loaded: LoadedModel, prompt: EncodedPrompt, stop: Stop, prefilled: ContextKeys | None = None
    ) -> None:
        self._loaded = loaded
        self._prompt = prompt
        self._stop = stop
        self._device = loaded.model.device
        self._segments = len(prompt.span_map) + 1
        self._branches: dict[str, Branch] = {}
        self._states: dict[str, BranchState] = {}
        self._measurements: dict[str, Measurement] = {}
        self._generated: dict[str, Recording] = {}
        self._decoded: list[DecodingBatch] = []
        self._contexts = ContextStore(loaded, prompt, stop, prefilled)
        self._branch_tokens = 0
        self._contexts.get(AttentionBias())

    def measure(self, branch: Branch) -> Measurement:
        """Contributions over the branch's tail rows, under its bias.

        Raises:
            ValueError: if the branch is not `measured`.
        """
        if not branch.measured:
            raise ValueError(f"branch {branch.name!r} does not ask to be measured")
        self.prepare([branch])
        return self._measurements[branch.name]

    def decode(self, branches: Sequence[Branch], decoding: Mapping[str, Decoding]) -> Iterator[Token]:
        """Decode step by step, all branches of a step before the next; see `xmguard.contracts.Session`."""
        self.prepare(branches)
        for batch in self._decoded:  # a stream that was abandoned keeps what it has read
            self._measure_steps(batch)
        batches = []
        for group in self._by_context(branches):
            states = [self._states[branch.name] for branch in group]
            speakers = []
            for branch, state in zip(group, states, strict=True):
                speakers.append(Speaker(self._loaded, branch, decoding[branch.name], state.position))
                self._generated[branch.name] = Recording()
            logits = torch.stack([state.logits for state in states])
            steering = self._steering(group, generated=True)
            batches.append(DecodingBatch(BranchBatch(states), speakers, logits, StepRecorder(self._loaded), steering))
        self._decoded = batches
        while batches:
            self._stop.check()
            for batch in batches:
                yield from self._step(batch)
            # A batch that has ended is measured; its caches are not needed any more.
            batches = self._decoded = [batch for batch in batches if batch.speakers]

    def generated(self, branch: Branch) -> Measurement:
        """Contributions over the generated tokens that have been read back so far."""
        for batch in self._decoded:
            self._measure_steps(batch)
        return self._generated.get(branch.name, Recording()).measurement(self._prompt.span_map)

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Teacher-forced log-probabilities; see `xmguard.contracts.Session`."""
        self.prepare([branch for branch, _ in pairs])
        scores: list[tuple[float, ...]] = []
        for first in range(0, len(pairs), MAX_BATCH):
            self._stop.check()
            scores += self._score_chunk(pairs[first : first + MAX_BATCH])
        return scores

    @torch.inference_mode()
    def probe(self, branches: Sequence[Branch]) -> list[tuple[float, ...]]:
        """The probe's rows of every branch, as batches; see `xmguard.contracts.Session`."""
        if self._loaded.probe is None:
            raise ValueError("the model has no probe")
        if len({len(branch.tail) for branch in branches}) > 1:
            raise ValueError("branches of different tails cannot be probed together")
        self._know(branches)
        found: dict[str, tuple[float, ...]] = {}
        for group in self._by_context(branches):
            self._stop.check()
            rows = self._tail_rows(group, self._contexts.get(group[0].bias), len(group[0].tail))
            ids = torch.tensor([branch.tail for branch in group], device=self._device)
            self._branch_tokens += ids.numel()
            logits = probe_rows(self._loaded.probe, ids, rows).tolist()
            found |= {branch.name: tuple(row) for branch, row in zip(group, logits, strict=True)}
        return [found[branch.name] for branch in branches]

    @torch.inference_mode()
    def directed(self, branch: Branch, answer: Sequence[int]) -> DirectedContribution:
        """The answer's rows once more, from the last token of the tail on; see `xmguard.contracts.Session`.

        Raises:
            ValueError: if the answer is empty.
        """
        if not answer:
            raise ValueError("an answer without tokens has no direction")
        self.prepare([branch])
        self._stop.check()
        state = self._states[branch.name]
        caches = BranchBatch([state])
        own_start = caches.own_start
        caches.cache.crop(-1)
        start = state.position - 1
        tail_row = [branch.bias.scope is not Scope.GENERATED]
        reads = torch.tensor(tail_row + [True] * (len(answer) - 1), device=self._device)
        every_span = torch.arange(self._segments, device=self._device) > 0
        rows = Rows(
            segments=self._segments,
            own=Segmentation.from_spans([], state.length - 1 + len(answer)),
            context=state.context,
            positions=torch.arange(start, start + len(answer), device=self._device).unsqueeze(0),
            own_start=own_start,
            key_mask=None,
            steering=steer(
                self._loaded,
                [branch.bias],
                self._prompt.span_map,
                readable=every_span.view(-1, 1, 1, 1) & reads,
            ),
            adapted=self._adapted([branch]),
        )
        read = [branch.tail[-1], *answer[:-1]]
        self._branch_tokens += len(read)
        logits = directed(self._loaded, rows, read, answer, caches.cache).mean(-1)
        cube = tuple(tuple(tuple(head) for head in layer) for layer in logits.tolist())
        return DirectedContribution(self._prompt.span_map, cube, len(answer))

    def recut(self, span_map: SpanMap) -> TransformersSession:
        """A session on the same keys, cut at other borders; see `xmguard.contracts.Session`."""
        if span_map.context_tokens != self._prompt.span_map.context_tokens:
            raise ValueError(f"a map of {span_map.context_tokens} tokens is not of this context")
        keys = self._contexts.get(AttentionBias())
        return TransformersSession(self._loaded, replace(self._prompt, span_map=span_map), self._stop, keys)

    def usage(self) -> SessionUsage:
        """Tokens run so far."""
        # Each branch would have run the whole context for itself; what was run is all that was paid.
        run = self._contexts.tokens_run
        cached = len(self._branches) * len(self._prompt.context_ids) - run
        return SessionUsage(run, self._branch_tokens, max(0, cached))

    def close(self) -> None:
        """Free the caches."""
        self._decoded = []
        self._states.clear()
        self._contexts.clear()

    # -- tails -------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def prepare(self, branches: Sequence[Branch]) -> None:
        """Run the tails of the branches that have not been run, those that can be as one batch."""
        groups: dict[tuple[int, bool], dict[str, Branch]] = {}
        self._know(branches)
        for branch in branches:
            if branch.name not in self._states:
                groups.setdefault(self._group(branch), {})[branch.name] = branch
        for group in groups.values():
            pending = list(group.values())
            for first in range(0, len(pending), MAX_BATCH):
                self._stop.check()
                self._run_tails(pending[first : first + MAX_BATCH])

    def _know(self, branches: Sequence[Branch]) -> None:
        """Results are kept by name, so a name stands for one branch."""
        for branch in branches:
            if self._branches.setdefault(branch.name, branch) != branch:
                raise ValueError(f"two branches of one session are named {branch.name!r}")

    def _run_tails(self, branches: Sequence[Branch]) -> None:
        context = self._contexts.get(branches[0].bias)
        start = self._prompt.span_map.context_tokens
        lengths = [len(branch.tail) for branch in branches]
        width = max(lengths)
        rows = self._tail_rows(branches, context, width)
        measured = measured_rows(branches, self._device)
        reading = BranchReading(rows, measured)
        cache = DynamicCache()
        # Padding on the right is read by nothing that is used: attention is causal.
        padded = [[*branch.tail, *[0] * (width - len(branch.tail))] for branch in branches]
        ends = torch.tensor(sorted({length - 1 for length in lengths}), device=self._device)
        ids = torch.tensor(padded, device=self._device)
        logits = self._forward(ids, rows, cache, reading, keep=ends)
        self._branch_tokens -= ids.numel() - sum(lengths)
        column = {int(end) + 1: index for index, end in enumerate(ends)}
        for row, (branch, length) in enumerate(zip(branches, lengths, strict=True)):
            own = (slice(row, row + 1), slice(None), slice(length))
            self._states[branch.name] = BranchState(
                context,
                tuple(layer.keys[own] for layer in cache.layers),
                tuple(layer.values[own] for layer in cache.layers),
                logits[row, column[length]],
                start + length,
            )
        if measured is not None:
            recorded = [branch for branch in branches if branch.measured]
            for length in {len(branch.tail) for branch in recorded}:
                self._measure_tails(recorded, length, context, reading.calls, cache, measured)

    def _measure_tails(
        self,
        recorded: Sequence[Branch],
        length: int,
        context: ContextKeys,
        calls: Mapping[int, AttentionCall],
        cache: DynamicCache,
        measured: Tensor,
    ) -> None:
        """Measure the tails of one length among those whose queries were kept."""
        chosen = [index for index, branch in enumerate(recorded) if len(branch.tail) == length]
        branches = [recorded[index] for index in chosen]
        rows = self._tail_rows(branches, context, length)
        queries = {layer: replace(call, query=call.query[chosen, :, :length]) for layer, call in calls.items()}
        recordings = [Recording() for _ in branches]
        measure(self._loaded, rows, queries, cache, measured[chosen], recordings)
        for branch, recording in zip(branches, recordings, strict=True):
            self._measurements[branch.name] = recording.measurement(self._prompt.span_map)

    def _tail_rows(self, branches: Sequence[Branch], context: ContextKeys, width: int) -> Rows:
        start = self._prompt.span_map.context_tokens
        positions = torch.arange(start, start + width, device=self._device).expand(len(branches), -1)
        return Rows(
            segments=self._segments,
            own=Segmentation.from_spans([], width),
            context=context,
            positions=positions,
            own_start=positions[:, 0],
            key_mask=None,
            steering=self._steering(branches, generated=False),
            adapted=self._adapted(branches),
        )

    # -- decoding ----------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _step(self, batch: DecodingBatch) -> list[Token]:
        """One token for every branch of the batch, then the forward pass for those that go on."""
        logprobs = torch.log_softmax(batch.logits.float(), dim=-1)
        entropies = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)
        tokens = [
            speaker.say(*row) for speaker, *row in zip(batch.speakers, batch.logits, logprobs, entropies, strict=True)
        ]
        going = [row for row, token in enumerate(tokens) if not token.last]
        if len(going) < len(batch.speakers):
            self._keep(batch, going)
        if going:
            self._advance(batch, [tokens[row].id for row in going])
        return tokens

    def _keep(self, batch: DecodingBatch, going: list[int]) -> None:
        """Drop the branches that have ended."""
        self._measure_steps(batch)
        if going:
            batch.caches.keep(torch.tensor(going, device=self._device))
        batch.speakers = [batch.speakers[row] for row in going]
        batch.steering = self._steering(batch.branches, generated=True)

    def _advance(self, batch: DecodingBatch, next_ids: Sequence[int]) -> None:
        caches = batch.caches
        ids = torch.tensor(next_ids, device=self._device).unsqueeze(-1)
        rows = self._rows_after(caches, 1, batch.branches, batch.steering)
        reading = BranchReading(rows, measured_rows(batch.branches, self._device))
        batch.logits = self._forward(ids, rows, caches.cache, reading, keep=1)[:, -1]
        caches.positions = caches.positions + 1
        if reading.kept is not None:
            batch.steps.keep(reading)
            if batch.steps.is_full:
                self._measure_steps(batch)

    def _measure_steps(self, batch: DecodingBatch) -> None:
        measured = measured_rows(batch.branches, self._device)
        if measured is None:
            return
        branches = [branch for branch in batch.branches if branch.measured]
        steering = self._steering(branches, generated=True)
        recordings = [self._generated[branch.name] for branch in branches]
        batch.steps.measure(batch.caches, measured, steering, self._adapted(branches), recordings)

    # -- scoring -----------------------------------------------------------------------------------------------------

    def _score_chunk(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> list[tuple[float, ...]]:
        results: dict[int, tuple[float, ...]] = {}
        groups: dict[tuple[int, bool], list[int]] = {}
        for index, (branch, _) in enumerate(pairs):
            groups.setdefault(self._group(branch), []).append(index)
        for members in groups.values():
            for index, scores in zip(members, self._score_batch([pairs[index] for index in members]), strict=True):
                results[index] = scores
        return [results[index] for index in range(len(pairs))]

    def _score_batch(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> list[tuple[float, ...]]:
        states = [self._states[branch.name] for branch, _ in pairs]
        first = torch.stack([state.logits for state in states]).unsqueeze(1)
        width = max(len(ids) for _, ids in pairs) - 1
        logits = first
        if width > 0:
            caches = BranchBatch(states)
            # Padding on the right is read by nothing that is scored: attention is causal.
            ids = torch.tensor([[*ids[:-1], *[0] * (width - len(ids) + 1)] for _, ids in pairs], device=self._device)
            branches = [branch for branch, _ in pairs]
            rows = self._rows_after(caches, width, branches, self._steering(branches, generated=True))
            scored = self._forward(ids, rows, caches.cache, BranchReading(rows), keep=width)
            self._branch_tokens -= ids.numel() - sum(len(answer) - 1 for _, answer in pairs)
            logits = torch.cat([first, scored], dim=1)
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        return [
            tuple(float(logprobs[row, column, token]) for column, token in enumerate(ids))
            for row, (_, ids) in enumerate(pairs)
        ]

    # -- shared ------------------------------------------------------------------------------------------------------

    def _forward(self, ids: Tensor, rows: Rows, cache: DynamicCache, reading: Reading, *, keep: int | Tensor) -> Tensor:
        """Logits of some positions (`forward`), [batch, kept, vocabulary].

        The tokens count as the branches', padding included: whoever pads takes that off again.
        """
        self._branch_tokens += ids.numel()
        return forward(self._loaded, ids, rows.rotary, cache, reading, keep=keep, adapted=rows.adapted)

    def _rows_after(self, caches: BranchBatch, new: int, branches: Sequence[Branch], steering: Steering | None) -> Rows:
        """The next `new` rows of branches that have caches of their own."""
        return Rows(
            segments=self._segments,
            own=Segmentation.from_spans([], caches.width + new),
            context=caches.context,
            positions=caches.positions.unsqueeze(-1) + torch.arange(new, device=self._device),
            own_start=caches.own_start,
            key_mask=caches.key_mask(new),
            steering=steering,
            adapted=self._adapted(branches),
        )

    def _steering(self, branches: Sequence[Branch], *, generated: bool) -> Steering | None:
        """What rows after the context are read with."""
        none = AttentionBias()
        biases = [branch.bias for branch in branches]
        applied = [bias if generated or bias.scope is not Scope.GENERATED else none for bias in biases]
        return steer(self._loaded, applied, self._prompt.span_map)

    def _adapted(self, branches: Sequence[Branch]) -> Adapted | None:
        """Which of them the answer adapter reads."""
        return adapted(self._loaded.adapter, [branch.answers for branch in branches])

    def _group(self, branch: Branch) -> tuple[int, bool]:
        """Branches of one group run together: they read one context, and all see most of it or all see little."""
        context = self._contexts.get(branch.bias)
        ids = self._prompt.span_map.ids
        removed = {number for number, span in enumerate(ids, start=1) if branch.bias.epsilon.get(span) == REMOVE}
        return id(context), branch.bias.heads is None and sees_little(removed, context)

    def _by_context(self, branches: Sequence[Branch]) -> list[list[Branch]]:
        """Branches that share a context, in chunks."""
        groups: dict[tuple[int, bool], list[Branch]] = {}
        for branch in branches:
            groups.setdefault(self._group(branch), []).append(branch)
        return [group[at : at + MAX_BATCH] for group in groups.values() for at in range(0, len(group), MAX_BATCH)]
