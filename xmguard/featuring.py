"""Measures the features that an estimator asks for, on one request's spans. Knows none of them by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from numbers import Real

from xmguard.alone import AloneReading, span_sentences
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import EncodedPrompt
from xmguard.contracts import Backend, Branch, Language, Session
from xmguard.errors import PluginError
from xmguard.evidence import Evidence
from xmguard.plugins import Registry
from xmguard.run import Run
from xmguard.verdict.grouping import answered, partition, representative
from xmguard.verdict.words import content_words

BOTH_ORDERS_UP_TO = 512
"""Tokens of context up to which the probe reads the spans in the opposite order too: a later span has read an earlier
one, so each order tells something else; a longer context would cost a second prefill that is felt."""


@dataclass(frozen=True)
class RequestReading:
    """Satisfies `xmguard.contracts.EvidenceReading`."""

    evidence: Evidence
    pairs: Sequence[tuple[str, str]]
    alone: Mapping[str, Branch]
    run: Run
    backend: Backend
    registry: Registry

    @property
    def prompt(self) -> EncodedPrompt:
        """See the contract."""
        return self.run.prompt

    @property
    def session(self) -> Session:
        """See the contract."""
        return self.run.session

    @cached_property
    def probed(self) -> Mapping[tuple[str, str], Sequence[float]]:
        """See the contract."""
        if not self.prompt.probe_tail:
            return {}
        forward = self._probe(self.prompt, self.session)
        if orders_probed(self.prompt) == 1:
            return forward
        context = self.run.valid.context
        prompt = self.backend.encode(replace(context, spans=context.spans[::-1]), self.run.request.prompt)
        session = self.backend.open(prompt, self.run.stop)
        try:
            backward = self._probe(prompt, session)
        finally:
            self.run.beside.append(session.usage())
            session.close()
        return {
            pair: [(a + b) / 2 for a, b in zip(logits, backward[pair], strict=True)] for pair, logits in forward.items()
        }

    def _probe(self, prompt: EncodedPrompt, session: Session) -> dict[tuple[str, str], Sequence[float]]:
        """Logits of every pair, the other spans removed."""
        branches = []
        for index, pair in enumerate(self.pairs):
            removed = dict.fromkeys((span for span in prompt.span_map.ids if span not in pair), REMOVE)
            branches.append(Branch(f"probe:{index}", prompt.probe_tail, AttentionBias(removed)))
        return dict(zip(self.pairs, session.probe(branches), strict=True))

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """See the contract."""
        return self.backend.tail(task, opening)

    def ids(self, text: str) -> tuple[int, ...]:
        """See the contract."""
        return self.backend.ids(text)

    def language(self, tag: str) -> Language:
        """See the contract."""
        return self.registry.language(tag) or self.registry.languages.items[self.run.valid.context.asked_in]

    def content_words(self, text: str, language: str) -> Sequence[str]:
        """See the contract."""
        return content_words(text, self.language(language).function_words)

    def sentences(self, text: str, language: str) -> Sequence[tuple[int, int]]:
        """See the contract."""
        return span_sentences(self.registry, text, language)


def orders_probed(prompt: EncodedPrompt) -> int:
    """In how many orders of its spans a prompt is probed."""
    return 1 if len(prompt.context_ids) > BOTH_ORDERS_UP_TO else 2


def compared_pairs(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """One span of every group of equal answers with that of every other group, and with the members of its own.

    The cost grows with the square of the groups, not of the spans. Ids are in the order of the spans.
    """
    order = {span.span_id: index for index, span in enumerate(evidence.spans)}
    groups = partition([span for span in evidence.spans if answered(span)])
    speakers = [representative(group).span_id for group in groups]
    wanted = list(combinations(speakers, 2))
    wanted += [
        (speaker, member.span_id)
        for speaker, group in zip(speakers, groups, strict=True)
        for member in group
        if member.span_id != speaker
    ]
    return tuple((a, b) if order[a] < order[b] else (b, a) for a, b in wanted)


def with_features(
    evidence: Evidence,
    names: Sequence[str],
    *,
    run: Run,
    alone: AloneReading,
    backend: Backend,
    registry: Registry,
) -> Evidence:
    """The evidence with the named features measured; raises what they and `Stop.check` raise.

    Raises:
        KeyError: no plugin provides a feature of that name.
        PluginError: a feature gave a value that is no finite number, or for a pair it was not asked for.
    """
    features = {name: registry.evidence_features.items[name] for name in names}
    pairs = compared_pairs(evidence)
    if not pairs:
        return evidence
    reading = RequestReading(evidence, pairs, alone.by_span, run, backend, registry)
    measured = {}
    for name, feature in features.items():
        values = dict(feature.measure(reading))
        wrong = [pair for pair, value in values.items() if pair not in pairs or not _finite(value)]
        if wrong:
            raise PluginError(
                f"evidence feature {name!r} of plugin {registry.evidence_features.owners[name]!r} gave "
                f"{values[wrong[0]]} for {wrong[0]}; a finite number for a pair it was asked for is expected"
            )
        measured[name] = {pair: float(value) for pair, value in values.items()}
    return replace(evidence, features=measured)


def _finite(value: object) -> bool:
    """Of whatever a plugin gave."""
    return isinstance(value, Real) and math.isfinite(value)
