"""Adapters that are put onto a model when it is loaded: read and checked first, then merged, or fitted to the answer.

What the verdict is read from is hashed apart from what answers: an answer adapter changes the one and not the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.backends import low_rank
from xmguard.backends.low_rank import LoraFiles, Unusable, Updates
from xmguard.backends.transformers import attention
from xmguard.backends.transformers.answer_adapter import AnswerAdapter
from xmguard.backends.transformers.attention import PlainReading
from xmguard.backends.transformers.families.layout import output_projections
from xmguard.errors import ModelRefused
from xmguard.models.checkpoint import ActsOn, AdapterSource


@dataclass(frozen=True)
class Adapters:
    """What was read for one base model."""

    model_hash: str
    """Of the base and all of them, hexadecimal."""
    evidence_hash: str
    """Of what the verdict is read from: without the answer adapter, if there is one."""
    merged: tuple[tuple[AdapterSource, LoraFiles], ...]
    """In this order."""
    answer: tuple[AdapterSource, LoraFiles] | None

    def merge(self, model: Any) -> None:
        """Add those that act on all rows to the weights, in float32.

        Raises:
            ModelRefused: one does not fit the model.
        """
        like = torch.empty(0, device=model.device)
        for source, files in self.merged:
            for linear, update in _fit(source, files, model, like).items():
                weight: Tensor = linear.weight  # type: ignore[assignment]  # a Linear, or it would not fit
                weight.data.copy_(weight.float() + update.product)

    def answering(self, model: Any) -> AnswerAdapter | None:
        """The one that acts on the joint answer alone.

        Raises:
            ModelRefused: it does not fit the model, or its layers are not run on the rows of a batch as they are.
        """
        if self.answer is None:
            return None
        source, files = self.answer
        updates = _fit(source, files, model, next(model.parameters()))
        if apart := _run_apart(model, updates):
            why = "which does not run a text's rows branch by branch, so it cannot act on the answer's alone"
            remedy = "train it without these layers, or to act on all rows"
            unusable = Unusable(*(f"adapts {name}, {why}" for name in apart), remedy=remedy)
            raise ModelRefused(str(source.folder), _of_the_adapter(unusable))
        heads = model.config.get_text_config(decoder=True).num_attention_heads
        return AnswerAdapter.fitted(updates, output_projections(model), heads)


def read_adapters(sources: Sequence[AdapterSource], base_hash: str) -> Adapters:
    """Read the adapters of a base, whose weights hash to `base_hash`, the first of them put onto it first.

    Raises:
        ModelRefused: with every reason found.
    """
    reasons: list[str] = []
    model_hash = evidence_hash = base_hash
    merged: list[tuple[AdapterSource, LoraFiles]] = []
    answer = None
    for source in sources:
        if source.base_sha256 != model_hash:
            reasons.append(
                f"it was trained on a base that hashes to {source.base_sha256}, this one to {model_hash}; put that "
                "base in this one's place, or train it again on this one"
            )
        if answer is not None:
            reasons.append(
                "its base has an adapter of the joint answer, and nothing can be put onto that; train that adapter "
                "further, or another on the base below it"
            )
        try:
            files = low_rank.read(source.folder, source.sha256, "its card")
            if files.others:
                unread = (f"holds {key}, which nothing here reads" for key in files.others)
                raise Unusable(*unread, remedy="train and save it without modules_to_save and embeddings")
        except Unusable as error:
            reasons += _of_the_adapter(error)
        else:
            if source.acts_on is ActsOn.ANSWER:
                answer = source, files
            else:
                merged.append((source, files))
        model_hash = source.onto(model_hash)
        if source.acts_on is ActsOn.ALL:
            evidence_hash = model_hash
        if reasons:
            raise ModelRefused(str(source.folder), reasons)
    return Adapters(model_hash, evidence_hash, tuple(merged), answer)


def _fit(source: AdapterSource, files: LoraFiles, model: Any, like: Tensor) -> Updates:
    try:
        return files.fit(dict(model.named_modules()), like)
    except Unusable as error:
        raise ModelRefused(str(source.folder), _of_the_adapter(error)) from error


def _of_the_adapter(error: Unusable) -> list[str]:
    return [f"its adapter {reason}" for reason in error.reasons]


@torch.inference_mode()
def _run_apart(model: Any, updates: Updates) -> list[str]:
    """Names of layers that do not see a text of two entries as [batch, query, feature], found by running one."""
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes[module] = tuple(inputs[0].shape[:-1])

    with ExitStack() as stack:
        for module in updates:
            stack.callback(module.register_forward_hook(note).remove)
        ids = torch.zeros(2, 3, dtype=torch.long, device=model.device)
        model(input_ids=ids, use_cache=False, **{attention.KEYWORD: PlainReading()})
    return [name for name, module in model.named_modules() if module in updates and shapes.get(module) != (2, 3)]
