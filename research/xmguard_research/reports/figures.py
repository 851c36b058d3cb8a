"""Which figures a report has, and what is in them. Knows no page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmguard_research.benchmarks.summary import DETECTION
from xmguard_research.metrics import Estimate
from xmguard_research.reports.attending import Contributed, Trusted
from xmguard_research.reports.comparing import Comparison
from xmguard_research.reports.drawing import BLUE, ORANGE, SEPARATOR, Drawing, Series, diagrams, whiskers
from xmguard_research.reports.numbers import CALLED, CONTROLS_CALLED, FALSE_ALARMS, OF_DETECTION, SAID, Line, Quantity
from xmguard_research.reports.values import KINDS, by_prompt

MARKS = {
    SAID: ("conflicts, in its own words", "o", BLUE, True),
    FALSE_ALARMS: ("controls, in its own words", "o", BLUE, False),
    CALLED: ("conflicts, by the verdict", "D", ORANGE, True),
    CONTROLS_CALLED: ("controls, by the verdict", "D", ORANGE, False),
}
WHISKERS = "Whiskers are 95% intervals over items."


def detection(name: str, lines: Iterable[Line]) -> Drawing | None:
    """Conflicts said against false alarms, by prompt and variant; None where no scorer looks for conflicts."""
    own = [line for line in lines if line.key.measure == DETECTION]
    series = [one for one in (_rates(quantity, own) for quantity in OF_DETECTION) if one.values]
    if not series:
        return None
    caption = (
        "Share of responses that report a conflict, by variant and prompt: filled where the sources contradict each "
        f"other, which is detection, hollow where they agree, which is a false alarm. {WHISKERS}"
    )
    return whiskers(
        name,
        caption,
        panels=_prompts(line.key.prompt for line in own),
        groups=_groups((line.kind, line.key.variant) for line in own),
        series=series,
        label="responses that report a conflict, %",
        percent=True,
    )


def _rates(quantity: Quantity, lines: Sequence[Line]) -> Series:
    values = {(line.key.prompt, line.key.variant): line.rate(quantity) for line in lines}
    return Series(*MARKS[quantity], {key: rate.estimate for key, rate in values.items() if rate.rows})


def contributions(name: str, found: Sequence[Contributed]) -> Drawing:
    """What the sources contributed, by place, before and after rebalancing."""
    before: dict[tuple[str, str], Estimate] = {}
    after: dict[tuple[str, str], Estimate] = {}
    groups: dict[str, list[str]] = {}
    for one in found:
        rows = groups.setdefault(one.variant, [])
        for place in one.places:
            row = f"{one.variant}{SEPARATOR}{place.number}: {place.source}".removesuffix(": ")
            rows += [row] if row not in rows else []
            before[one.prompt, row], after[one.prompt, row] = place.before, place.after
    series = [Series("without bias", "o", BLUE, False, before)]
    if before != after:
        series.append(Series("with the bias applied", "o", BLUE, True, after))
    caption = (
        "Contribution of each source to the reading of the task, by the place in which it was read: log of it over the "
        f"geometric mean of the sources, so that 0 is even use. {WHISKERS}"
    )
    return whiskers(
        name,
        caption,
        panels=_prompts(one.prompt for one in found),
        groups=list(groups.items()),
        series=series,
        label="log contribution over the sources' geometric mean, nats",
        middle=0.0,
    )


def reliability(name: str, found: Sequence[Trusted]) -> Drawing:
    """Whether the verdict's probabilities mean what they say."""
    caption = (
        "Reliability of the verdict's probability, all variants together: share of true conflicts in bins of equal "
        "mass, with the number of responses in each. On the dashed line probabilities mean what they say."
    )
    return diagrams(
        name, caption, {one.prompt: one.bins for one in sorted(found, key=lambda one: by_prompt(one.prompt))}
    )


def changes(name: str, found: Sequence[Comparison]) -> Drawing | None:
    """What changes from one setting to another; None where no scorer looks for conflicts."""
    own = [one for one in found if one.quantity in MARKS]
    if not own:
        return None
    series = [
        Series(
            *MARKS[quantity],
            {(one.key.prompt, one.key.variant): one.difference for one in own if one.quantity is quantity},
        )
        for quantity in OF_DETECTION
    ]
    caption = (
        "Change in the share of responses that report a conflict, same samples in both settings: to the right of 0 the "
        f"second setting reports more, which is good for conflicts and bad for controls. {WHISKERS} "
        "Without a whisker the two never differ."
    )
    return whiskers(
        name,
        caption,
        panels=_prompts(one.key.prompt for one in own),
        groups=_groups((one.kind, one.key.variant) for one in own),
        series=[one for one in series if one.values],
        label="change, percentage points",
        percent=True,
        middle=0.0,
    )


def _prompts(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=by_prompt)


def _groups(named: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Variants below their kinds, in the order of kinds."""
    found: dict[str, set[str]] = {}
    for kind, variant in named:
        found.setdefault(kind, set()).add(variant)
    return [(kind, sorted(found[kind])) for kind in KINDS if kind in found]
