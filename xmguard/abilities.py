"""What an engine may be unable to do with a model. It always decodes, and always leaves out a span that is removed.

Pure values: whoever needs what is lacking does without, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Ability(Enum):
    """Something that an engine may lack; the value is what a response then lacks, for people."""

    MEASURE = "contributions"
    """Contributions, shares and attention of the spans: `Session.measure`, `generated` and `directed`."""
    STEER = "rebalancing"
    """Any bias but the removal of a span."""
    SCORE = "likelihoods"
    """Log-probabilities of answers that others gave, and of an answer's sentences removed: `Session.score`, `recut`."""
    ENTROPY = "entropies"
    """Of the distributions that tokens are drawn from: `Token.entropy`."""
    GREEDY = "greedy decoding"
    """Saying the likeliest token at temperature 0."""
    COUNT = "token counts"
    """How many tokens a branch read and said."""


def absences(lacks: Mapping[Ability, str]) -> list[str]:
    """One line for each reason, with everything that is lacking for it."""
    return [
        f"no {', '.join(ability.value for ability, own in lacks.items() if own == why)}: {why}"
        for why in dict.fromkeys(lacks.values())
    ]
