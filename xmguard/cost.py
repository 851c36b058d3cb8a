"""What a request costs, in tokens: an upper bound of everything that will be run for it, known before anything is.

A server admits by it. With many spans nearly all of it is their square: likelihoods of answers under other spans, the
pair probe, features of pairs. Where no two spans say the same most of that is run, where all do hardly any; which it
is shows only once every span has answered, so no bound that is known before can be smaller.

Pure arithmetic on lengths; what an engine runs again is for `xmguard.sizes` to say. Tokens count each time they go
through the model. What an encoder of pictures does with pixels is not counted, nor what a plugin's policy makes of a
scope that it was not asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from xmguard.abilities import Ability
from xmguard.contracts import EvidenceFeature
from xmguard.quoting import MAX_PASSAGES, MAX_SPANS
from xmguard.request import AnswerRequest, Scope
from xmguard.sizes import FeatureSizes, RunningFeature, Sizes
from xmguard.validation import MEASURE_ONLY


@dataclass(frozen=True)
class Cost:
    """Tokens at most."""

    joint: int
    """Context, measurements and the joint answer: what is left when a verdict is skipped."""
    evidence: int
    """Spans read alone, likelihoods, features and quotes."""

    @property
    def total(self) -> int:
        """Of both."""
        return self.joint + self.evidence


def joint_cost(sizes: Sizes, request: AnswerRequest, lacks: Collection[Ability], *, answers: bool, room: int) -> int:
    """Of the context and the joint reading.

    Args:
        sizes: of the prompt.
        request: with its defaults settled.
        lacks: what the engine cannot do.
        answers: whether the joint answer is decoded; a check decodes none.
        room: tokens that fit after the prompt; 0 where nobody tells.
    """
    steers = request.rebalance.policy != MEASURE_ONLY and Ability.STEER not in lacks
    readings = 2 if steers else 1
    decoded = (2 if steers and request.detail.unbiased_answer else 1) if answers else 0
    said = min(request.decoding.max_tokens, room) if room else request.decoding.max_tokens
    measured = 0 if Ability.MEASURE in lacks else readings
    tails = readings if sizes.keeps else measured + decoded
    total = sizes.context + sizes.decoded(tails, sizes.joint_tail, 0) + decoded * said
    if answers and request.detail.toward_answer:
        total += sizes.continued(1, sizes.joint_tail, said)
    if steers and request.rebalance.scope is Scope.ALL:
        total += sizes.changed
    return total


def evidence_cost(
    asked: FeatureSizes,
    lacks: Collection[Ability],
    features: Sequence[EvidenceFeature],
    sentences: Sequence[int],
    *,
    judged: bool,
) -> int:
    """Of the spans read alone, and of the verdict where there is one.

    Args:
        asked: sizes of the prompt, and of what features ask of it.
        lacks: what the engine cannot do.
        features: that the verdict's estimator asks for.
        sentences: of each span; the longest are quoted.
        judged: whether a verdict is reached; one span alone has none.
    """
    sizes = asked.sizes
    total = sizes.decoded(sizes.spans, sizes.alone_tail, asked.answer)
    scored = judged and Ability.SCORE not in lacks
    if sizes.keeps or scored:  # for what the answers are worth unread; what is kept is run before anybody asks
        total += sizes.decoded(1, sizes.alone_tail, 0)
    if not judged:
        return total
    if scored:
        # Every answer unread, and under every other span where no two say the same.
        total += sizes.continued(sizes.spans**2, sizes.alone_tail, asked.answer)
        quoted = sum(sorted(map(_removals, sentences))[-MAX_SPANS:])
        total += sizes.scored(quoted, sizes.alone_tail, 1, asked.answer)
    running = [feature for feature in features if isinstance(feature, RunningFeature)]
    if sizes.probe_tail and any(feature.probes for feature in running):
        total += asked.orders * sizes.decoded(asked.pairs, sizes.probe_tail, sizes.probe_says)
        total += (asked.orders - 1) * sizes.context
    return total + sum(feature.tokens(asked) for feature in running)


def _removals(sentences: int) -> int:
    """Passages of a span that are removed in turn until one sentence is left."""
    removed = 0
    while sentences > 1:
        passages = min(sentences, MAX_PASSAGES)
        removed += passages
        sentences = -(-sentences // passages)
    return removed
