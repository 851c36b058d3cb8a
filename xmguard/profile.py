"""What is known of one model: the defaults of its requests, how much each attention head is steered, its verdict.

A value; `xmguard.profile_reader` reads it. Knows no policies: whether a profile fits the installed ones and the loaded
model is `xmguard.planning`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from xmguard.bias import HeadFactors
from xmguard.calibration import VerdictProfile, language_pair
from xmguard.context import ContextSpan
from xmguard.parts import TEXT
from xmguard.request import Rebalance

CARD = "xmguard.json"
"""File in a model folder that says where the model comes from and what was found about it."""


@dataclass(frozen=True)
class Profile:
    """Defaults for one model."""

    name: str
    """What responses call it."""
    policy: str
    """The policy of requests that name none."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Its parameters then."""
    heads: HeadFactors | None = None
    """Multiplies every epsilon of every policy in each head, [layer][head]; None is 1 everywhere."""
    verdict: VerdictProfile | None = None
    """How its evidence is weighed; None leaves the probabilities uncalibrated."""
    pairs: Mapping[str, Rebalance] = field(default_factory=dict)
    """Policy and parameters of requests that name none and whose spans meet in this way (`meeting`), in their place."""

    def default(self, spans: Sequence[ContextSpan]) -> Rebalance:
        """What a request over these spans gets that names no policy."""
        return self.pairs.get(meeting(spans), Rebalance(self.policy, self.parameters))


def meeting(spans: Sequence[ContextSpan]) -> str:
    """Which languages or modalities meet: `en-zh` for two texts, `image-text` where one span is no text.

    Sorted, whatever order the spans are in; `calibration.language_pair` says what a language is that is not known.
    Empty where not every two of the spans meet in the same way, or there is one span: nothing is known of those.
    """
    found = {_meet(one, other) for one, other in combinations(spans, 2)}
    return found.pop() if len(found) == 1 else ""


def _meet(one: ContextSpan, other: ContextSpan) -> str:
    if one.modality == other.modality == TEXT:
        return language_pair(one.language, other.language)
    return "-".join(sorted((one.modality, other.modality)))
