"""The key `verdict` of a profile: read strictly, and written so that it reads the same."""

import json
import string
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard.calibration import PAIRINGS, FeatureWeight, Fit, FittedFor, ProbeSource, VerdictProfile
from xmguard.errors import ModelRefused
from xmguard.evidence import Bounds
from xmguard.profile import CARD, Profile
from xmguard.profile_reader import read_profile
from xmguard_research.calibration.profiles import DIGITS, to_json

WEIGHT = {"feature": "f", "weight": 2, "center": 0.5, "scale": 4.0, "absent": -1}
GOOD = {
    "version": 1,
    "fitted_for": {"model_hash": "ab", "engine": "transformers", "dtype": "float32"},
    "fitted_on": "pairs of statements, 2025",
    "conflict": {
        "same_language": {"intercept": -1, "weights": [WEIGHT | {}], "curve": [[-1, 0.1], [2, 0.1], [3, 0.9]]}
    },
    "comparable": {"cross_language": {"intercept": 0, "weights": [WEIGHT, WEIGHT | {"feature": "g"}]}},
    "bounds": {"conflict_above": 0.7, "agreement_below": 0.3, "comparable_above": 0},
    "probe": {"adapter": "probe", "sha256": "cd", "layers": 16, "task": "\n{question}\nSame?"},
}
FIT = ("conflict", "same_language")
MISSING = object()


def save(folder, verdict):
    card = {"profile": {"name": "p", "rebalance": {"policy": "none"}, "verdict": verdict}}
    (folder / CARD).write_text(json.dumps(card))
    return folder


def changed(path, value):
    """GOOD with one place of it changed, or taken out."""
    content = deepcopy(GOOD)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


def reasons(folder, verdict):
    with pytest.raises(ModelRefused) as caught:
        read_profile(save(folder, verdict))
    prefix = f"{CARD}: profile.verdict"
    assert all(reason.startswith(prefix) for reason in caught.value.reasons)
    return [reason.removeprefix(prefix).removeprefix(".") for reason in caught.value.reasons]


def test_a_verdict_is_read_as_it_stands(tmp_path):
    read = read_profile(save(tmp_path, GOOD))
    weight = FeatureWeight("f", 2.0, 0.5, 4.0, -1.0)
    assert read == Profile(
        "p",
        "none",
        verdict=VerdictProfile(
            FittedFor("ab", "transformers", "float32"),
            {"same_language": Fit(-1.0, (weight,), ((-1.0, 0.1), (2.0, 0.1), (3.0, 0.9)))},
            {"cross_language": Fit(0.0, (weight, replace(weight, feature="g")))},
            Bounds(0.7, 0.3, 0.0),
            "pairs of statements, 2025",
            ProbeSource(tmp_path / "probe", "cd", 16, "\n{question}\nSame?"),
        ),
    )


def test_probe_comparable_and_curves_may_be_absent(tmp_path):
    plain = changed(("probe",), MISSING) | {"comparable": {}}
    read = read_profile(save(tmp_path, plain)).verdict
    assert (read.probe, read.comparable) == (None, {})


