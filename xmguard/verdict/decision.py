"""From an estimate to a verdict: a decision, and one sentence a person can act on.

Agreement must be established: whatever is missing, unread or too close to call ends UNDETERMINED, never CONSISTENT.
Knows no features and no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from xmguard.evidence import Estimate, Evidence, PairEstimate, SpanEvidence
from xmguard.response import AnswerGroup, ConflictVerdict, Decision, Disagreement, Quote, Status
from xmguard.verdict import grounds
from xmguard.verdict.grouping import answered, group_answers
from xmguard.verdict.wording import join_ids, join_list, label, quote, shorten


def decide(
    evidence: Evidence, estimate: Estimate, threshold: float | None = None, sources: Mapping[str, str] | None = None
) -> ConflictVerdict:
    """Judge the context by its worst pair.

    The probability is the largest over the pairs of which both spans answer the question (`Bounds.comparable_above`).
    CONFLICT if it is above `threshold` (None: the estimate's own). CONSISTENT only if it is below both `threshold` and
    `Bounds.agreement_below`, every span answered, and every pair was compared; an estimate that is not calibrated is
    held to `grounds.doubt` as well. UNDETERMINED otherwise, and whenever the estimator says so. All of these have
    status OK. The reason of a CONFLICT names spans with what `sources` calls them, by id.

    Raises:
        ValueError: if the threshold or a probability is not within [0, 1], or a pair names a span there is not.
    """
    spans = {span.span_id: span for span in evidence.spans}
    threshold = estimate.bounds.conflict_above if threshold is None else threshold
    _check(spans, estimate, threshold)
    pairs = [pair for pair in estimate.pairs if pair.comparable >= estimate.bounds.comparable_above]
    probability = max((pair.probability for pair in pairs), default=None)
    groups = group_answers(evidence)
    disagreements: tuple[Disagreement, ...] = ()
    if estimate.undetermined:
        decision, reason = Decision.UNDETERMINED, _sentence(estimate.undetermined, spans)
    elif probability is not None and probability > threshold:
        decision = Decision.CONFLICT
        disagreements = _disagreements(spans, pairs, threshold)
        reason = _conflict_reason(disagreements, threshold, sources or {})
    elif doubt := _doubt(evidence, estimate, pairs, threshold):
        decision, reason = Decision.UNDETERMINED, _sentence(doubt, spans)
    else:
        decision, reason = Decision.CONSISTENT, _consistent_reason(groups, len(spans))
    return ConflictVerdict(
        decision=decision,
        probability=probability,
        status=Status.OK,
        reason=reason,
        disagreements=disagreements,
        calibrated=estimate.calibrated,
        groups=groups,
    )


def with_quotes(verdict: ConflictVerdict, quotes: Mapping[str, Quote]) -> ConflictVerdict:
    """A verdict of CONFLICT with its spans' quotes in place, and the surest pair's pointed to by the reason."""
    disagreements = tuple(
        replace(pair, evidence_a=quotes.get(pair.span_a), evidence_b=quotes.get(pair.span_b))
        for pair in verdict.disagreements
    )
    places = [
        f"{quotes[span].start}-{quotes[span].end} of {shorten(span)}"
        for span in (disagreements[0].span_a, disagreements[0].span_b)
        if span in quotes
    ]
    where = f"{verdict.reason.removesuffix('.')}; see characters {join_list(places)}." if places else verdict.reason
    return replace(verdict, disagreements=disagreements, reason=where)


def skipped(reason: str) -> ConflictVerdict:
    """The verdict when there was nothing to check."""
    return ConflictVerdict(decision=Decision.UNDETERMINED, status=Status.SKIPPED, reason=_sentence(reason))


def failed(reason: str) -> ConflictVerdict:
    """The verdict when the check broke down."""
    return ConflictVerdict(decision=Decision.UNDETERMINED, status=Status.ERROR, reason=_sentence(reason))


def _check(spans: Mapping[str, SpanEvidence], estimate: Estimate, threshold: float) -> None:
    if not 0.0 <= threshold <= 1.0:  # also false for NaN
        raise ValueError(f"conflict threshold {threshold} is not within [0, 1]")
    for pair in estimate.pairs:
        for value in (pair.probability, pair.comparable):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"probability {value} of {pair.span_a} and {pair.span_b} is not within [0, 1]")
        if pair.span_a == pair.span_b or pair.span_a not in spans or pair.span_b not in spans:
            raise ValueError(f"{pair.span_a} and {pair.span_b} are no pair of the evidence's spans")


def _doubt(evidence: Evidence, estimate: Estimate, pairs: Sequence[PairEstimate], threshold: float) -> str:
    """What stands in the way of CONSISTENT; empty when nothing does."""
    silent = [span.span_id for span in evidence.spans if not answered(span)]
    if silent:
        return f"{join_ids(silent)} {_verb(silent, 'gives', 'give')} no answer to the question, so agreement is open"
    compared = {frozenset((pair.span_a, pair.span_b)) for pair in estimate.pairs}
    wanted = combinations([span.span_id for span in evidence.spans], 2)
    missing = [pair for pair in wanted if frozenset(pair) not in compared]
    if missing:
        more = len(missing) - 1
        rest = f", and neither could {more} other {'pair' if more == 1 else 'pairs'}" if more else ""
        return f"the answers of {shorten(missing[0][0])} and {shorten(missing[0][1])} could not be compared{rest}"
    if not estimate.pairs:
        return "there are no two sources to compare"
    if off := _off_the_question(estimate):
        return off
    probability = max(pair.probability for pair in pairs)
    bound = min(threshold, estimate.bounds.agreement_below)
    if probability >= bound:
        worst = max(pairs, key=lambda pair: pair.probability)
        return (
            f"too close to call: {_claims(evidence, worst)} (probability of a conflict {probability:.2f}; "
            f"agreement takes less than {bound:.2f}, a conflict more than {threshold:.2f})"
        )
    return grounds.different(evidence) or ("" if estimate.answers_checked else grounds.doubt(evidence))


def _off_the_question(estimate: Estimate) -> str:
    """Which spans do not seem to answer; empty if every pair is comparable."""
    bound = estimate.bounds.comparable_above
    apart = [pair for pair in estimate.pairs if pair.comparable < bound]
    if not apart:
        return ""
    fine = {span for pair in estimate.pairs if pair.comparable >= bound for span in (pair.span_a, pair.span_b)}
    named = list(dict.fromkeys(span for pair in apart for span in (pair.span_a, pair.span_b) if span not in fine))
    worst = min(apart, key=lambda pair: pair.comparable)
    if named and fine:
        who = f"{join_ids(named)} {_verb(named, 'does', 'do')} not seem to answer the question"
        worst = min((pair for pair in apart if {pair.span_a, pair.span_b} & set(named)), key=lambda p: p.comparable)
    else:
        who = f"{shorten(worst.span_a)} and {shorten(worst.span_b)} do not both seem to answer the question"
    odds = f"probability that both of a pair do {worst.comparable:.2f}; {bound:.2f} is needed"
    return f"{who} ({odds}), so agreement is open"


def _claims(evidence: Evidence, pair: PairEstimate) -> str:
    answers = {span.span_id: span.answer for span in evidence.spans}
    said = (f"{shorten(span_id)} says {quote(answers[span_id])}" for span_id in (pair.span_a, pair.span_b))
    return ", ".join(said)


def _disagreements(
    spans: Mapping[str, SpanEvidence], pairs: Sequence[PairEstimate], threshold: float
) -> tuple[Disagreement, ...]:
    """The pairs above the threshold, the surest first, ties in the order of their ids."""
    above = (pair for pair in pairs if pair.probability > threshold)
    return tuple(
        Disagreement(
            span_a=pair.span_a,
            span_b=pair.span_b,
            answer_a=spans[pair.span_a].answer.strip(),
            answer_b=spans[pair.span_b].answer.strip(),
            score=pair.probability,
        )
        for pair in sorted(above, key=lambda pair: (-pair.probability, pair.span_a, pair.span_b))
    )


def _conflict_reason(disagreements: tuple[Disagreement, ...], threshold: float, sources: Mapping[str, str]) -> str:
    worst = disagreements[0]
    more = len(disagreements) - 1
    rest = f"; {more} more {'pair disagrees' if more == 1 else 'pairs disagree'}" if more else ""
    a, b = (label(span, sources.get(span, "")) for span in (worst.span_a, worst.span_b))
    said = f"{a} says {quote(worst.answer_a)} but {b} says {quote(worst.answer_b)}"
    if worst.answer_a == worst.answer_b:  # seen by the features alone, as where both answers repeat the question
        said = f"{a} and {b} seem to contradict each other, although the model says {quote(worst.answer_a)} of either"
    return f"{said} (probability of a conflict {worst.score:.2f}, threshold {threshold:.2f}){rest}."


def _consistent_reason(groups: tuple[AnswerGroup, ...], count: int) -> str:
    if len(groups) == 1:
        return f"All {count} sources say {quote(groups[0].answer)}."
    said = [
        f"{join_ids(group.span_ids)} {_verb(group.span_ids, 'says', 'say')} {quote(group.answer)}" for group in groups
    ]
    return f"No two of the {count} sources contradict each other: {join_list(said)}."


def _verb(names: tuple[str, ...] | list[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many


def _sentence(text: str, ids: Iterable[str] = ()) -> str:
    """With a full stop, and a capital unless it begins with a span id, which must stay as it is."""
    text = " ".join(text.split())
    if text and not text.endswith((".", "!", "?")):
        text += "."
    first = text.split(" ", 1)[0]
    named = any(text.startswith((f"{shorten(span)} ", f"{shorten(span)}, ")) for span in ids)
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() and not named else text
