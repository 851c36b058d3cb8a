"""From logits to tokens: which token a branch says next.

Knows nothing of attention, caches or batches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmguard.backends.ending import Ending
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.contracts import Branch, Token
from xmguard.request import Decoding


class Speaker:
    """One branch that is being decoded."""

    def __init__(self, loaded: LoadedModel, branch: Branch, settings: Decoding, position: int) -> None:
        """`position` is that of its first generated token: the model's context bounds what it can say."""
        self.branch = branch
        self._loaded = loaded
        self._temperature = settings.temperature
        budget = min(settings.max_tokens, loaded.context_length - position)
        self._ending = Ending(branch, end_ids=loaded.end_ids, budget=budget, text=loaded.text)
        self._generator = _generator(settings, loaded.model.device)

    def say(self, logits: Tensor, logprobs: Tensor, entropy: Tensor) -> Token:
        """The next token, from logits and log-probabilities [vocabulary] and their entropy.

        Suppressed tokens are never drawn; the log-probabilities stay those of the model, which counts them.
        """
        token = self._sample(logits)
        last, is_end = self._ending.at(token)
        return Token(self.branch.name, token, float(logprobs[token]), float(entropy), last, is_end)

    def _sample(self, logits: Tensor) -> int:
        if suppressed := self._loaded.suppressed:
            logits = logits.index_fill(-1, torch.tensor(suppressed, device=logits.device), -torch.inf)
        if self._generator is None:
            return int(logits.argmax())
        probabilities = torch.softmax(logits.float() / self._temperature, dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


def _generator(settings: Decoding, device: torch.device) -> torch.Generator | None:
    """None decodes greedily."""
    if settings.temperature <= 0:
        return None
    generator = torch.Generator(device=device)
    if settings.seed is None:
        generator.seed()
    else:
        generator.manual_seed(settings.seed % 2**63)
    return generator