def test_a_profile_that_names_no_modalities_is_of_texts(tmp_path):
    assert read_profile(save(tmp_path, GOOD)).verdict.modalities == ("text",)
    named = GOOD | {"modalities": ["image", "text"]}
    assert read_profile(save(tmp_path, named)).verdict.modalities == ("image", "text")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("version",), MISSING, "version is missing"),
        (("version",), 2, "version is not 1, the one that this version reads"),
        (("version",), True, "version is not 1, the one that this version reads"),
        (("fitted_for",), [], "fitted_for is not an object with the keys model_hash, engine, dtype"),
        (("fitted_for", "dtype"), MISSING, "fitted_for.dtype is missing"),
        (("fitted_for", "model_hash"), "", "fitted_for.model_hash is not a name"),
        (("fitted_for", "engine"), 3, "fitted_for.engine is not a name"),
        (
            ("fitted_for", "device"),
            "cpu",
            "fitted_for.device is not known; the keys here are model_hash, engine, dtype",
        ),
        (("fitted_on",), "two\nlines", "fitted_on is not a name"),
        (("fitted_on",), MISSING, "fitted_on is missing"),
        (("date",), 1, "date is not known; the keys here are version, fitted_for"),
        (("conflict",), MISSING, "conflict is missing"),
        (("conflict",), 3, "conflict is not an object with the keys same_language, cross_language"),
        (("conflict",), {}, "conflict holds no fit; the keys here are same_language, cross_language"),
        (("conflict", "en-es"), {}, "conflict.en-es is not known"),
        (("comparable",), MISSING, "comparable is missing"),
        (("comparable",), None, "comparable is not an object"),
        ((*FIT, "intercept"), MISSING, "conflict.same_language.intercept is missing"),
        ((*FIT, "intercept"), "1", 'conflict.same_language.intercept is "1", not a number'),
        ((*FIT, "intercept"), float("inf"), "conflict.same_language.intercept is inf; a number"),
        ((*FIT, "intercept"), 10**400, "conflict.same_language.intercept is inf; a number"),
        ((*FIT, "weights"), [], "conflict.same_language.weights is not a list of at least one weight"),
        ((*FIT, "weights"), {}, "conflict.same_language.weights is not a list of at least one weight"),
        ((*FIT, "weights"), [WEIGHT, WEIGHT], "conflict.same_language.weights weighs f 2 times"),
        ((*FIT, "weights", 0), 1, "conflict.same_language.weights[0] is not an object with the keys feature, weight"),
        ((*FIT, "weights", 0, "feature"), None, "conflict.same_language.weights[0].feature is not a name"),
        ((*FIT, "weights", 0, "weight"), None, "conflict.same_language.weights[0].weight is null, not a number"),
        ((*FIT, "weights", 0, "center"), MISSING, "conflict.same_language.weights[0].center is missing"),
        ((*FIT, "weights", 0, "scale"), 0, "conflict.same_language.weights[0].scale is not above 0"),
        ((*FIT, "weights", 0, "scale"), -1.0, "conflict.same_language.weights[0].scale is not above 0"),
        ((*FIT, "weights", 0, "scale"), "x", 'conflict.same_language.weights[0].scale is "x", not a number'),
        ((*FIT, "weights", 0, "absent"), float("nan"), "conflict.same_language.weights[0].absent is nan; a number"),
        ((*FIT, "weights", 0, "unit"), "", "conflict.same_language.weights[0].unit is not known"),
        ((*FIT, "curve"), 4, "conflict.same_language.curve is not a list of [log-odds, probability]"),
        ((*FIT, "curve"), [[1, 0.2, 3]], "conflict.same_language.curve is not a list of [log-odds, probability]"),
        ((*FIT, "curve"), [[1, 1.2]], "conflict.same_language.curve[0][1] is 1.2; from 0 to 1"),
        ((*FIT, "curve"), [[1, 0.5], ["a", 0.6]], 'conflict.same_language.curve[1][0] is "a", not a number'),
        ((*FIT, "curve"), [[1, 0.5], [1, 0.6]], "conflict.same_language.curve does not rise"),
        ((*FIT, "curve"), [[1, 0.5], [2, 0.4]], "conflict.same_language.curve does not rise"),
        ((*FIT, "slope"), 1, "conflict.same_language.slope is not known"),
        (("languages",), ["en-en", "zh-en"], "languages is not a list of pairs of languages in sorted order, like"),
        (("languages",), ["en-ZH"], "languages is not a list of pairs of languages in sorted order"),
        (("languages",), ["en-"], "languages is not a list of pairs of languages in sorted order"),
        (("bounds", "conflict_above"), MISSING, "bounds.conflict_above is missing"),
        (("bounds", "agreement_below"), 1.5, "bounds.agreement_below is 1.5; from 0 to 1"),
        (("bounds", "comparable_above"), True, "bounds.comparable_above is true, not a number"),
        (("bounds", "threshold"), 0.5, "bounds.threshold is not known"),
        (("modalities",), "text", 'modalities is not a list of at least one modality like "text", each once'),
        (("modalities",), [], "modalities is not a list of at least one modality"),
        (("modalities",), ["text", " "], "modalities is not a list of at least one modality"),
        (("modalities",), ["text", ["image"]], "modalities is not a list of at least one modality"),
        (("modalities",), ["text", "text"], "modalities is not a list of at least one modality"),
        (("probe",), "probe", "probe is not an object with the keys adapter, sha256, layers, task"),
        (("probe", "adapter"), "../other", "probe.adapter is not the name of a folder beside the profile"),
        (("probe", "adapter"), "/etc", "probe.adapter is not the name of a folder beside the profile"),
        (("probe", "adapter"), "..", "probe.adapter is not the name of a folder beside the profile"),
        (("probe", "adapter"), "", "probe.adapter is not a name"),
        (("probe", "sha256"), MISSING, "probe.sha256 is missing"),
        (("probe", "layers"), 0, "probe.layers is 0.0; from 1 to 10000"),
        (("probe", "layers"), 2.5, "probe.layers is 2.5, no whole number"),
        (("probe", "task"), "Same?", "probe.task is no text with {question} in it"),
        (("probe", "task"), MISSING, "probe.task is missing"),
        (("probe", "rank"), 8, "probe.rank is not known"),
    ],
)
def test_what_is_wrong_is_named_by_its_key_once(tmp_path, path, value, reason):
    (found,) = reasons(tmp_path, changed(path, value))
    assert found.startswith(reason)


