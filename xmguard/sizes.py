"""How many tokens an engine runs for its readings of one prompt, known before any of them is run. Pure arithmetic.

Everything here is an upper bound. Knows no engine by name, and not what is read for what.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from xmguard.context import EncodedPrompt


@dataclass(frozen=True)
class Sizes:
    """Lengths of a prompt's parts in tokens, and what its engine runs again."""

    spans: int
    context: int
    joint_tail: int
    alone_tail: int
    probe_tail: int
    keeps: bool = True
    """Whether a tail that was run once is kept for whatever continues it."""
    again: int = 0
    """Tokens of the context that each reading runs again."""
    block: int = 0
    """Of a tail that was run once, whatever continues it finds whole blocks of so many tokens; 0 where it finds none.
    What `keeps` finds all."""
    joins: bool = False
    """Whether continuations that differ in their last token alone are one reading."""
    probe_says: int = 0
    """Tokens that each reading of the pair probe generates."""

    @classmethod
    def of(cls, prompt: EncodedPrompt, *, keeps: bool, again: int = 0, block: int = 0, joins: bool = False) -> Sizes:
        """Those of a prompt whose ids are tokens."""
        return cls(
            spans=len(prompt.span_map),
            context=len(prompt.context_ids),
            joint_tail=len(prompt.joint_tail),
            alone_tail=len(prompt.alone_tail),
            probe_tail=len(prompt.probe_tail),
            keeps=keeps,
            again=again,
            block=block,
            joins=joins,
        )

    @property
    def changed(self) -> int:
        """Tokens of the context that are run anew with a bias inside it; readings that are alike share them."""
        return self.context - self.again

    def decoded(self, branches: int, tail: int, tokens: int) -> int:
        """Of branches that read a tail and say so many tokens."""
        return branches * (self.again + tail + tokens)

    def continued(self, readings: int, tail: int, tokens: int) -> int:
        """Of continuations after tails that were run before."""
        if self.keeps:
            return readings * tokens
        broken = self.again + tail
        if self.block:  # that ends anywhere within a block, because a tail may be shorter than it was said to be
            broken = min(broken, self.block - 1)
        return readings * (broken + tokens)

    def scored(self, branches: int, tail: int, each: int, tokens: int) -> int:
        """Of `each` continuations of every branch, its tail included."""
        if self.keeps:
            return branches * (tail + each * tokens)
        return self.decoded(branches, tail, tokens) + self.continued(branches * (each - 1), tail, tokens)

    def chosen(self, branches: int, tail: int, choices: Collection[Sequence[int]]) -> int:
        """Of the same continuations of every branch, whose ids are known; its tail included."""
        readings = {tuple(ids[:-1]) for ids in choices} if self.joins else choices
        return self.scored(branches, tail, len(readings), max(map(len, choices)))


@dataclass(frozen=True)
class FeatureSizes:
    """What a feature of the verdict may run on, at most; for `RunningFeature.tokens` and `ReachingFeature.reach`."""

    sizes: Sizes
    question: str
    answer: int
    """Tokens of a span's answer."""
    orders: int
    """Of the spans that the pair probe reads; the second one is a context of its own."""
    tail: Callable[[str], int]
    """Tokens of a task that is asked of the context, everything around it included."""
    ids: Callable[[str], Sequence[int]]
    """Ids of a plain text."""

    @property
    def pairs(self) -> int:
        """Pairs of spans."""
        return self.sizes.spans * (self.sizes.spans - 1) // 2

    @property
    def reread(self) -> int:
        """Tokens of a span's answer whose text is encoded anew: three for a byte that is no character by itself."""
        return 3 * self.answer + 1


@runtime_checkable
class RunningFeature(Protocol):
    """What a feature of the verdict says of the branches it runs. One that says nothing runs none."""

    probes: bool
    """Whether it looks at `EvidenceReading.probed`, which is run once for all features."""

    def tokens(self, asked: FeatureSizes) -> int:
        """Tokens that `measure` runs by itself at most."""


@runtime_checkable
class ReachingFeature(Protocol):
    """What a feature says that reads farther past the context than the prompt's own tails and the spans' answers go.

    A prompt after which the model's context has no room for it is refused before anything is run.
    """

    def reach(self, asked: FeatureSizes) -> int:
        """Tokens after the context that its longest branch reads at most; the last token it scores is never read."""
