"""A loaded transformers model as xmguard's guard sees it. Loading it is `loader`'s business, reading is `session`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xmguard.abilities import Ability
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.transformers import selftest
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.session import TransformersSession
from xmguard.context import Context, EncodedPrompt
from xmguard.contracts import SelfCheck
from xmguard.deadline import Stop
from xmguard.request import Prompt
from xmguard.sizes import Sizes


@dataclass(frozen=True)
class TransformersBackend:
    """Satisfies `xmguard.contracts.Backend`. One forward pass at a time; its owner queues requests."""

    loaded: LoadedModel
    encoder: PromptEncoder
    architecture: str
    dtype: str
    model_hash: str
    evidence_hash: str
    modalities: tuple[str, ...]
    engine: str = "transformers"
    concurrency: int = 1
    agrees_with: tuple[str, ...] = ()
    failure: str = ""
    lacks: Mapping[Ability, str] = field(default_factory=dict)

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self.loaded.context_length

    def encode(self, context: Context, prompt: Prompt) -> EncodedPrompt:
        """Token ids of the prompt and the position of every span."""
        return self.encoder.encode(context, prompt)

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """Ids of a text that ends the message, and of what begins the reply."""
        return self.encoder.tail(task, opening)

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of a text as it is."""
        return self.encoder.ids(text)

    def sizes(self, prompt: EncodedPrompt) -> Sizes:
        """A session keeps the keys of everything that it has read."""
        return Sizes.of(prompt, keeps=True)

    def open(self, prompt: EncodedPrompt, stop: Stop) -> TransformersSession:
        """Prefill the context once and keep its cache."""
        return TransformersSession(self.loaded, prompt, stop)

    def text(self, ids: Sequence[int]) -> str:
        """Token ids to text, special tokens left out."""
        return self.loaded.text(ids)

    def self_test(self) -> Sequence[SelfCheck]:
        """Compare the loaded model with masked attention."""
        return selftest.run(self.loaded, self.encoder, self.dtype)

    def close(self) -> None:
        """Nothing is held beside memory, which is freed with the object."""
