"""What an answer tells its reader about a verdict, in plain English.

Only words: whether to speak, abstain or stay closed is the guard's choice, made from the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmguard.context import ContextSpan
from xmguard.response import AnswerGroup, ConflictVerdict, Decision
from xmguard.verdict.wording import MAX_NAMED, join_list, label, quote, shorten


def preface(verdict: ConflictVerdict, spans: Sequence[ContextSpan]) -> str:
    """That the sources disagree and what each says, naming them; empty unless the decision is CONFLICT."""
    if verdict.decision is not Decision.CONFLICT:
        return ""
    labels = {span.id: label(span.id, span.span.source) for span in spans}
    answers = [group for group in verdict.groups if group.answer]
    if len(answers) < 2:
        # Spans whose answers count as equal can still be judged to disagree; then only the reason tells how.
        return f"The sources disagree: {verdict.reason}"
    named = _surest(answers, verdict)
    said = [_saying(group, labels) for group in named]
    silent = [_saying(group, labels) for group in verdict.groups if not group.answer]
    if more := len(answers) - len(named):
        said.append(f"{more} more {'answer differs' if more == 1 else 'answers differ'} from these")
    return f"The sources disagree: {'; '.join(said + silent)}."


def abstention(verdict: ConflictVerdict, spans: Sequence[ContextSpan]) -> str:
    """The answer when the caller asked for none on a conflict; empty unless the decision is CONFLICT."""
    told = preface(verdict, spans)
    return f"{told} So no answer is given." if told else ""


def closed(verdict: ConflictVerdict) -> str:
    """The answer when no verdict could be established: why, and how to ask all the same."""
    reason = verdict.reason or "No reason was reported."
    return (
        f"No answer is given, because it could not be established whether the sources agree: {reason} "
        "To get an answer all the same, ask again with on_error set to OPEN."
    )


def _surest(groups: Sequence[AnswerGroup], verdict: ConflictVerdict) -> list[AnswerGroup]:
    """At most `MAX_NAMED` groups, in their order: those of the surest disagreements, then the first of the others."""
    disagreeing = dict.fromkeys(span for pair in verdict.disagreements for span in (pair.span_a, pair.span_b))
    place = {span: index for index, span in enumerate(disagreeing)}
    first = sorted(groups, key=lambda group: min(place.get(span, len(place)) for span in group.span_ids))[:MAX_NAMED]
    return [group for group in groups if group in first]


def _saying(group: AnswerGroup, labels: Mapping[str, str]) -> str:
    names = join_list([labels.get(span_id) or shorten(span_id) for span_id in group.span_ids])
    one = len(group.span_ids) == 1
    if not group.answer:
        return f"{names} {'gives' if one else 'give'} no answer"
    return f"{names} {'says' if one else 'say'} {quote(group.answer)}"
