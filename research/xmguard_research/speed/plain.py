"""Generation without xmguard: the baseline, and what a user would do instead of xmguard.

Times decoding steps from a prompt that has been prefilled, or a generation as a whole. Nothing of xmguard's engine
takes part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from xmguard.context import EncodedPrompt
from xmguard_research.speed.timing import Timed, Tokens

CACHED = 1
"""Tokens of a prompt that are left to the first step, which gives the first new token."""


@dataclass(frozen=True)
class Prefilled:
    """A prompt's cache, for any number of decodings."""

    ids: tuple[int, ...]
    keys: tuple[Tensor, ...]
    """Per layer [1, kv_head, prompt - CACHED, head_dim]."""
    values: tuple[Tensor, ...]

    def cache(self, batch: int) -> DynamicCache:
        """A cache of its own with the prompt `batch` times."""
        cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(self.keys, self.values, strict=True)):
            cache.update(key.expand(batch, -1, -1, -1), value.expand(batch, -1, -1, -1), layer)
        return cache


@dataclass(frozen=True)
class SpanMask:
    """A bias written as the additive mask that transformers takes: [1, 1, query, key], nats."""

    prompt: EncodedPrompt
    epsilon: dict[str, float]
    dtype: torch.dtype

    def prefill(self) -> Tensor:
        """Causal over the whole prompt; rows after the context read with the bias."""
        rows = len(self.prompt.context_ids) + len(self.prompt.joint_tail)
        mask = torch.full((rows, rows), torch.finfo(self.dtype).min, dtype=self.dtype).triu(1)
        for span in self.prompt.span_map:
            mask[self.prompt.span_map.context_tokens :, span.start : span.stop] += self.epsilon.get(span.span_id, 0.0)
        return mask[None, None]

    def step(self, keys: int) -> Tensor:
        """One row that reads all keys."""
        mask = torch.zeros(1, 1, 1, keys, dtype=self.dtype)
        for span in self.prompt.span_map:
            mask[..., span.start : span.stop] = self.epsilon.get(span.span_id, 0.0)
        return mask


@dataclass
class Clock:
    """A streamer for `generate` that notes when tokens come. The first call brings the prompt."""

    moments: list[float] = field(default_factory=list)

    def put(self, value: Tensor) -> None:
        """Note the moment."""
        self.moments.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to note."""


@torch.inference_mode()
def prefill(model: Any, ids: Sequence[int], mask: Tensor | None = None) -> Prefilled:
    """Run a prompt but for its last token; `mask` is of the whole prompt."""
    cache = DynamicCache()
    rows = len(ids) - CACHED
    model(
        input_ids=torch.tensor([list(ids[:rows])]),
        attention_mask=None if mask is None else mask[..., :rows, :rows],
        past_key_values=cache,
        logits_to_keep=1,
    )
    return Prefilled(
        tuple(ids), tuple(layer.keys for layer in cache.layers), tuple(layer.values for layer in cache.layers)
    )


def decode(model: Any, prefilled: Prefilled, *, batch: int, steps: int) -> Timed:
    """`model.generate`, greedy: seconds from its first new token to the last, `steps` forward passes later."""
    clock = Clock()
    ids = torch.tensor([prefilled.ids] * batch)
    tokens = _generate(model, ids, steps + 1, streamer=clock, past_key_values=prefilled.cache(batch))
    return Timed(clock.moments[-1] - clock.moments[1], tokens)


def whole(model: Any, ids: Sequence[int], *, tokens: int) -> Timed:
    """`model.generate` from nothing, greedy: seconds of the prefill and `tokens` new tokens."""
    prompt = torch.tensor([list(ids)])
    started = time.perf_counter()
    said = _generate(model, prompt, tokens)
    return Timed(time.perf_counter() - started, said)


def separate(model: Any, prompts: Sequence[Sequence[int]], *, tokens: int) -> Timed:
    """One generation after the other, each from nothing: seconds of all."""
    runs = [whole(model, ids, tokens=tokens) for ids in prompts]
    return Timed(sum(run.seconds for run in runs), tuple(row for run in runs for row in run.tokens))


@torch.inference_mode()
def decode_masked(model: Any, prefilled: Prefilled, mask: SpanMask, *, steps: int) -> Timed:
    """Greedy steps that hand the model the mask each time: seconds from the first new token to the last."""

    def step(ids: Tensor, cache: DynamicCache) -> Tensor:
        keys = cache.get_seq_length() + ids.shape[1]
        logits: Tensor = model(input_ids=ids, attention_mask=mask.step(keys), past_key_values=cache).logits
        return logits

    return _by_hand(step, prefilled, steps)


@torch.inference_mode()
def whole_masked(model: Any, prompt: EncodedPrompt, mask: SpanMask, *, tokens: int) -> Timed:
    """Prefill under the mask of the whole prompt and `tokens` greedy steps: seconds of all."""
    started = time.perf_counter()
    prefilled = prefill(model, (*prompt.context_ids, *prompt.joint_tail), mask.prefill())
    run = decode_masked(model, prefilled, mask, steps=tokens - 1)
    return Timed(time.perf_counter() - started, run.tokens)


@torch.inference_mode()
def decode_with_weights(model: Any, prefilled: Prefilled, prompt: EncodedPrompt, *, steps: int) -> Timed:
    """Greedy steps of an eager model that returns its weights, summed per span: seconds from first token to last."""
    masses: list[Tensor] = []

    def step(ids: Tensor, cache: DynamicCache) -> Tensor:
        output = model(input_ids=ids, past_key_values=cache, output_attentions=True)
        weights = torch.stack([layer[0, :, -1] for layer in output.attentions])
        masses.extend(weights[..., span.start : span.stop].sum(-1) for span in prompt.span_map)
        logits: Tensor = output.logits
        return logits

    return _by_hand(step, prefilled, steps)


def _by_hand(step: Callable[[Tensor, DynamicCache], Tensor], prefilled: Prefilled, steps: int) -> Timed:
    """A greedy loop; the step that gives the first new token comes before the clock starts."""
    cache = prefilled.cache(1)
    tokens = [int(step(torch.tensor([prefilled.ids[-CACHED:]]), cache)[0, -1].argmax())]
    started = time.perf_counter()
    for _ in range(steps):
        tokens.append(int(step(torch.tensor([[tokens[-1]]]), cache)[0, -1].argmax()))
    return Timed(time.perf_counter() - started, (tuple(tokens),))


def _generate(model: Any, ids: Tensor, tokens: int, **options: Any) -> Tokens:
    """New tokens of a greedy generation.

    Raises:
        RuntimeError: there are fewer than asked for, so that times of different work would be compared.
    """
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, **options
    )[:, ids.shape[1] :]
    if output.shape[1] != tokens:
        raise RuntimeError(f"plain generation ended after {output.shape[1]} of {tokens} tokens")
    return tuple(tuple(row) for row in output.tolist())
