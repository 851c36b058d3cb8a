"""From what a model showed of labelled pairs to a verdict of its own: which fits are made, and how good they are.

Whatever is said of a pair to judge the fits comes from fits, and bounds, that have seen no pair of its item's fold.
Knows neither models nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from xmguard.calibration import PAIRINGS, Fit, FittedFor, VerdictProfile, pairing
from xmguard.errors import FieldViolation, InvalidRequest
from xmguard.evidence import AnswerKind, Bounds, Evidence, NormalizedAnswer, SpanEvidence
from xmguard.response import ConflictVerdict
from xmguard.verdict.calibrated import CalibratedEstimator
from xmguard.verdict.decision import decide
from xmguard_research.calibration.bounds import choose
from xmguard_research.calibration.fitting import Observation, fit, recalibrated
from xmguard_research.calibration.gathering import Gathered
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.splits import FOLDS, fitting_fold

Target: TypeAlias = Literal["conflict", "comparable"]
TARGETS: tuple[Target, ...] = ("conflict", "comparable")
Directions: TypeAlias = Mapping[Target, Mapping[str, int]]
"""Of every feature that may be weighed, by what is to be predicted."""

RECALIBRATION = 20
"""Pairs of each class without which a fit is not put on a new scale."""
REFIT = 60
"""Pairs of each class without which no weights are fitted."""
_CLASSES: Mapping[Target, tuple[str, str]] = {
    "conflict": ("conflict", "consistent"),
    "comparable": ("comparable", "undetermined"),
}
"""What the pairs of either class are called, the positive ones first."""
_WITHOUT: Mapping[Target, str] = {
    "conflict": "no fit, so such pairs are left undetermined",
    "comparable": "no fit, so every pair counts as comparable",
}


class TooFewPairs(InvalidRequest):
    """No fit can be made of so few pairs."""


@dataclass(frozen=True)
class Case:
    """A pair, its languages known, and what the model showed of it."""

    pair: Pair
    shown: Gathered

    @property
    def pairing(self) -> str:
        """One of `PAIRINGS`."""
        return pairing(*self.pair.languages)


@dataclass(frozen=True)
class Plan:
    """Which fits are made and how; settled once on all pairs, so that folds do not differ in it."""

    start: VerdictProfile | None
    """What is not fitted is kept from here."""
    directions: Directions | None
    """None puts the fits of `start` on a new scale."""
    fitted: Mapping[Target, tuple[str, ...]]
    """Pairings."""
    notes: tuple[str, ...]
    """What happens to every fit, in words."""


@dataclass(frozen=True)
class Weighing:
    """Fits and bounds."""

    conflict: Mapping[str, Fit]
    comparable: Mapping[str, Fit]
    bounds: Bounds = field(default_factory=Bounds)

    def fits(self, target: Target) -> Mapping[str, Fit]:
        """By pairing."""
        return self.conflict if target == "conflict" else self.comparable


def plan(
    cases: Sequence[Case], start: VerdictProfile | None, directions: Directions | None, *, least: int | None = None
) -> Plan:
    """What can be fitted to these pairs.

    `least` is how many pairs of each class a fit takes; None is `REFIT` with directions and `RECALIBRATION` without.

    Raises:
        TooFewPairs: no fit of conflicts can be made, with what there is and what is needed.
    """
    least = least or (RECALIBRATION if directions is None else REFIT)
    # Fitting leaves one fold out to judge, one to choose bounds and, of weights, one to calibrate; both classes remain.
    folds = 3 if directions is None else 4
    fitted: dict[Target, tuple[str, ...]] = {}
    notes, lacking = [], []
    for target in TARGETS:
        able = []
        for kind in PAIRINGS:
            rows = observations(cases, target, kind)
            has, lacks = _counted(target, rows, least, folds)
            known = start is not None and kind in _fits_of(start, target)
            if target == "comparable" and kind not in (*fitted["conflict"], *(start.conflict if start else ())):
                continue
            if lacks or (directions is None and not known):
                kept = "kept as it was" if known else _WITHOUT[target]
                notes.append(f"{_words(kind)}, {target}: {kept}; {has}" + (f", {lacks}" if lacks else ""))
                lacking.append(f"{_words(kind)}: {has}, {lacks or 'no fit to start from'}")
            else:
                able.append(kind)
                done = "recalibrated" if directions is None else "fitted"
                notes.append(f"{_words(kind)}, {target}: {done} on {has}")
        fitted[target] = tuple(able)
        if not fitted["conflict"]:
            task = "recalibrate the verdict" if directions is None else "fit weights"
            silent = sum(not case.shown.values for case in cases)
            rest = f"; {silent} of {len(cases)} pairs cannot be used, since a text gave no answer" if silent else ""
            few = FieldViolation("--pairs", f"too few pairs to {task}: {'; '.join(lacking)}{rest}")
            raise TooFewPairs([few])
    return Plan(start, directions, fitted, tuple(notes))


def observations(cases: Sequence[Case], target: Target, kind: str) -> list[Observation]:
    """The pairs of one pairing that say something about the target and that the model showed something of."""
    positive: Callable[[Label], bool] = {
        "conflict": lambda label: label is Label.CONFLICT,
        "comparable": lambda label: label is not Label.UNDETERMINED,
    }[target]
    return [
        Observation(case.pair.item, case.shown.values, positive(case.pair.label))
        for case in cases
        if case.pairing == kind
        and case.shown.values
        and (target == "comparable" or case.pair.label is not Label.UNDETERMINED)
    ]


def weighed(cases: Sequence[Case], wanted: Plan) -> Weighing:
    """Fits on these pairs, and bounds on their probabilities out of fold; of the pairings that are fitted."""
    found: dict[Target, list[tuple[float, bool]]] = {target: [] for target in TARGETS}
    for inside, outside in _folds(cases):
        fits = _fitted(inside, wanted)
        for target in TARGETS:
            for kind in wanted.fitted[target]:
                known = fits.fits(target)[kind]
                found[target] += [
                    (known.probability(one.values), one.positive) for one in observations(outside, target, kind)
                ]
    usual = None if wanted.start is None else wanted.start.bounds
    whole = _fitted(cases, wanted)
    return Weighing(whole.conflict, whole.comparable, choose(found["conflict"], found["comparable"], usual))


def out_of_fold(cases: Sequence[Case], wanted: Plan) -> dict[str, ConflictVerdict]:
    """The verdict on every pair, by its content, of a weighing that has seen nothing of its fold."""
    verdicts: dict[str, ConflictVerdict] = {}
    for inside, outside in _folds(cases):
        fitted = weighed(inside, wanted)
        verdicts |= {case.pair.content: judged(case, fitted) for case in outside}
    return verdicts


def judged(case: Case, fitted: Weighing) -> ConflictVerdict:
    """What a guard with this weighing says of the pair: its own estimator and decision on the features gathered."""
    names = ("s1", "s2")
    spans = tuple(
        # Answers are not gathered, and not looked at: a pair of which one is missing has no features.
        SpanEvidence(
            span_id=name,
            language=language,
            answer=name,
            normalized=NormalizedAnswer(AnswerKind.TEXT, name),
            entropy=None,
            own=(),
            under={},
            prior=(),
            modality=modality,
        )
        for name, language, modality in zip(names, case.pair.languages, case.pair.modalities, strict=True)
    )
    features = {name: {names: value} for name, value in case.shown.values.items()}
    evidence = Evidence(case.pair.question, spans, features)
    return decide(evidence, CalibratedEstimator(profile(fitted, FittedFor("", "", ""), "")).estimate(evidence))


def profile(fitted: Weighing, fitted_for: FittedFor, fitted_on: str) -> VerdictProfile:
    """A weighing as a profile holds it; without a probe."""
    return VerdictProfile(fitted_for, fitted.conflict, fitted.comparable, fitted.bounds, fitted_on)


def _fitted(cases: Sequence[Case], wanted: Plan) -> Weighing:
    made: dict[Target, dict[str, Fit]] = {}
    for target in TARGETS:
        known = {} if wanted.start is None else dict(_fits_of(wanted.start, target))
        for kind in wanted.fitted[target]:
            rows = observations(cases, target, kind)
            known[kind] = (
                recalibrated(known[kind], rows) if wanted.directions is None else fit(rows, wanted.directions[target])
            )
        made[target] = known
    return Weighing(made["conflict"], made["comparable"])


def _folds(cases: Sequence[Case]) -> Iterator[tuple[list[Case], list[Case]]]:
    """What is left and what is left out, fold by fold."""
    for held in range(FOLDS):
        outside = [case for case in cases if fitting_fold(case.pair.item) == held]
        if outside:
            yield [case for case in cases if fitting_fold(case.pair.item) != held], outside


def _fits_of(start: VerdictProfile, target: Target) -> Mapping[str, Fit]:
    return start.conflict if target == "conflict" else start.comparable


def _counted(target: Target, rows: Sequence[Observation], least: int, folds: int) -> tuple[str, str]:
    """How many pairs of each class there are, and what is missing; empty if nothing is."""
    counts = Counter(row.positive for row in rows)
    names = dict(zip((True, False), _CLASSES[target], strict=True))
    has = " and ".join(f"{counts[positive]} {name}" for positive, name in names.items())
    if min(counts[True], counts[False]) < least:
        return f"{has} pairs", f"{least} of each are needed"
    for positive, name in names.items():
        items = {row.item for row in rows if row.positive is positive}
        filled = len({fitting_fold(item) for item in items})
        if filled < folds:
            where = f"{number(len(items), 'item')}, in {filled} of {FOLDS} folds"
            return f"{has} pairs", f"the {name} ones are of {where}; {folds} are needed"
    return f"{has} pairs", ""


def number(count: int, noun: str) -> str:
    """A count with its noun.

    >>> number(1, "item"), number(2, "item")
    ('1 item', '2 items')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
