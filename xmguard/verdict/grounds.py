"""What agreement takes beyond a low probability: answers drawn from the spans, and claims shown to be the same.

Only ever adds doubt: nothing here makes a conflict, or an agreement of what an estimator found unlike. Works on the
evidence alone, so that it holds for every estimator.
"""

from __future__ import annotations

from itertools import combinations

from xmguard.evidence import Evidence
from xmguard.verdict.equality import Agreement, compare
from xmguard.verdict.grouping import partition
from xmguard.verdict.likelihood import MIN_GAIN, directions, gain
from xmguard.verdict.wording import join_ids, quote, shorten

MIN_RETAINED = 0.8
"""Share of its gain over the prior that an answer must keep under the other span where equality cannot be read off."""
MAX_DROP_OF_SAME = 3.0
"""Nats per token. Wording moves the likelihood of an equal claim, but not by more than this in every direction."""


def different(evidence: Evidence) -> str:
    """Two spans whose claims differ by value, which no low probability makes the same; empty when there are none."""
    for a, b in combinations(evidence.spans, 2):
        if compare(a.normalized, b.normalized) is Agreement.DIFFERENT:
            return (
                f"{shorten(a.span_id)} says {quote(a.answer)} and {shorten(b.span_id)} says {quote(b.answer)}, which "
                "differ by value, although a conflict seems unlikely"
            )
    return ""


def doubt(evidence: Evidence) -> str:
    """What stands in the way of an agreement of all spans, all of which answered; empty when nothing does."""
    unread = [span.span_id for span in evidence.spans if (gained := gain(span)) is not None and gained < MIN_GAIN]
    if unread:
        return (
            f"the {'answer' if len(unread) == 1 else 'answers'} from {join_ids(unread)} would be as likely without "
            "reading, so agreement is open"
        )
    group_of = {span.span_id: index for index, group in enumerate(partition(evidence.spans)) for span in group}
    pairs = list(combinations(evidence.spans, 2))
    scored = {frozenset((group_of[a.span_id], group_of[b.span_id])) for a, b in pairs if directions(a, b)}
    for a, b in pairs:
        names = f"{shorten(a.span_id)} and {shorten(b.span_id)}"
        known = directions(a, b)
        if compare(a.normalized, b.normalized) is Agreement.SAME:
            if known and all(one.drop > MAX_DROP_OF_SAME for one in known):
                return f"{names} seem to say the same, but what either says is unlikely given the other"
        elif gain(a) is None or gain(b) is None:
            return f"the answers of {names} are worded differently and were not scored, so agreement is open"
        # A pair that was not scored itself stands on the pair scored between its groups, which is looked at as well.
        elif not known and frozenset((group_of[a.span_id], group_of[b.span_id])) not in scored:
            return f"the answers of {names} could not be compared"
        elif any(one.retained is None or one.retained < MIN_RETAINED for one in known):
            return f"the answers of {names} are worded differently, and one source does not bear out the other's"
    return ""
