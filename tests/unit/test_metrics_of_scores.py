"""Metrics of scores and their intervals, against numbers computed by hand and by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from xmguard_research.metrics import (
    BINS,
    Bootstrap,
    Estimate,
    auroc,
    brier,
    ece,
    recall_at_false_alarms,
    reliability,
    share,
    won_within_items,
)


def value(metric, conflict, values):
    return Bootstrap([str(row) for row in range(len(conflict))], resamples=1).estimate(metric, conflict, values).value


def random_rows(rows, seed=0):
    generator = np.random.default_rng(seed)
    conflict = generator.random(rows) < 0.4
    values = np.round(generator.random(rows) * 0.7 + 0.3 * conflict, 1)  # rounded, so that there are ties
    return conflict.tolist(), values.tolist()


def test_auroc_by_hand_counts_a_tie_as_half():
    # 0.9 beats both others, 0.4 beats one and ties with one: (2 + 1.5) / 4.
    assert value(auroc, [True, True, False, False], [0.9, 0.4, 0.4, 0.1]) == 3.5 / 4


def test_recall_by_hand_takes_the_lowest_threshold_that_a_tenth_of_the_others_reaches():
    others = [index / 10 for index in range(10)]
    conflict = [True] * 4 + [False] * 10
    assert value(recall_at_false_alarms, conflict, [0.95, 0.85, 0.84, 0.75, *others]) == 0.75
    assert value(recall_at_false_alarms, conflict, [0.95, 0.85, 0.9, 0.75, *others]) == 0.75
    assert value(recall_at_false_alarms, conflict, [0.5, 0.5, 0.5, 0.5, *others]) == 0.0
    # A tie of conflicts with more of the others than are allowed is not split.
    assert value(recall_at_false_alarms, conflict, [1.0, 0.5, 0.5, 0.5, *[0.5] * 10]) == 0.25


def test_brier_by_hand():
    assert value(brier, [True, False], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)


def test_ece_by_hand():
    # Two distinct probabilities of 15 pairs each fall into two bins: 0.8 with 9 conflicts, 0.2 with 6.
    conflict = [True] * 9 + [False] * 6 + [True] * 6 + [False] * 9
    values = [0.8] * 15 + [0.2] * 15
    assert value(ece, conflict, values) == pytest.approx((0.2 + 0.2) / 2)
    bins = reliability(conflict, values)
    assert [(round(one.probability, 9), round(one.conflicts, 9), one.pairs) for one in bins] == [
        (0.2, 0.4, 15),
        (0.8, 0.6, 15),
    ]


def test_equal_probabilities_are_in_the_bin_of_their_middle():
    # From its first rank the large group would share the bin of the small one, and their gaps would cancel out.
    assert value(ece, [True] + [False] * 29, [0.1] + [0.9] * 29) == pytest.approx(0.9)


def test_bins_hold_equally_many_pairs_where_no_probability_repeats():
    values = (np.random.default_rng(0).permutation(300) / 300).tolist()
    bins = reliability([True] * 300, values)
    assert [one.pairs for one in bins] == [300 // BINS] * BINS
    assert value(ece, [True] * 300, values) == pytest.approx(1 - np.mean(values))


def test_numbers_agree_with_scikit_learn_where_it_has_them():
    conflict, values = random_rows(200)
    assert value(auroc, conflict, values) == pytest.approx(roc_auc_score(conflict, values))
    assert value(brier, conflict, values) == pytest.approx(brier_score_loss(conflict, values))
    false_alarms, recall, _ = roc_curve(conflict, values, drop_intermediate=False)
    assert value(recall_at_false_alarms, conflict, values) == pytest.approx(recall[false_alarms <= 0.1].max())


@pytest.mark.parametrize("metric", [auroc, recall_at_false_alarms, brier, ece])
def test_a_draw_is_the_same_as_its_rows_written_out(metric):
    conflict, values = (np.array(column, dtype=float) for column in random_rows(60))
    times = np.random.default_rng(1).integers(0, 4, size=60)
    weighted = metric(conflict, values, times[None].astype(float))[0]
    assert weighted == pytest.approx(
        metric(np.repeat(conflict, times), np.repeat(values, times), np.ones((1, times.sum())))[0]
    )


def test_the_bootstrap_draws_whole_items():
    conflict, values = random_rows(100)
    alone = Bootstrap([str(row) for row in range(100)]).estimate(auroc, conflict, values)
    # Every row ten times over is no new evidence: the interval stays as wide, if rows of an item stay together.
    repeated = [[one for one in column for _ in range(10)] for column in (conflict, values)]
    clustered = Bootstrap([str(row) for row in range(100) for _ in range(10)]).estimate(auroc, *repeated)
    loose = Bootstrap([str(row) for row in range(1000)]).estimate(auroc, *repeated)
    assert clustered.value == pytest.approx(alone.value)
    width = alone.high - alone.low
    assert clustered.high - clustered.low == pytest.approx(width, rel=0.05)
    assert loose.high - loose.low < width / 2


def test_the_same_seed_gives_the_same_interval():
    conflict, values = random_rows(50)
    items = [str(row // 2) for row in range(50)]
    first, again, other = (Bootstrap(items, seed=seed).estimate(auroc, conflict, values) for seed in (0, 0, 1))
    assert first == again != other


def test_a_difference_is_paired():
    conflict, values = random_rows(100)
    bootstrap = Bootstrap([str(row) for row in range(100)])
    same = bootstrap.difference(auroc, conflict, values, [2 * one for one in values])
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert not same.excludes_zero
    worse = bootstrap.difference(auroc, conflict, values, [-one for one in values])
    assert worse.excludes_zero
    assert worse.low > 0


def test_one_class_only_is_undefined_and_said_so():
    bootstrap = Bootstrap(["a", "b", "c"])
    nothing = bootstrap.estimate(auroc, [False] * 3, [0.1, 0.2, 0.3])
    assert (nothing.value, nothing.low, nothing.undefined) == (None, None, 2000)
    assert not nothing.excludes_zero
    # With one conflict among three items, (2/3)^3 of the draws miss it and 1/27 draw nothing else.
    some = bootstrap.estimate(auroc, [True, False, False], [0.3, 0.2, 0.1])
    assert (some.value, some.low, some.high) == (1.0, 1.0, 1.0)
    assert some.undefined / 2000 == pytest.approx(9 / 27, abs=0.04)
    assert bootstrap.estimate(recall_at_false_alarms, [True] * 3, [0.3, 0.2, 0.1]).value is None


def test_missing_scores_and_missing_rows_are_refused():
    with pytest.raises(ValueError, match="neutral"):
        Bootstrap(["a"]).estimate(auroc, [True], [float("nan")])
    with pytest.raises(ValueError, match="no rows"):
        Bootstrap([])


def test_within_items_only_pairs_of_one_item_are_compared():
    # Item a: both conflicts beat its other; item b: one of four comparisons is a tie, one is won.
    items = ["a", "a", "a", "b", "b", "b", "b", "c"]
    conflict = [True, True, False, True, True, False, False, True]
    values = [0.9, 0.8, 0.7, 0.1, 0.3, 0.3, 0.2, -9.0]
    within = Bootstrap(items).of_sums(np.divide, *won_within_items(items, conflict, values))
    assert within.value == pytest.approx((2 + 0.5 + 1) / 6)
    assert (within.low, within.high) == (1.5 / 4, 1.0)
    assert within.undefined / 2000 == pytest.approx(1 / 27, abs=0.02), "draws of nothing but c compare nothing"
    apart = won_within_items(["a", "b"], [True, False], [1.0, 0.0])
    assert Bootstrap(["a", "b"]).of_sums(np.divide, *apart).value is None


def test_a_share_has_the_interval_of_its_items():
    # Ten items, all or nothing: an interval over a hundred rows would be a third as wide.
    items = [str(row // 10) for row in range(100)]
    halved = share([row < 50 for row in range(100)], items)
    assert halved == Bootstrap(items).of_sums(np.divide, [row < 50 for row in range(100)], [1] * 100)
    assert halved.value == 0.5
    assert halved.high - halved.low > 0.45


@pytest.mark.parametrize(
    ("values", "interval"),
    [([False, False], (0.0, 0.1611)), ([True, True], (0.8389, 1.0)), ([True, False], (0.2993, 0.7007))],
)
def test_items_that_agree_leave_doubt_as_great_as_their_number_is_small(values, interval):
    # Wilson's interval for 0, 20 and 10 of 20; the two rows of an item are not two trials.
    found = share(values * 20, [str(row // 2) for row in range(40)])
    assert (found.low, found.high) == pytest.approx(interval, abs=5e-5)


def test_a_share_of_nothing_is_undefined_and_one_of_other_rows_refused():
    assert share([], []) == Estimate(None, None, None, 0)
    with pytest.raises(ValueError, match=r"values \(1\), items \(2\)"):
        share([True], ["a", "b"])
