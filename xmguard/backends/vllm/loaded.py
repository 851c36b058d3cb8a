"""A started engine, and the constants that sessions need of its model. Knows nothing of requests or of loading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xmguard.backends.vllm.engine import Engine

ANSWER = "answer"
"""Name of the adapter of the joint answer, in a `ReadingSpec` and in the workers' configuration."""
PROBE = "probe"
"""That of the pair probe's."""


@dataclass(frozen=True)
class LoadedEngine:
    """What sessions share."""

    engine: Engine
    end_ids: frozenset[int]
    """Token ids that end an answer."""
    context_length: int
    """Tokens of prompt and answer together."""
    block_tokens: int
    """Tokens of a block of the prefix cache; what is shorter is not kept."""
    text: Callable[[Sequence[int]], str]
    """Token ids to text, special tokens left out."""
    tells_scores: bool = False
    """Whether its workers tell what is scored, from the rows that predict it alone; otherwise vLLM tells of every row,
    and of one continuation at a time."""
    adapters: frozenset[str] = frozenset()
    """Names of those that the workers have loaded: `ANSWER`, `PROBE`."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are never said."""
