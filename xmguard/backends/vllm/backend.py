"""A model inside vLLM as xmguard's guard sees it. Loading it is `loader`'s business, reading is `session`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xmguard.abilities import Ability
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.vllm import selftest
from xmguard.backends.vllm.loaded import LoadedEngine
from xmguard.backends.vllm.session import VLLMSession
from xmguard.context import Context, EncodedPrompt
from xmguard.contracts import SelfCheck
from xmguard.deadline import Stop
from xmguard.parts import TEXT
from xmguard.request import Prompt
from xmguard.sizes import Sizes


@dataclass(frozen=True)
class VLLMBackend:
    """Satisfies `xmguard.contracts.Backend`. Safe to share between threads; a session is one thread's."""

    loaded: LoadedEngine
    encoder: PromptEncoder
    architecture: str
    dtype: str
    model_hash: str
    evidence_hash: str
    concurrency: int
    modalities: tuple[str, ...] = (TEXT,)
    engine: str = "vllm"
    lacks: Mapping[Ability, str] = field(default_factory=dict)

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self.loaded.context_length

    @property
    def agrees_with(self) -> tuple[str, ...]:
        """In float32 its numbers are those of the transformers engine, as the tests of both show."""
        return ("transformers",) if self.dtype == "float32" else ()

    @property
    def failure(self) -> str:
        """Why nothing can be answered any more; empty while it can."""
        return self.loaded.engine.failure

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
        """What was run is found again in whole blocks, which are taken to stay cached."""
        context, joins = len(prompt.context_ids), self.loaded.tells_scores
        if self.loaded.engine.salted:
            return Sizes.of(prompt, keeps=False, again=context, joins=joins)
        block = self.loaded.block_tokens
        return Sizes.of(prompt, keeps=False, again=context % block, block=block, joins=joins)

    def open(self, prompt: EncodedPrompt, stop: Stop) -> VLLMSession:
        """Run the context once, so that every branch finds it in the prefix cache."""
        return VLLMSession(self.loaded, prompt, stop)

    def text(self, ids: Sequence[int]) -> str:
        """Token ids to text, special tokens left out."""
        return self.encoder.text(ids)

    def self_test(self) -> Sequence[SelfCheck]:
        """Try on the started engine that a bias does what it says."""
        return selftest.run(self.loaded, self.encoder, self.dtype)

    def close(self) -> None:
        """End vLLM's processes."""
        self.loaded.engine.close()
