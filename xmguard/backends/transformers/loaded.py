"""A model in memory, with what reading it takes. Knows nothing of requests, prompts or how it was loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xmguard.backends.transformers.answer_adapter import AnswerAdapter
from xmguard.backends.transformers.probe import Probe


@dataclass(frozen=True)
class LoadedModel:
    """Weights, tokenizer, and the constants that sessions need of them. One forward pass at a time."""

    model: Any
    """A `PreTrainedModel` whose attention implementation is xmguard's."""
    tokenizer: Any
    factors: tuple[Tensor, ...]
    """R_h of every layer's output projection."""
    end_ids: frozenset[int]
    """Token ids that end an answer."""
    context_length: int
    """Tokens of prompt and answer together."""
    probe: Probe | None = None
    """Of a pair of spans; None for a model whose profile brings none."""
    adapter: AnswerAdapter | None = None
    """Of the joint answer; None where the model itself gives it."""
    suppressed: tuple[int, ...] = ()
    """Token ids that are never said: `suppress_tokens` of the generation configuration."""
    few_rows: frozenset[int] = frozenset()
    """Numbers of rows that its linear layers multiply one by one (`few_rows`): found by trying, so loads may differ."""

    @property
    def layers(self) -> int:
        """Attention layers."""
        return len(self.factors)

    @property
    def heads(self) -> int:
        """Query heads of a layer."""
        return self.factors[0].shape[0]

    def text(self, ids: Sequence[int]) -> str:
        """Token ids to text, special tokens left out."""
        decoded: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return decoded
