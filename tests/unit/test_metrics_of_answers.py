"""Metrics that compare answers, on numbers worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard_research.metrics import (
    Bootstrap,
    ErrorDetection,
    Follows,
    ModalityTrust,
    detection_rates,
    directional_gap,
    error_detection,
    followed,
    krippendorff_alpha,
    macro_accuracy,
    modality_disparity,
    modality_importance,
    modality_trust,
    position_effect,
    text_following_rate,
    text_preference_ratio,
)

SOME = settings(max_examples=50, deadline=None)
answers = st.sampled_from(["red", "Red.", " RED ", "red..", "blue", "blue .", "", ".", "İ", "ẞ"])
rows = st.lists(st.tuples(answers, answers, answers), max_size=20)


# -- text preference -------------------------------------------------------------------------------------------------


def test_text_preference_counts_what_equals_one_answer_alone():
    joint = ["a", "a", "b", "c", "a", "b", "b"]
    image = ["a", "b", "b", "a", "a", "c", "x"]
    text = ["b", "a", "b", "b", "a", "b", "b"]
    # img: 1st; text: 2nd, 6th, 7th; both: 3rd, 5th; neither: 4th.
    text_preference = text_preference_ratio(joint, image, text)
    assert text_preference == (3, 1, 2, 1, 0.75)
    assert text_preference._fields == ("text", "img", "both", "neither", "ratio")


@pytest.mark.parametrize(
    ("said", "alone", "equal"),
    [
        ("Skiing.", "skiing", True),
        ("  skiing. ", "SKIING", True),
        ("U.S.", "u.s", True),
        ("skiing..", "skiing", False),  # one full stop, the final one
        ("skiing .", "skiing", False),  # nothing is stripped after it
        ("skiing. ", "skiing.", True),
        ("skiing!", "skiing", False),
        ("skiing。", "skiing", False),
        ("a  b", "a b", False),
        (".", "", True),
    ],
)
def test_answers_are_lower_cased_stripped_and_lose_one_final_full_stop(said, alone, equal):
    found = text_preference_ratio([said], ["something else"], [alone])
    assert found.text == int(equal)
    assert found.neither == int(not equal)
    assert text_preference_ratio([said], [alone], ["something else"]).img == int(equal)


def test_answers_that_tell_nothing_apart_have_no_ratio():
    assert text_preference_ratio(["a", "b"], ["a", "c"], ["a", "c"]) == (0, 0, 1, 1, None)
    assert text_preference_ratio([], [], []) == (0, 0, 0, 0, None)
    assert text_preference_ratio(["a"], ["a"], ["b"]).ratio == 0.0


def test_answers_of_different_questions_are_refused():
    with pytest.raises(ValueError, match=r"joint \(2\), image_only \(2\), text_only \(1\): of different lengths"):
        text_preference_ratio(["a", "b"], ["a", "b"], ["a"])


@SOME
@given(rows)
def test_text_and_image_change_places_when_their_answers_do(triples):
    joint, image, text = ([row[place] for row in triples] for place in range(3))
    found, swapped = text_preference_ratio(joint, image, text), text_preference_ratio(joint, text, image)
    assert (found.text, found.img, found.both, found.neither) == (
        swapped.img,
        swapped.text,
        swapped.both,
        swapped.neither,
    )
    assert sum(found[:4]) == len(triples)
    assert (found.ratio is None) == (swapped.ratio is None) == (found.text + found.img == 0)
    assert found.ratio is None or found.ratio == pytest.approx(1 - swapped.ratio)


@SOME
@given(rows)
def test_the_interval_of_a_text_preference_comes_from_its_answers(triples):
    joint, image, text = ([row[place] for row in triples] for place in range(3))
    kinds = followed(joint, image, text)
    of_text = [kind is Follows.TEXT for kind in kinds]
    apart = [kind in (Follows.TEXT, Follows.IMG) for kind in kinds]
    if kinds:
        bootstrap = Bootstrap([str(row // 2) for row in range(len(kinds))], resamples=20)
        estimate = bootstrap.of_sums(lambda some, all_of_them: some / all_of_them, of_text, apart)
        assert estimate.value == text_preference_ratio(joint, image, text).ratio


# -- detection -------------------------------------------------------------------------------------------------------


def test_detection_is_shown_beside_false_alarms():
    conflict = [True] * 10 + [False] * 5
    reported = [True] * 7 + [False] * 3 + [True] + [False] * 4
    found = detection_rates(conflict, reported)
    assert (found.sensitivity, found.specificity, found.false_alarm_rate) == (0.7, 0.8, 0.2)
    assert found.balanced_accuracy == pytest.approx(0.75)


def test_what_nobody_could_judge_is_no_silence():
    found = detection_rates([True, True, True, False, False], [True, None, None, None, False])
    assert (found.sensitivity, found.specificity) == (1.0, 1.0)
    assert (found.unjudged_conflicts, found.unjudged_controls) == (2, 1)


def test_rates_of_a_class_that_is_not_there_are_undefined():
    found = detection_rates([True], [True])
    assert (found.specificity, found.false_alarm_rate, found.balanced_accuracy) == (None, None, None)
    assert detection_rates([True], [None]).sensitivity is None
    assert detection_rates([], []).sensitivity is None


def test_a_report_that_is_neither_yes_nor_no_is_refused():
    with pytest.raises(ValueError, match="'yes' was reported"):
        detection_rates([True], ["yes"])
    with pytest.raises(ValueError, match="different lengths"):
        detection_rates([True], [])


# -- following, scrutiny, importance ---------------------------------------------------------------------------------


def test_text_is_followed_on_items_that_are_understood_both_ways():
    found = text_following_rate(
        ["t", "t", "t", "v", "x", "t"], ["v"] * 6, ["t"] * 6, [True] * 5 + [False], [True] * 4 + [True, True]
    )
    assert (found.text, found.image, found.other, found.not_understood) == (3, 1, 1, 1)
    assert found.rate == 0.75
    assert text_following_rate(["x"], ["v"], ["t"], [True], [True]).rate is None
    assert text_following_rate([], [], [], [], []).rate is None


def test_an_item_with_one_right_answer_is_no_conflict():
    with pytest.raises(ValueError, match="1 items have one right answer by text and image, 'same'"):
        text_following_rate(["same"], ["same"], ["same"], [True], [True])
    assert text_following_rate(["same"], ["same"], ["same"], [True], [False]).not_understood == 1


def test_errors_are_detected_spontaneously_and_guided():
    assert error_detection([True] + [False] * 19, [True] * 11 + [False] * 9) == ErrorDetection(0.05, 0.55)
    assert error_detection([], [True]) == ErrorDetection(None, 1.0)


def test_trust_counts_items_without_preference():
    assert modality_trust(["image"] * 2 + ["text"] * 5 + ["none"] * 3) == ModalityTrust(0.2, 0.5)
    assert modality_trust([]) == ModalityTrust(None, None)
    with pytest.raises(ValueError, match="'vision' is no preference"):
        modality_trust(["vision"])


def test_importance_is_the_mean_with_a_modality_minus_the_mean_without():
    v, a, t = (frozenset({name}) for name in ("video", "audio", "text"))
    accuracy = {v: 1.0, a: 0.0, t: 0.0, v | a: 1.0, v | t: 1.0, a | t: 0.5, v | a | t: 1.0}
    assert modality_importance(accuracy, "video") == pytest.approx(4 / 4 - 0.5 / 3)
    assert modality_importance(accuracy, "audio") == pytest.approx(2.5 / 4 - 2 / 3)
    assert modality_importance({**accuracy, frozenset(): 0.5}, "video") == pytest.approx(1 - 1.0 / 4)
    assert modality_importance({t: 1.0}, "text") is None


def test_importance_refuses_subsets_that_would_not_compare():
    t, v = frozenset({"text"}), frozenset({"image"})
    with pytest.raises(ValueError, match=r"no accuracy for the subset \['image'\]"):
        modality_importance({t: 1.0, t | v: 1.0}, "text")
    with pytest.raises(ValueError, match="'sound' is in no subset"):
        modality_importance({t: 1.0}, "sound")
    with pytest.raises(ValueError, match=r"100\.0, not a share"):
        modality_importance({t: 100.0}, "text")


# -- direction and position ------------------------------------------------------------------------------------------


def test_cells_count_alike_however_many_rows_they_have():
    assert macro_accuracy([True] * 8 + [False, False], ["a"] * 8 + ["b"] * 2) == 0.5
    assert macro_accuracy([], []) is None


def test_gap_and_disparity_are_those_of_the_source():
    accuracy = {
        ("t", "v"): 0.9,
        ("v", "t"): 0.8,
        ("t", "a"): 0.7,
        ("a", "t"): 0.6,
        ("v", "a"): 0.5,
        ("a", "v"): 0.3,
    }
    assert directional_gap(accuracy, "t", "v") == pytest.approx(0.1)
    assert directional_gap(accuracy, "v", "t") == pytest.approx(-0.1)
    assert modality_disparity(accuracy, "t", "v", third="a") == pytest.approx((0.3 - 0.6) + (0.5 - 0.7))
    assert modality_disparity(accuracy, "t", "a", third="v") == pytest.approx((0.5 - 0.8) + (0.3 - 0.9))
    assert modality_disparity(accuracy, "v", "a", third="t") == pytest.approx((0.7 - 0.9) + (0.6 - 0.8))
    with pytest.raises(ValueError, match="no accuracy for the direction from t to x"):
        directional_gap(accuracy, "t", "x")


def test_a_preference_for_what_is_said_is_no_position_effect():
    found = position_effect(["first"] * 6 + ["second"] * 4, ["second"] * 6 + ["first"] * 4)
    assert (found.effect, found.content, found.primacy) == (0.0, 10, 0)


def test_primacy_and_recency_have_opposite_signs():
    assert position_effect(["first"] * 3, ["first"] * 3).effect == 1.0
    assert position_effect(["second"] * 3, ["second"] * 3).effect == -1.0
    mixed = position_effect(["first", "first", None], ["first", "second", None])
    assert (mixed.first, mixed.second, mixed.neither) == (3, 1, 2)
    assert mixed.effect == 0.5
    assert position_effect([None], [None]).effect is None
    with pytest.raises(ValueError, match="'last' is no place"):
        position_effect(["first"], ["last"])


# -- agreement -------------------------------------------------------------------------------------------------------

FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
"""The example of Krippendorff (2011) for any number of observers and missing data."""


def test_alpha_is_that_of_the_textbook_examples():
    assert krippendorff_alpha(*FOUR_OBSERVERS) == pytest.approx(0.743, abs=5e-4)
    # Its example of two observers: 3 of 12 units differ; a, b, c, d, e are said 4, 6, 6, 6, 2 times.
    expected = 1 - (4 * 3 + 3 * 6 * 5 + 2 * 1) / (24 * 23)
    alpha = krippendorff_alpha("aabbdcccedda", "babbbccceddd")
    assert alpha == pytest.approx(1 - (3 / 12) / expected)
    assert alpha == pytest.approx(0.692, abs=5e-4)


def test_alpha_by_hand_for_two_judges():
    # Ratings: four yes, four no. One of four units differs: D_o = 1/4; D_e = 2 * 4 * 4 / (8 * 7) = 4/7.
    assert krippendorff_alpha([1, 1, 0, 0], [1, 1, 0, 0]) == 1.0
    assert krippendorff_alpha([1, 1, 0, 0], [1, 0, 0, 1]) == pytest.approx(1 - (1 / 2) / (4 / 7))
    assert krippendorff_alpha([1, 1, 1, 0, 0], [1, 1, 0, 0, None]) == pytest.approx(1 - (1 / 4) / (2 * 5 * 3 / (8 * 7)))


def test_alpha_is_undefined_where_nothing_could_differ():
    assert krippendorff_alpha([1, 1, 1], [1, 1, 1]) is None
    assert krippendorff_alpha([1, None], [None, 0]) is None
    assert krippendorff_alpha([], []) is None
    with pytest.raises(ValueError, match="two judges"):
        krippendorff_alpha([1, 0])
    with pytest.raises(ValueError, match=r"judge 1 \(2\), judge 2 \(1\)"):
        krippendorff_alpha([1, 0], [1])


@SOME
@given(st.lists(st.tuples(*[st.sampled_from([0, 1, 2, None])] * 3), max_size=15), st.randoms())
def test_alpha_knows_neither_who_judged_nor_what_the_ratings_are_called(units, random):
    judges = [[unit[number] for unit in units] for number in range(3)]
    names = {0: "conflict", 1: "none", 2: "unsure", None: None}
    renamed = [[names[rating] for rating in judge] for judge in judges]
    random.shuffle(renamed)
    alpha = krippendorff_alpha(*judges)
    assert krippendorff_alpha(*renamed) == alpha or krippendorff_alpha(*renamed) == pytest.approx(alpha)
    assert alpha is None or alpha <= 1.0
