"""Which pairs which fit learns from, and every pair's probability by a fit that has not seen its item.

Pairs in one language and in two are fitted apart. Knows neither files nor the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from xmguard.calibration import CROSS_LANGUAGE, SAME_LANGUAGE, Fit, FittedFor, VerdictProfile, language_pair, pairing
from xmguard.evidence import Bounds
from xmguard.plugins import Registry
from xmguard_research.calibration.bounds import choose
from xmguard_research.calibration.fitting import Observation, cross_validated, fit
from xmguard_research.calibration.gathering import Gathered
from xmguard_research.metrics import Bootstrap, auroc
from xmguard_research.verdict.baselines import NEUTRAL, without_model
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.report import Row, by_yardstick, interval

CHEAP = (
    "answer_elsewhere",
    "answers_differ",
    "content_drop",
    "entropy",
    "explicit_prompt",
    "gain",
    "likelihood_drop",
    "lost_gain",
    "numbers_elsewhere",
    "prefix_drop",
    "probe_conflict",
    "probe_unanswered",
    "question_words",
    "related_elsewhere",
    "relative_uncertainty",
    "shared_words",
)
"""Features that need nothing beyond the spans' answers and the probe: what a shipped profile may weigh."""
GROUPS = {
    "the probe": ("probe_conflict",),
    "cross-likelihood": ("content_drop", "likelihood_drop", "lost_gain", "prefix_drop"),
    "words": ("answer_elsewhere", "numbers_elsewhere", "question_words", "related_elsewhere", "shared_words"),
    "equality": ("answers_differ",),
    "uncertainty": ("entropy", "gain", "relative_uncertainty"),
    "the explicit prompt": ("explicit_prompt",),
}
"""Features that are left out together."""
SINGLE = "feature "
"""What the name of a single feature's score begins with."""
UNANSWERED, TOO_CLOSE = "UNDETERMINED, no answer", "UNDETERMINED, too close"
COSTLY = ("directed_pull", "isolated_drop", "steered_flip", "yes_no")
"""Features that run many more rows of the model: measured as single features, not weighed."""


@dataclass(frozen=True)
class Sample:
    """A pair and what the model showed of it."""

    pair: Pair
    gathered: Gathered

    @property
    def pairing(self) -> str:
        """Whether its texts are in one language."""
        return pairing(*self.pair.languages)

    @property
    def values(self) -> Mapping[str, float]:
        """Its features."""
        return self.gathered.values


@dataclass(frozen=True)
class Probabilities:
    """What a fit says of a pair without having seen its item."""

    conflict: float
    comparable: float
    decision: str


def assemble(pairs: Sequence[Pair], found: Mapping[str, Gathered], yardstick: str = "") -> list[Sample]:
    """The pairs with what was gathered of them; under another yardstick's name, if one is given, those that were.

    Raises:
        ValueError: pairs of the yardstick were not gathered, so that a table of it would be a part of it only.
    """
    if yardstick:
        pairs = [replace(pair, yardstick=yardstick) for pair in pairs if pair.content in found]
    missing = sum(pair.content not in found for pair in pairs)
    if missing:
        raise ValueError(
            f"{missing} of {len(pairs)} pairs of {pairs[0].yardstick} were not gathered; gather them first"
        )
    return [Sample(pair, found[pair.content]) for pair in pairs]


def fit_profile(
    samples: Sequence[Sample], registry: Registry, fitted_for: FittedFor, unlearned: Collection[str]
) -> tuple[VerdictProfile, dict[str, Probabilities]]:
    """The profile, and every pair's cross-validated probabilities by its key.

    Pairs of the yardsticks `unlearned` are in no fit: their probabilities are those of the profile itself.
    """
    conflict_signs = _conflict_signs(registry)
    comparable_signs = _comparable_signs(registry)
    learned = _learned(samples, unlearned)
    conflict: dict[str, Fit] = {}
    comparable: dict[str, Fit] = {}
    of_conflict: dict[str, float] = {}
    of_comparable: dict[str, float] = {}
    for kind in (SAME_LANGUAGE, CROSS_LANGUAGE):
        own = [one for one in learned if one.pairing == kind]
        answering = [one for one in own if _answers(one)]
        if answering:
            seen = _observations(answering, lambda one: one.pair.conflict)
            conflict[kind] = fit(seen, conflict_signs)
            of_conflict |= _by_key(answering, cross_validated(seen, conflict_signs))
        speaking = [one for one in own if not one.gathered.silent]
        if any(one.pair.label is Label.UNDETERMINED for one in speaking):
            seen = _observations(speaking, lambda one: one.pair.label is not Label.UNDETERMINED)
            comparable[kind] = fit(seen, comparable_signs)
            of_comparable |= _by_key(speaking, cross_validated(seen, comparable_signs))
    bounds = choose(
        [(of_conflict[one.pair.key], one.pair.conflict) for one in learned if one.pair.key in of_conflict],
        [
            (of_comparable[one.pair.key], one.pair.label is not Label.UNDETERMINED)
            for one in learned
            if one.pair.key in of_comparable
        ],
    )
    used = [one for one in learned if one.pair.key in of_conflict or one.pair.key in of_comparable]
    profile = VerdictProfile(
        fitted_for=fitted_for,
        conflict=conflict,
        comparable=comparable,
        bounds=bounds,
        fitted_on=f"{len(used)} pairs of {len({one.pair.item for one in used})} items",
        languages=tuple(sorted({language_pair(*one.pair.languages) for one in used})),
        modalities=tuple(sorted({name for one in used for name in one.pair.modalities})),
    )
    return profile, {one.pair.key: _judged(one, profile, of_conflict, of_comparable) for one in samples}


