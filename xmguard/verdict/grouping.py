"""Sorts spans by what they say.

Looks at the claims only: whether two groups contradict each other is the estimator's and the decision's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from xmguard.evidence import AnswerKind, Evidence, SpanEvidence
from xmguard.response import AnswerGroup
from xmguard.verdict.equality import Agreement, compare


def answered(span: SpanEvidence) -> bool:
    """Whether the span gave an answer at all."""
    return span.normalized.kind is not AnswerKind.NONE


def partition(spans: Sequence[SpanEvidence]) -> tuple[tuple[SpanEvidence, ...], ...]:
    """Spans that answer, parted by claim, in the order of their first span.

    SAME is not transitive ("25%" and "25 km" both agree with "25"), so a span joins the first group where it is SAME
    as some member and DIFFERENT from none: no group ever holds two spans that differ. Spans without an answer are
    left out.
    """
    groups: list[list[SpanEvidence]] = []
    for span in filter(answered, spans):
        for group in groups:
            relations = {compare(span.normalized, member.normalized) for member in group}
            if Agreement.SAME in relations and Agreement.DIFFERENT not in relations:
                group.append(span)
                break
        else:
            groups.append([span])
    return tuple(map(tuple, groups))


def group_answers(evidence: Evidence) -> tuple[AnswerGroup, ...]:
    """The groups as reported: each with its shortest answer as label; spans without an answer last, label empty."""
    groups = [
        AnswerGroup(min((span.answer.strip() for span in group), key=len), tuple(span.span_id for span in group))
        for group in partition(evidence.spans)
    ]
    silent = tuple(span.span_id for span in evidence.spans if not answered(span))
    return (*groups, AnswerGroup("", silent)) if silent else tuple(groups)
