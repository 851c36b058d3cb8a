"""Sorts spans by what they say.

Looks at the claims only: whether two groups contradict each other is the estimator's and the decision's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from xmguard.evidence import AnswerKind, Evidence, PairEstimate, SpanEvidence
from xmguard.response import AnswerGroup
from xmguard.verdict.equality import Agreement, compare


def answered(span: SpanEvidence) -> bool:
    """Whether the span gave an answer at all."""
    return span.normalized.kind is not AnswerKind.NONE


def partition(spans: Sequence[SpanEvidence]) -> tuple[tuple[SpanEvidence, ...], ...]:
    """Spans that answer, parted by claim, in the order of their first span.

    SAME is not transitive ("25%" and "25 km" both agree with "25"), so a span joins the first group where it is SAME
    as every member: what one of a group says, all of it say. Spans without an answer are left out.
    """
    groups: list[list[SpanEvidence]] = []
    for span in filter(answered, spans):
        for group in groups:
            if all(compare(span.normalized, member.normalized) is Agreement.SAME for member in group):
                group.append(span)
                break
        else:
            groups.append([span])
    return tuple(map(tuple, groups))


def representative(group: Sequence[SpanEvidence]) -> SpanEvidence:
    """The span of a group that puts the claim most shortly, so that the fewest words of it are wording."""
    return min(group, key=lambda span: len(span.answer.strip()))


def group_answers(evidence: Evidence) -> tuple[AnswerGroup, ...]:
    """The groups as reported: each with its shortest answer as label; spans without an answer last, label empty."""
    groups = [
        AnswerGroup(representative(group).answer.strip(), tuple(span.span_id for span in group))
        for group in partition(evidence.spans)
    ]
    silent = tuple(span.span_id for span in evidence.spans if not answered(span))
    return (*groups, AnswerGroup("", silent)) if silent else tuple(groups)


def with_group_members(
    speaking: Sequence[SpanEvidence], direct: Mapping[tuple[str, str], PairEstimate]
) -> tuple[PairEstimate, ...]:
    """The estimates of every pair that was measured, or whose groups were: then those of the likeliest conflict."""
    group_of = {span.span_id: index for index, group in enumerate(partition(speaking)) for span in group}
    between: dict[frozenset[int], PairEstimate] = {}
    for (a, b), found in direct.items():
        key = frozenset((group_of[a], group_of[b]))
        if key not in between or found.probability > between[key].probability:
            between[key] = found
    pairs = []
    for first, second in combinations(speaking, 2):
        a, b = first.span_id, second.span_id
        found_pair = direct.get((a, b)) or between.get(frozenset((group_of[a], group_of[b])))
        if found_pair is not None:
            pairs.append(PairEstimate(a, b, found_pair.probability, found_pair.comparable))
    return tuple(pairs)
