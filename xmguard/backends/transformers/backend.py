"""A loaded transformers model as xmguard's guard sees it. Loading it is `loader`'s business, reading is `session`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xmguard.backends.transformers import selftest
from xmguard.backends.transformers.prompting import PromptEncoder
from xmguard.backends.transformers.session import TransformersSession
from xmguard.context import Context, EncodedPrompt
from xmguard.contracts import SelfCheck
from xmguard.deadline import Stop
from xmguard.request import Prompt


@dataclass(frozen=True)
class TransformersBackend:
    """Satisfies `xmguard.contracts.Backend`. One forward pass at a time; its owner queues requests."""

    model: Any
    """A `PreTrainedModel` whose attention implementation is xmguard's."""
    tokenizer: Any
    encoder: PromptEncoder
    factors: tuple[Tensor, ...]
    """R_h of every layer's output projection."""
    end_ids: frozenset[int]
    """Token ids that end an answer."""
    architecture: str
    dtype: str
    model_hash: str
    context_length: int
    engine: str = "transformers"

    def encode(self, context: Context, prompt: Prompt) -> EncodedPrompt:
        """Token ids of the prompt and the position of every span."""
        return self.encoder.encode(context, prompt)

    def open(self, prompt: EncodedPrompt, stop: Stop) -> TransformersSession:
        """Prefill the context once and keep its cache."""
        return TransformersSession(self, prompt, stop)

    def text(self, ids: Sequence[int]) -> str:
        """Token ids to text, special tokens left out."""
        decoded: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return decoded

    def self_test(self) -> Sequence[SelfCheck]:
        """Compare the loaded model with masked SDPA."""
        return selftest.run(self)
