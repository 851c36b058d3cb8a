"""Measurements into the contract's reports. Pure arithmetic over values; formulas are `xmguard.measurement`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xmguard.context import Context
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.response import Imbalance, LayerContribution, SpanReport


@dataclass(frozen=True)
class AloneAnswer:
    """What one span says by itself."""

    text: str
    entropy: float | None
    """Nats, at the first content token."""


def span_reports(
    context: Context,
    before: Measurement | None,
    after: Measurement | None,
    *,
    bias: Mapping[str, float] | None,
    generated: Measurement | None = None,
    directed: DirectedContribution | None = None,
    alone: Mapping[str, AloneAnswer] | None = None,
    layers: bool = False,
) -> tuple[SpanReport, ...]:
    """One report per span, in prompt order.

    Args:
        context: the request's spans.
        before: reader rows without bias; None where nothing was measured, and then every number of it is absent.
        after: the same rows under the applied bias.
        bias: mean epsilon per span in nats, or None when none was applied.
        generated: rows of generated tokens, if any were measured.
        directed: contributions toward the answer, if asked for.
        alone: span id to its answer alone, if asked for.
        layers: whether to report every layer and head.
    """
    reports = []
    for index, span in enumerate(context.spans):
        answer = (alone or {}).get(span.id)
        report = SpanReport(
            span_id=span.id,
            modality=span.modality,
            language=span.language,
            bias=None if bias is None else bias.get(span.id, 0.0),
            answer_alone=answer.text if answer else "",
            entropy_alone=answer.entropy if answer else None,
            contribution_generated=(
                generated.contributions[span.id] if generated is not None and generated.rows else None
            ),
            toward_answer=None if directed is None else directed.toward[span.id],
        )
        if before is not None and after is not None:
            report = replace(
                report,
                tokens=len(before.span_map.spans[index]),
                contribution_before=before.contributions[span.id],
                contribution_after=after.contributions[span.id],
                share_before=before.shares[span.id],
                share_after=after.shares[span.id],
                attention_before=before.attention[span.id],
                attention_after=after.attention[span.id],
                layers=_layers(span.id, before, after) if layers else (),
            )
        reports.append(report)
    return tuple(reports)


def imbalance(before: Measurement | None, after: Measurement | None) -> Imbalance:
    """How unevenly the spans were used, before and after; nothing is known of it where nothing was measured."""
    if before is None or after is None:
        return Imbalance()
    contributions = before.contributions
    several = len(contributions) > 1
    return Imbalance(
        log_ratio_before=before.log_ratio,
        log_ratio_after=after.log_ratio,
        under_attended=min(contributions, key=lambda span: contributions[span]) if several else "",
        over_attended=max(contributions, key=lambda span: contributions[span]) if several else "",
        rest_share_before=before.rest_share,
        rest_share_after=after.rest_share,
        log_ratio_per_token_before=before.log_ratio_per_token,
        log_ratio_per_token_after=after.log_ratio_per_token,
    )


def _layers(span_id: str, before: Measurement, after: Measurement) -> tuple[LayerContribution, ...]:
    return tuple(
        LayerContribution(layer, before.heads(layer, span_id), after.heads(layer, span_id))
        for layer in range(len(before.norms))
    )