def ablations(samples: Sequence[Sample], registry: Registry, unlearned: Collection[str]) -> str:
    """Markdown: cross-validated AUROC of conflict against agreement with all features, without a group, by it alone."""
    signs = _conflict_signs(registry)
    lines = ["| pairs | features | AUROC |", "|---|---|---|"]
    for kind in (SAME_LANGUAGE, CROSS_LANGUAGE):
        answering = [one for one in _learned(samples, unlearned) if one.pairing == kind and _answers(one)]
        if not answering:
            continue
        seen = _observations(answering, lambda one: one.pair.conflict)
        bootstrap = Bootstrap([one.item for one in seen])
        chosen = {"all": signs}
        for group, names in GROUPS.items():
            chosen[f"without {group}"] = {name: sign for name, sign in signs.items() if name not in names}
        for group, names in GROUPS.items():
            chosen[f"{group} alone"] = {name: sign for name, sign in signs.items() if name in names}
        for what, used in chosen.items():
            try:
                values = cross_validated(seen, used)
            except ValueError as error:  # too few values of a feature in some fold
                lines.append(f"| {kind} | {what} | {error} |")
            else:
                found = bootstrap.estimate(auroc, [one.positive for one in seen], values)
                lines.append(f"| {kind} | {what} | {interval(found)} |")
    return "\n".join(lines)


def scored(samples: Sequence[Sample], probabilities: Mapping[str, Probabilities], registry: Registry) -> list[Row]:
    """Rows for the report: baselines, single features turned so that larger means conflict, and the verdict."""
    rows = []
    by_key = {(one.pair.yardstick, one.pair.key): one for one in samples}
    for own in by_yardstick([Row(one.pair, {}) for one in samples]).values():
        pairs = [row.pair for row in own]
        values = [by_key[pair.yardstick, pair.key].values for pair in pairs]
        found = {**without_model(pairs), **single_features(values, registry)}
        for place, pair in enumerate(pairs):
            said = probabilities[pair.key]
            scores = {name: column[place] for name, column in found.items()}
            # As served: of a pair that is not comparable no probability is told.
            told = None if said.decision == UNANSWERED else said.conflict
            rows.append(Row(pair, scores, said.decision, told))
    return rows


def single_features(values: Sequence[Mapping[str, float]], registry: Registry) -> Mapping[str, Sequence[float | None]]:
    """A score for every feature that any pair has, turned so that larger means conflict; None where it is missing."""
    turned = {feature.name: -1.0 if feature.conflict < 0 else 1.0 for feature in registry.evidence_features}
    return {
        f"{SINGLE}{name}": [turned[name] * own[name] if name in own else None for own in values]
        for name in sorted({name for own in values for name in own})
    }


def neutral_values(rows: Sequence[Row]) -> dict[str, float]:
    """What a missing score counts as: the baselines' values, and 0 for single features."""
    return {**NEUTRAL, **{name: 0.0 for row in rows for name in row.scores if name.startswith(SINGLE)}}


def _judged(
    one: Sample, profile: VerdictProfile, of_conflict: Mapping[str, float], of_comparable: Mapping[str, float]
) -> Probabilities:
    key = one.pair.key
    fits = profile.conflict.get(one.pairing), profile.comparable.get(one.pairing)
    conflict = of_conflict.get(key, fits[0].probability(one.values) if fits[0] and one.values else 0.5)
    comparable = of_comparable.get(key, fits[1].probability(one.values) if fits[1] and one.values else 1.0)
    return Probabilities(conflict, comparable, _decision(one, conflict, comparable, profile.bounds))


def _decision(one: Sample, conflict: float, comparable: float, bounds: Bounds) -> str:
    """As `xmguard.verdict.decision.decide` takes it, of two spans; why nothing was established is told apart."""
    if one.gathered.silent or comparable < bounds.comparable_above:
        return UNANSWERED
    if conflict > bounds.conflict_above:
        return "CONFLICT"
    return "CONSISTENT" if conflict < min(bounds.agreement_below, bounds.conflict_above) else TOO_CLOSE


def _learned(samples: Sequence[Sample], unlearned: Collection[str]) -> list[Sample]:
    return [one for one in samples if one.pair.yardstick not in unlearned]


def _answers(one: Sample) -> bool:
    """Whether both texts of a pair answer, and the model found that they do."""
    return one.pair.label is not Label.UNDETERMINED and not one.gathered.silent


def _conflict_signs(registry: Registry) -> dict[str, int]:
    """Features of a conflict: all but the one that only tells whether there is an answer."""
    return {name: registry.evidence_features.items[name].conflict for name in CHEAP if name != "probe_unanswered"}


def _comparable_signs(registry: Registry) -> dict[str, int]:
    """Features that say something of whether both spans answer; words that both have speak for it."""
    signs = {name: registry.evidence_features.items[name].comparable for name in CHEAP}
    return {name: sign for name, sign in signs.items() if sign} | {"shared_words": 1}


def _observations(samples: Sequence[Sample], positive: Callable[[Sample], bool]) -> list[Observation]:
    return [Observation(one.pair.item, one.values, positive(one)) for one in samples]


def _by_key(samples: Sequence[Sample], values: Sequence[float]) -> dict[str, float]:
    return {one.pair.key: value for one, value in zip(samples, values, strict=True)}