def test_every_problem_is_told_at_once(tmp_path):
    wrong = deepcopy(GOOD)
    wrong["fitted_for"]["dtype"] = 1
    wrong["conflict"]["same_language"]["weights"][0] |= {"center": "c", "scale": 0, "absent": None}
    wrong["comparable"]["cross_language"]["curve"] = [[0, 2]]
    wrong["bounds"] = {"conflict_above": 7}
    wrong["probe"]["layers"] = "many"
    assert len(reasons(tmp_path, wrong)) == 1 + 3 + 1 + 3 + 1


# -- the round trip --------------------------------------------------------------------------------------------------

names = st.text(string.ascii_letters + " _äß中", min_size=1).filter(str.strip)
numbers = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)
points = st.lists(st.tuples(numbers, shares), max_size=6, unique_by=lambda point: point[0])
weights = st.builds(FeatureWeight, names, numbers, numbers, st.floats(1e-6, 1e6), numbers)
fits = st.builds(
    lambda intercept, weighed, curve: Fit(
        intercept,
        tuple(weighed),
        tuple(zip(sorted(x for x, _ in curve), sorted(y for _, y in curve), strict=True)),
    ),
    numbers,
    st.lists(weights, min_size=1, max_size=4, unique_by=lambda weight: weight.feature),
    points,
)
probes = st.builds(
    ProbeSource,
    st.text(string.ascii_lowercase, min_size=1).map(Path),
    names,
    st.integers(1, 10_000),
    names.map(lambda text: f"\n{text}{{question}}"),
)
verdicts = st.builds(
    VerdictProfile,
    st.builds(FittedFor, names, names, names),
    st.dictionaries(st.sampled_from(PAIRINGS), fits, min_size=1),
    st.dictionaries(st.sampled_from(PAIRINGS), fits),
    st.builds(Bounds, shares, shares, shares),
    names,
    st.none() | probes,
    modalities=st.lists(names, min_size=1, max_size=3, unique=True).map(tuple),
)


def shortened(value):
    return float(f"{value:.{DIGITS}g}")


@settings(max_examples=60, deadline=None)
@given(verdict=verdicts)
def test_what_research_writes_is_what_is_read(verdict):
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / CARD).write_text(json.dumps(to_json(Profile("p", "floor", {"minimum": 0.5}, ((0.5, 1.0),), verdict))))
        read = read_profile(folder)
        assert (read.name, read.policy, read.parameters, read.heads) == ("p", "floor", {"minimum": 0.5}, ((0.5, 1.0),))
        again = read.verdict
        assert (again.fitted_for, again.fitted_on) == (verdict.fitted_for, verdict.fitted_on)
        assert again.modalities == verdict.modalities
        if verdict.probe is None:
            assert again.probe is None
        else:
            assert again.probe == replace(verdict.probe, folder=folder / verdict.probe.folder.name)
        assert again.bounds == Bounds(*map(shortened, vars(verdict.bounds).values()))
        for mine, theirs in ((again.conflict, verdict.conflict), (again.comparable, verdict.comparable)):
            assert mine.keys() == theirs.keys()
            for kind, fit in theirs.items():
                assert mine[kind].intercept == shortened(fit.intercept)
                assert mine[kind].weights == tuple(
                    FeatureWeight(w.feature, *map(shortened, (w.weight, w.center, w.scale, w.absent)))
                    for w in fit.weights
                )
                assert dict(mine[kind].curve) == {shortened(x): shortened(y) for x, y in fit.curve}


def test_points_that_shortening_makes_one_are_one(tmp_path):
    fit = Fit(0.0, (FeatureWeight("f", 1.0, 0.0, 1.0),), ((1.00000000001, 0.2), (1.00000000002, 0.3), (2.0, 0.9)))
    verdict = VerdictProfile(FittedFor("h", "e", "d"), {"same_language": fit}, {}, Bounds(), "pairs")
    (tmp_path / CARD).write_text(json.dumps(to_json(Profile("p", "none", verdict=verdict))))
    assert read_profile(tmp_path).verdict.conflict["same_language"].curve == ((1.0, 0.3), (2.0, 0.9))
