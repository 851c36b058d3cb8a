"""Two systems on the same questions: tests, changes of accuracy, and intervals of sums."""

import itertools

import numpy as np
import pytest

from xmguard_research.metrics import Bootstrap, accuracy_change, mcnemar, sign_flip_p_value


def test_mcnemar_by_hand():
    # 6 against 1 of 7: twice P(at most 1 of 7) = 2 * (1 + 7) / 128.
    found = mcnemar([True] * 6 + [False] + [True] * 5, [False] * 6 + [True] + [True] * 5)
    assert (found.only_first, found.only_second, found.p_value) == (6, 1, pytest.approx(16 / 128))


def test_mcnemar_without_a_difference_and_without_rows():
    assert mcnemar([True, False], [True, False]).p_value == 1.0
    assert mcnemar([], []).p_value is None
    with pytest.raises(ValueError, match=r"first \(1\), second \(0\)"):
        mcnemar([True], [])


def test_signs_are_flipped_by_item_and_exactly_where_items_are_few():
    items, differences = ["a", "a", "b", "c", "c", "d"], [1.0, 2.0, 4.0, -1.0, 0.5, 2.0]
    sums = np.array([3.0, 4.0, -0.5, 2.0])
    totals = [float(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=4)]
    extreme = sum(abs(total) >= sums.sum() - 1e-9 for total in totals)
    assert sign_flip_p_value(items, differences) == pytest.approx(extreme / 16)


def test_rows_of_one_item_are_no_more_evidence_than_one():
    items, differences = [str(row) for row in range(8)], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0]
    once = sign_flip_p_value(items, differences)
    assert once == pytest.approx(2 * 9 / 256)
    assert sign_flip_p_value(items * 10, differences * 10) == pytest.approx(once)


def test_a_p_value_is_never_zero_and_the_same_every_time():
    items, differences = [str(row) for row in range(60)], [1.0] * 60
    found = sign_flip_p_value(items, differences, resamples=99)
    assert found == pytest.approx(2 / 100)
    assert found == sign_flip_p_value(items, differences, resamples=99)
    assert sign_flip_p_value(items, [0.0] * 60, resamples=99) == 1.0


def test_the_test_rejects_as_often_as_it_says():
    generator = np.random.default_rng(0)
    items = [str(row // 2) for row in range(16)]
    found = [
        sign_flip_p_value(items, (generator.normal(size=8).repeat(2) + generator.normal(size=16)).tolist())
        for _ in range(200)
    ]
    assert 0.06 < np.mean([p <= 0.1 for p in found]) < 0.15


def test_one_item_alone_tells_nothing():
    assert sign_flip_p_value(["a", "a"], [1.0, 1.0]) is None
    assert sign_flip_p_value([], []) is None
    with pytest.raises(ValueError, match="not finite"):
        sign_flip_p_value(["a", "b"], [1.0, float("nan")])


def test_accuracy_changes_in_points():
    found = accuracy_change([True] * 6 + [False] * 4, [True] * 8 + [False] * 2, [str(row // 2) for row in range(10)])
    assert found.value == -20.0
    assert found.low < -20.0 < found.high <= 0.0
    with pytest.raises(ValueError, match=r"right \(1\), baseline \(2\), items \(1\)"):
        accuracy_change([True], [True, True], ["a"])
    with pytest.raises(ValueError, match="no rows"):
        accuracy_change([], [], [])


def test_sums_make_any_number_of_rates_with_one_interval():
    # Two rates of different denominators and their mean, as a balanced accuracy has it.
    conflict, found = [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 1]
    hits = [one * other for one, other in zip(conflict, found, strict=True)]
    quiet = [(1 - one) * (1 - other) for one, other in zip(conflict, found, strict=True)]
    bootstrap = Bootstrap([str(row) for row in range(6)], resamples=200)
    estimate = bootstrap.of_sums(
        lambda hit, conflicts, calm, rows: (hit / conflicts + calm / (rows - conflicts)) / 2,
        hits,
        conflict,
        quiet,
        [1] * 6,
    )
    assert estimate.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert estimate.undefined > 0, "draws without a control"
    assert 0.0 <= estimate.low < estimate.high <= 1.0


def test_a_column_that_is_not_of_the_rows_is_refused():
    bootstrap = Bootstrap(["a", "b"])
    with pytest.raises(ValueError, match="a column of 3 values cannot be drawn with 2 rows"):
        bootstrap.of_sums(np.divide, [1, 2, 3], [1, 1])
    with pytest.raises(ValueError, match="finite"):
        bootstrap.of_sums(np.divide, [1, float("inf")], [1, 1])
    assert bootstrap.of_sums(np.divide, [1, 1], [0, 0]).value is None
