"""The built-in features of a pair of spans: one idea a file, symmetric in the spans but for the order of reading.

A feature measures; what its value is worth is for a profile to say.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import EvidenceFeature
from xmguard.verdict.features.agreement import AnswersDiffer
from xmguard.verdict.features.cross_likelihood import ContentDrop, LikelihoodDrop, LostGain, PrefixDrop
from xmguard.verdict.features.directed import DirectedPull
from xmguard.verdict.features.explicit import ExplicitPrompt
from xmguard.verdict.features.isolation import IsolatedDrop
from xmguard.verdict.features.pair_probe import ProbeConflict, ProbeUnanswered
from xmguard.verdict.features.related import RelatedElsewhere
from xmguard.verdict.features.steering import SteeredFlip
from xmguard.verdict.features.uncertainty import Entropy, Gain, RelativeUncertainty
from xmguard.verdict.features.wording import AnswerElsewhere, NumbersElsewhere, QuestionWords, SharedWords
from xmguard.verdict.features.yes_no import YesNo


def built_in() -> Iterable[EvidenceFeature]:
    """Every feature that comes with xmguard."""
    return [
        AnswersDiffer(),
        LikelihoodDrop(),
        PrefixDrop(),
        ContentDrop(),
        LostGain(),
        Gain(),
        Entropy(),
        RelativeUncertainty(),
        SharedWords(),
        QuestionWords(),
        AnswerElsewhere(),
        NumbersElsewhere(),
        RelatedElsewhere(),
        ProbeConflict(),
        ProbeUnanswered(),
        ExplicitPrompt(),
        YesNo(),
        IsolatedDrop(),
        SteeredFlip(),
        DirectedPull(),
    ]
