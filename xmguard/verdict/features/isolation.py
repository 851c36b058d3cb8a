"""The same cross-likelihood with every span prefilled alone, so that no span's keys have read an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xmguard.contracts import Branch, EvidenceReading
from xmguard.request import Scope
from xmguard.sizes import FeatureSizes
from xmguard.verdict.features.naming import branch_name
from xmguard.verdict.likelihood import likelihood_drop


class IsolatedDrop:
    """Removing the other spans in scope ALL keeps them out of the prefill as well."""

    name = "isolated_drop"
    summary = "nats per token that a span's answer loses under the other span, each prefilled without the others"
    conflict = 1
    comparable = 0
    probes = False

    def tokens(self, asked: FeatureSizes) -> int:
        """A prefill per span, and every answer under every span."""
        sizes = asked.sizes
        return sizes.spans * sizes.changed + sizes.scored(sizes.spans, sizes.alone_tail, sizes.spans, asked.reread)

    def reach(self, asked: FeatureSizes) -> int:
        """An answer encoded anew may be longer than it was said."""
        return asked.sizes.alone_tail + asked.reread - 1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans answered; one prefill of the context per span."""
        isolated = {
            span: Branch(branch_name(self.name, span), branch.tail, replace(branch.bias, scope=Scope.ALL))
            for span, branch in reading.alone.items()
        }
        said = {span.span_id: reading.ids(f" {span.answer.strip()}") for span in reading.evidence.spans if span.answer}
        pairs = [(a, b) for a, b in reading.pairs if a in said and b in said]
        asked = list(dict.fromkeys((reader, one) for a, b in pairs for reader in (a, b) for one in (a, b)))
        scores = reading.session.score([(isolated[reader], said[one]) for reader, one in asked])
        under = dict(zip(asked, scores, strict=True))
        found = {}
        for a, b in pairs:
            drops = (likelihood_drop(under[a, a], under[b, a]), likelihood_drop(under[b, b], under[a, b]))
            known = [drop for drop in drops if drop is not None]
            if known:
                found[a, b] = sum(known) / len(known)
        return found
