"""What is known of one model: the defaults of its requests, how much each attention head is steered, its verdict.

A value; `xmguard.profile_reader` reads it. Knows no policies: whether a profile fits the installed ones and the loaded
model is `xmguard.planning`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xmguard.bias import HeadFactors
from xmguard.calibration import VerdictProfile

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
