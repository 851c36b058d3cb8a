"""Which fits labelled pairs allow, and that what is said of a pair comes from fits which have not seen it."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from xmguard.calibration import CROSS_LANGUAGE, SAME_LANGUAGE, FeatureWeight, Fit, FittedFor, VerdictProfile
from xmguard.errors import InvalidRequest
from xmguard.evidence import Bounds
from xmguard.profile import Profile
from xmguard.profile_reader import read_profile
from xmguard.response import Decision
from xmguard_research.calibration import fitting
from xmguard_research.calibration.bounds import choose
from xmguard_research.calibration.comparison import Said, conclusion, scores
from xmguard_research.calibration.gathering import Gathered
from xmguard_research.calibration.profiles import DIGITS, to_json
from xmguard_research.calibration.tuning import Case, Weighing, judged, out_of_fold, plan, weighed
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.splits import fitting_fold

DIRECTIONS = {"conflict": {"drop": 1, "gain": 0}, "comparable": {"gain": 1}}
START = VerdictProfile(
    FittedFor("h", "e", "float32"),
    conflict={kind: Fit(-1.0, (FeatureWeight("drop", 1.0, 0.0, 1.0),)) for kind in (SAME_LANGUAGE, CROSS_LANGUAGE)},
    comparable={SAME_LANGUAGE: Fit(1.0, (FeatureWeight("gain", 1.0, 0.0, 1.0),))},
    bounds=Bounds(0.6, 0.4, 0.3),
    fitted_on="tests",
)


def cases(label: Label, count: int, *, languages=("en", "en"), drop=0.0, gain=2.0, seed=0, silent=False) -> list[Case]:
    """Pairs of items of their own whose features lie around the given values."""
    noise = np.random.default_rng(seed).normal(size=(count, 2))
    made = []
    for index, (a, b) in enumerate(noise):
        name = f"{label.value}-{languages}-{seed}-{index}"
        values = {} if silent else {"drop": drop + a, "gain": gain + b}
        pair = Pair(name, name, "own pairs", name, ("a", "b"), languages, label)
        made.append(Case(pair, Gathered(pair.content, values, silent, None, "UNDETERMINED", "test")))
    return made


def known(conflict=24, consistent=24, undetermined=24, **changes) -> list[Case]:
    return [
        *cases(Label.CONFLICT, conflict, drop=6.0, **changes),
        *cases(Label.CONSISTENT, consistent, drop=2.0, **changes),
        *cases(Label.UNDETERMINED, undetermined, drop=3.0, gain=-1.0, **changes),
    ]


def test_a_recalibration_moves_the_scale_and_keeps_the_weights_ratio():
    everything = known()
    wanted = plan(everything, START, None)
    assert wanted.fitted == {"conflict": (SAME_LANGUAGE,), "comparable": (SAME_LANGUAGE,)}
    fitted = weighed(everything, wanted)
    before, after = START.conflict[SAME_LANGUAGE], fitted.conflict[SAME_LANGUAGE]
    slope = after.weights[0].weight / before.weights[0].weight
    assert -after.intercept / after.weights[0].weight == pytest.approx(4.0, abs=0.5), "between 2 and 6 it is even"
    assert slope > 0
    assert fitted.conflict[CROSS_LANGUAGE] is START.conflict[CROSS_LANGUAGE], "no such pairs"
    assert fitted.bounds != START.bounds
    assert any("cross language, conflict: kept as it was; 0 conflict and 0" in note for note in wanted.notes)


def test_without_enough_undetermined_pairs_the_comparable_fit_and_its_bound_stay():
    everything = known(undetermined=19)
    wanted = plan(everything, START, None)
    fitted = weighed(everything, wanted)
    assert wanted.fitted["comparable"] == ()
    assert (
        "same language, comparable: kept as it was; 48 comparable and 19 undetermined pairs, 20 of each are needed"
        in (wanted.notes)
    )
    assert fitted.comparable is not START.comparable
    assert fitted.comparable == START.comparable
    assert fitted.bounds.comparable_above == START.bounds.comparable_above


def test_without_a_start_a_pairing_with_too_few_pairs_has_no_fit():
    everything = [*known(conflict=30, consistent=30), *known(conflict=3, languages=("en", "de"), seed=1)]
    wanted = plan(everything, None, DIRECTIONS, least=20)
    fitted = weighed(everything, wanted)
    assert set(fitted.conflict) == {SAME_LANGUAGE}
    assert any("cross language, conflict: no fit, so such pairs are left undetermined; 3" in n for n in wanted.notes)
    crossing = next(case for case in everything if case.pair.languages == ("en", "de"))
    assert judged(crossing, fitted).decision is Decision.UNDETERMINED


@pytest.mark.parametrize(
    ("everything", "start", "directions", "reason"),
    [
        (known(conflict=19), START, None, "same language: 19 conflict and 24 consistent pairs, 20 of each are needed"),
        (known(), None, DIRECTIONS, "24 conflict and 24 consistent pairs, 60 of each are needed"),
        (
            [*known(conflict=0), *cases(Label.CONFLICT, 24, silent=True)],
            START,
            None,
            "24 of 72 pairs cannot be used, since a text gave no answer",
        ),
        (
            [replace(case, pair=replace(case.pair, item="one")) for case in known()],
            START,
            None,
            "the conflict ones are of 1 item, in 1 of 5 folds; 3 are needed",
        ),
        (
            known(),
            replace(START, conflict={CROSS_LANGUAGE: START.conflict[CROSS_LANGUAGE]}),
            None,
            "same language: 24 conflict and 24 consistent pairs, no fit to start from",
        ),
    ],
)
def test_too_few_pairs_are_refused_with_what_there_is_and_what_is_needed(everything, start, directions, reason):
    with pytest.raises(InvalidRequest, match=r"^--pairs: too few pairs to ") as caught:
        plan(everything, start, directions)
    assert reason in str(caught.value)


@pytest.mark.parametrize("directions", [None, DIRECTIONS])
def test_what_is_said_of_a_pair_does_not_depend_on_the_labels_of_its_fold(directions):
    everything = known()
    held = fitting_fold(everything[0].pair.item)
    turned = dict(zip(Label, [*Label][1:] + [*Label][:1], strict=True))
    lying = [
        replace(case, pair=replace(case.pair, label=turned[case.pair.label]))
        if fitting_fold(case.pair.item) == held
        else case
        for case in everything
    ]
    wanted = plan(everything, START, directions, least=20)
    true, false = out_of_fold(everything, wanted), out_of_fold(lying, wanted)
    assert len(true) == len(everything)
    same = [case for case in everything if fitting_fold(case.pair.item) == held]
    rest = [case for case in everything if fitting_fold(case.pair.item) != held]
    assert [true[case.pair.content] for case in same] == [false[case.pair.content] for case in same]
    assert [true[case.pair.content] for case in rest] != [false[case.pair.content] for case in rest]


def test_weights_that_are_fitted_tell_the_classes_apart():
    everything = known(conflict=40, consistent=40, undetermined=40)
    verdicts = out_of_fold(everything, plan(everything, None, DIRECTIONS, least=20))
    said = {label: [verdicts[c.pair.content] for c in everything if c.pair.label is label] for label in Label}
    share = {
        (label, decision): sum(v.decision is decision for v in said[label]) / 40
        for label in Label
        for decision in Decision
    }
    assert share[Label.CONFLICT, Decision.CONFLICT] > 0.7
    assert share[Label.CONSISTENT, Decision.CONFLICT] < 0.25
    assert share[Label.UNDETERMINED, Decision.UNDETERMINED] > 0.6
    assert all(verdict.calibrated for verdict in verdicts.values())


def test_a_silent_pair_is_undetermined():
    (silent,) = cases(Label.UNDETERMINED, 1, silent=True)
    verdict = judged(silent, Weighing(START.conflict, START.comparable, START.bounds))
    assert (verdict.decision, verdict.probability) == (Decision.UNDETERMINED, None)


def test_bounds_that_cannot_be_chosen_are_the_usual_ones():
    usual = Bounds(0.7, 0.2, 0.6)
    assert choose([], [], usual) == usual
    assert choose([], [(0.9, True)], usual).comparable_above == 0.6, "no pair shows what is not comparable"


def test_bounds_spend_no_false_alarm_that_finds_no_conflict():
    apart = [*((n / 100, False) for n in range(30)), *((0.7 + n / 100, True) for n in range(30))]
    bounds = choose(apart, [])
    assert bounds.conflict_above == pytest.approx(0.495), "halfway"
    assert bounds.agreement_below == bounds.conflict_above, "nothing is left open"


@pytest.mark.parametrize("count", range(6, 60, 3))
def test_bounds_keep_to_what_they_may_cost(count):
    draws = np.random.default_rng(count)
    conflict = [(round(p, 2), bool(draws.random() < p)) for p in draws.random(count).tolist()]
    comparable = [(round(p, 2), bool(draws.random() < p)) for p in draws.random(count).tolist()]
    bounds = choose(conflict, comparable)
    alarms = [p > bounds.conflict_above for p, is_one in conflict if not is_one]
    agreeing = [is_one for p, is_one in conflict if p < bounds.agreement_below]
    left_out = [p < bounds.comparable_above for p, both in comparable if both]
    assert sum(alarms) <= 0.1 * len(alarms)
    assert sum(left_out) <= 0.02 * len(left_out)
    assert sum(agreeing) <= 0.2 * len(agreeing)


def test_a_few_pairs_that_are_apart_do_not_make_probabilities_certain():
    everything = known(undetermined=0)
    apart = [
        replace(case, shown=replace(case.shown, values={"drop": 8.0 if case.pair.conflict else 0.0}))
        for case in everything
    ]
    fitted = weighed(apart, plan(apart, START, None)).conflict[SAME_LANGUAGE]
    assert fitted.probability({"drop": 8.0}) == pytest.approx(25 / 26, abs=0.005)
    assert fitted.probability({"drop": 0.0}) == pytest.approx(1 / 26, abs=0.005)


def test_a_feature_that_varies_by_rounding_only_is_not_weighed():
    rows = [
        fitting.Observation(f"i{n}", {"drop": 1e-7 * (n % 2), "gain": float(n % 2) + (n % 5) / 10}, bool(n % 2))
        for n in range(80)
    ]
    assert [weight.feature for weight in fitting.fit(rows, DIRECTIONS["conflict"]).weights] == ["gain"]


def test_points_of_a_curve_that_a_profile_could_not_tell_apart_are_one():
    # Means of equal numbers differ in their last digit by how many there are, which is no step of a curve.
    for seed in range(40):
        draws = np.random.default_rng(seed)
        odds = draws.choice(draws.normal(size=3), size=2000, p=[0.2, 0.6, 0.2])
        curve = fitting._isotonic(odds, (draws.random(2000) < 0.3).astype(float))
        stored = [float(f"{x:.{DIGITS}g}") for x, _ in curve]
        assert all(a < b for a, b in pairwise(stored)), seed


def test_a_stored_profile_gives_the_same_probabilities_to_six_digits(tmp_path):
    awkward = Fit(1 / 3, (FeatureWeight("drop", 2 / 3, 123 + 1 / 7, 1 / 7, 1 / 9),), ((-1 / 3, 1 / 7), (2.0, 6 / 7)))
    verdict = replace(START, conflict={SAME_LANGUAGE: awkward, CROSS_LANGUAGE: replace(awkward, curve=())})
    path = tmp_path / "p.json"
    path.write_text(json.dumps(to_json(Profile("p", "none", verdict=verdict))), encoding="utf-8")
    read = read_profile(path).verdict
    for drop in np.linspace(122.5, 124.0, 20).tolist():
        for kind, known_fit in verdict.conflict.items():
            values = {"drop": drop}
            assert read.conflict[kind].probability(values) == pytest.approx(known_fit.probability(values), abs=5e-7)


def test_the_conclusion_says_what_the_intervals_allow():
    pairs = [case.pair for case in known(undetermined=0)]
    truth = [Said("", 0.9 if pair.conflict else 0.1) for pair in pairs]
    lies = [Said("", 0.1 if pair.conflict else 0.9) for pair in pairs]
    better = conclusion(scores(pairs, lies, truth))
    assert better == "After is better than before in AUROC, recall at 10% false alarms, Brier score, ECE."
    assert conclusion(scores(pairs, truth, lies)).startswith("After is worse than before in AUROC, recall")
    assert conclusion(scores(pairs, truth, truth)).startswith("After is not better than before")
