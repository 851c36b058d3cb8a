"""Numbers of checkpoints and arms on responses made by hand, whose numbers are known."""

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xmguard.errors import XmguardError
from xmguard_research.metrics import Estimate
from xmguard_research.mixing import crossed, measures, tables
from xmguard_research.mixing.evaluating import Response
from xmguard_research.mixing.posing import CONFLICT, SINGLE

DRAWS = 200
MEASURED = {"model_hash": "ab", "dtype": "float32", "version": "1"}
SETTINGS = {"clqa": {"size": "short", "seed": None}}


def response(item, labels, conflict, reported, norms=(2.0, 1.0), tokens=(10, 10), prompt="standard"):
    first, second = labels
    variant = "-".join(labels if first == "en" or first == second else (second, first))
    name = f"{item}/{'>'.join(labels)}/{conflict}"
    return Response(
        key=f"{name}|{prompt}",
        produced_by="hand",
        suite="clqa",
        task=CONFLICT,
        case=name,
        item=item,
        variant=variant,
        labels=list(labels),
        prompt=prompt,
        conflict=conflict,
        words="",
        reported=reported,
        reason="",
        expected="",
        exact=None,
        holds=None,
        tokens=list(tokens),
        norms=list(norms),
    )


def question(item, exact, holds):
    base = response(item, ("en", "en"), False, None)
    return replace(
        base, key=f"{item}/q", task=SINGLE, variant="es", labels=["es"], expected="x", exact=exact, holds=holds
    )


def number(numbers, what, variant="en-es", **further):
    found = [
        one
        for one in numbers
        if (one.what, one.variant) == (what, variant) and all(getattr(one, key) == v for key, v in further.items())
    ]
    assert len(found) == 1, f"{what} of {variant}: {len(found)}"
    return found[0]


ROWS = [
    response("a", ("en", "es"), True, True),
    response("a", ("es", "en"), True, False, norms=(1.0, 4.0), tokens=(20, 10)),
    response("a", ("en", "es"), False, False),
    response("a", ("es", "en"), False, False),
    response("b", ("en", "es"), True, True),
    response("b", ("es", "en"), True, True),
    response("b", ("en", "es"), False, True),
    response("b", ("es", "en"), False, None),
]


def test_detection_and_false_alarms_are_shares_of_conflicts_and_of_controls_that_could_be_judged():
    found = measures.of_checkpoint(ROWS, resamples=DRAWS)
    assert number(found, "detection").estimate.value == 3 / 4
    assert number(found, "false alarms").estimate.value == 1 / 3
    assert number(found, "detection - false alarms").estimate.value == pytest.approx(3 / 4 - 1 / 3)
    assert number(found, "detection").items == 2


def test_shares_that_all_agree_keep_an_interval_and_stay_shares():
    rows = [response(topic, ("en", "es"), True, False) for topic in "abcdef"]
    rows += [response(topic, ("en", "es"), False, True) for topic in "abcdef"]
    found = measures.of_checkpoint(rows, resamples=DRAWS)
    for what, least, most in (("detection", 0, 1), ("false alarms", 0, 1), ("detection - false alarms", -1, 1)):
        estimate = number(found, what).estimate
        assert least <= estimate.low < estimate.high <= most, what


def test_orders_are_counted_together_and_apart():
    found = measures.of_checkpoint(ROWS, resamples=DRAWS)
    assert number(found, "detection", "en>es").estimate.value == 1.0
    assert number(found, "detection", "es>en").estimate.value == 0.5
    assert not [one for one in found if one.variant == "es-en"]


def test_the_imbalance_sets_english_against_the_other_language_in_whatever_order_they_are_read():
    rows = [
        response("a", ("en", "es"), True, True, norms=(6.0, 2.0), tokens=(3, 4)),
        response("a", ("es", "en"), False, True, norms=(2.0, 6.0), tokens=(4, 3)),
    ]
    found = measures.of_checkpoint(rows, resamples=DRAWS)
    assert number(found, "log ratio").estimate.value == pytest.approx(math.log(3))
    assert number(found, "log ratio per token").estimate.value == pytest.approx(math.log(2 / 0.5))
    assert number(found, "absolute gap").estimate.value == pytest.approx(4.0)
    assert number(found, "absolute gap per token").estimate.value == pytest.approx(1.5)
    flipped = measures.of_checkpoint([replace(row, norms=row.norms[::-1]) for row in rows], resamples=DRAWS)
    assert number(flipped, "log ratio").estimate.value == pytest.approx(-math.log(3))
    assert number(flipped, "imbalance").estimate.value == pytest.approx(math.log(3))


def test_the_spread_keeps_what_cancels_between_the_orders():
    rows = [
        response("a", ("en", "es"), True, True, norms=(2.0, 1.0)),
        response("a", ("es", "en"), True, True, norms=(2.0, 1.0)),
    ]
    found = measures.of_checkpoint(rows, resamples=DRAWS)
    assert number(found, "imbalance").estimate.value == pytest.approx(0.0, abs=1e-12)
    assert number(found, "spread").estimate.value == pytest.approx(math.log(2))


@pytest.mark.parametrize("norms", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_a_source_that_contributes_nothing_leaves_ratios_undefined_and_counts_in_the_rest(norms):
    rows = [response("a", ("en", "es"), True, True, norms=norms), response("b", ("en", "es"), True, True)]
    found = measures.of_checkpoint(rows, resamples=DRAWS)
    assert number(found, "spread").estimate.value is None
    assert number(found, "detection").estimate.value == 1.0
    assert number(found, "absolute gap").estimate.value == pytest.approx(abs(norms[0] + 2 - norms[1] - 1) / 2)


def test_the_shortfall_is_what_mixing_two_languages_costs_against_the_mean_of_each_alone():
    rows = [
        *(response(item, ("en", "en"), True, True) for item in "ab"),
        *(response(item, ("es", "es"), True, item == "a") for item in "ab"),
        *(response(item, ("en", "es"), True, False) for item in "ab"),
    ]
    found = measures.of_checkpoint(rows, resamples=DRAWS)
    assert number(found, "shortfall").estimate.value == pytest.approx((1.0 + 0.5) / 2)


def test_questions_count_exact_answers_and_those_that_hold_the_answer():
    found = measures.of_checkpoint([question("a", True, True), question("b", False, True)], resamples=DRAWS)
    assert number(found, "exact", "es").estimate.value == 0.5
    assert number(found, "holds", "es").estimate.value == 1.0


def test_a_rate_that_is_the_same_for_every_topic_still_has_an_interval():
    rows = [response(item, ("en", "es"), conflict, conflict) for item in "abc" for conflict in (True, False)]
    found = measures.of_checkpoint(rows, resamples=DRAWS)
    detection, less = (number(found, what).estimate for what in ("detection", "detection - false alarms"))
    assert detection.value == detection.high == 1.0
    assert 0.3 < detection.low < 0.6
    assert less.value == less.high == 1.0
    assert less.low == pytest.approx(1.0 - math.hypot(1.0 - detection.low, 1.0 - detection.low))


def test_a_difference_of_arms_that_is_the_same_for_every_topic_still_has_an_interval():
    def rows(reported):
        return {0: [response(item, ("en", "es"), True, reported) for item in "abc"]}

    found = measures.comparisons({"instance": rows(True), "none": rows(False)}, [("instance", "none")], resamples=DRAWS)
    less = number(found, "difference in detection").estimate
    alone = number(measures.of_arms({"instance": rows(True)}, resamples=DRAWS), "detection").estimate
    assert less.value == less.high == 1.0
    assert less.low == pytest.approx(1.0 - math.hypot(1.0 - alone.low, 1.0 - alone.low))


def arms():
    """Imbalances 4, 2 and 1 (times log 2), and detections 0, 1/2 and 1."""

    def rows(times, reported):
        return [
            response(item, ("en", "es"), True, reported and item in reported, norms=(2.0**times, 1.0)) for item in "ab"
        ]

    return {
        "none": {None: rows(4, "")},
        "dataset": {0: rows(2, "a"), 1: rows(2, "b")},
        "instance": {0: rows(1, "ab"), 1: rows(1, "ab")},
    }


ROWS_AT_ONE = [response(item, ("en", "es"), True, True, norms=(8.0, 1.0)) for item in "ab"]
"""Of imbalance 3 (times log 2)."""


def test_arms_are_means_over_their_seeds():
    found = measures.of_arms(arms(), resamples=DRAWS)
    assert number(found, "detection", arm="dataset").estimate.value == 0.5
    assert number(found, "detection", arm="dataset").seeds == 2
    assert number(found, "imbalance", arm="instance").estimate.value == pytest.approx(math.log(2))


def test_the_reduction_says_how_many_times_as_much_imbalance_the_other_arm_has():
    found = measures.comparisons(arms(), [("instance", "dataset"), ("instance", "none")], resamples=DRAWS)
    assert number(found, "reduction of imbalance", against="dataset").estimate.value == pytest.approx(2)
    assert number(found, "reduction of imbalance", against="none").estimate.value == pytest.approx(4)
    less = number(found, "difference in detection", against="dataset").estimate
    assert less.value == 0.5
    assert less.low < 0.5 < less.high


def test_arms_are_compared_by_the_seeds_that_both_have_alone():
    whole = arms()
    both = {**whole, "dataset": {0: whole["dataset"][0]}, "instance": {1: whole["instance"][1], 0: ROWS_AT_ONE}}
    pairs = [("instance", "dataset"), ("instance", "none")]
    found = measures.comparisons(both, pairs, resamples=DRAWS)
    less = number(found, "difference in imbalance", against="dataset")
    assert less.estimate.value == pytest.approx((3 - 2) * math.log(2))
    assert (less.seeds, less.estimate.undefined) == (1, 0)
    assert number(found, "difference in imbalance", against="none").seeds == 2
    apart = {"dataset": {0: whole["dataset"][0]}, "instance": {1: whole["instance"][1]}}
    assert measures.comparisons(apart, pairs[:1], resamples=DRAWS) == []


def test_arms_that_were_asked_different_things_are_not_compared():
    made = arms()
    made["instance"][1] = made["instance"][1][:1]
    with pytest.raises(ValueError, match="instance, seed 1, was not asked what none was"):
        measures.comparisons(made, [("instance", "none")])


def test_what_differs_between_seeds_widens_the_interval_though_topics_agree():
    def rows(value):
        return (["a", "b"], [[value, value], [1.0, 1.0]])

    draws = crossed.Crossed(["a", "b"], [0, 1], resamples=DRAWS)
    mean = draws.mean(lambda values, counted: values / counted, {0: rows(0.0), 1: rows(1.0)}).estimate()
    assert (mean.value, mean.low, mean.high) == (0.5, 0.0, 1.0)
    alone = draws.mean(lambda values, counted: values / counted, {None: rows(1.0)}).estimate()
    assert (alone.value, alone.low, alone.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("even", [0.0, 1.0])
def test_what_rounding_keeps_from_even_is_even(even):
    low, high = np.nextafter(even, -1) - 3e-17, np.nextafter(even, 2) + 3e-17
    draws = np.array([low] * 100 + [even + 0.5] * 100)
    found = crossed.Replicates(high, draws).estimate()
    assert (found.value, found.low, found.high) == (even, even, even + 0.5)
    found = crossed.Replicates(low, 2 * even - draws).estimate()
    assert (found.value, found.low, found.high) == (even, even - 0.5, even)


def test_sources_that_are_read_alike_have_an_imbalance_of_nothing_and_not_of_rounding():
    norms = [(0.1, 0.3), (0.2, 0.3), (0.3, 0.3)]
    rows = [response("a", ("en", "es"), True, True, norms=one, tokens=(10, 10)) for one in norms]
    rows += [response("a", ("es", "en"), True, True, norms=one, tokens=(10, 10)) for one in norms[::-1]]
    assert {value for _, what, value in measures.values(rows) if what == "imbalance per token" and value < 0.01} == {
        0.0
    }


def test_arms_of_the_same_seeds_are_compared_on_the_same_seeds():
    def rows(value):
        return (["a", "b"], [[value, value], [1.0, 1.0]])

    def mean(values, counted):
        return values / counted

    draws = crossed.Crossed(["a", "b"], [0, 1], resamples=DRAWS)
    one, other = (draws.mean(mean, {0: rows(low), 1: rows(low + 1)}) for low in (0.0, 0.25))
    found = crossed.difference(other, one).estimate()
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_the_numbers_are_written_with_their_intervals_as_json_and_csv(tmp_path):
    found = measures.of_checkpoint(ROWS, "es", resamples=DRAWS)
    tables.write(tmp_path, found, {"model": "es"})
    summary = json.loads((tmp_path / tables.SUMMARY).read_text())
    assert summary["model"] == "es"
    row = next(row for row in summary["numbers"] if (row["what"], row["variant"]) == ("detection", "en-es"))
    assert (row["value"], row["arm"], row["items"], row["rows"]) == (0.75, "es", 2, 4)
    header, *lines = (tmp_path / tables.TABLE).read_text().splitlines()
    assert len(lines) == len(found)
    assert header.split(",")[-3:] == ["value", "low", "high"]


def test_numbers_that_cannot_be_put_in_their_place_leave_those_that_were_there(tmp_path, monkeypatch):
    found = measures.of_checkpoint(ROWS, resamples=DRAWS)
    tables.write(tmp_path, found, {"model": "before"})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(XmguardError, match=r"the disk is full; free some space\. Responses are kept"):
        tables.write(tmp_path, found, {"model": "after"})
    assert json.loads((tmp_path / tables.SUMMARY).read_text())["model"] == "before"


def test_the_card_gets_every_number_once_and_keeps_those_of_other_variants(tmp_path):
    before = {"suite": "clqa", "variant": "en-es", "prompt": "standard", "what": "detection", "value": 9}
    kept = [before | {"variant": "de-de", "value": 1}, before | {"suite": "other", "value": 1}]
    measured = {**MEASURED, "settings": {**SETTINGS, "other": {"size": "long"}}}
    card = {"name": "es", "measured": measured, "benchmarks": [before, *kept]}
    (tmp_path / tables.CARD).write_text(json.dumps(card))
    found = measures.of_checkpoint(ROWS, resamples=DRAWS)
    for _ in range(2):
        assert tables.write_card(tmp_path, found, MEASURED, SETTINGS) == 0
    written = json.loads((tmp_path / tables.CARD).read_text())
    assert written["name"] == "es"
    assert written["benchmarks"][:2] == kept
    own = written["benchmarks"][2:]
    assert len(own) == len(found)
    assert 9 not in [row["value"] for row in own]
    assert set(own[0]) == {"suite", "variant", "prompt", "what", "value", "low", "high", "items"}


def test_the_card_keeps_what_was_chosen_by_apart_from_what_was_measured(tmp_path):
    (tmp_path / tables.CARD).write_text("{}")
    tables.write_card(tmp_path, measures.of_checkpoint(ROWS, resamples=DRAWS), MEASURED, SETTINGS)
    measured = json.loads((tmp_path / tables.CARD).read_text())["benchmarks"]
    missed = [replace(row, suite="dev", key=f"dev/{row.key}", item=f"dev-{row.item}", reported=False) for row in ROWS]
    missed_of = {"dev": {"size": "short", "seed": None}}
    assert tables.write_card(tmp_path, measures.of_checkpoint(missed, resamples=DRAWS), MEASURED, missed_of) == 0
    rows = json.loads((tmp_path / tables.CARD).read_text())["benchmarks"]
    assert [row for row in rows if row["suite"] == "clqa"] == measured
    (chosen,) = [row for row in rows if (row["suite"], row["variant"], row["what"]) == ("dev", "en-es", "detection")]
    assert chosen["value"] == 0.0


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(XmguardError, match=r"xmguard\.json cannot be read"):
        tables.write_card(tmp_path, [], MEASURED, SETTINGS)


@pytest.mark.parametrize(
    "other",
    [
        {"model_hash": "cd"},
        {"dtype": "bfloat16"},
        {"version": "2"},
        {"settings": {"clqa": {"size": "long", "seed": None}}},
        {"settings": {}},
        None,
    ],
)
def test_the_card_keeps_nothing_that_was_measured_on_others_and_counts_what_went(tmp_path, other):
    row = {"suite": "clqa", "variant": "de-de", "prompt": "standard", "what": "detection", "value": 9}
    measured = {} if other is None else {"measured": {**MEASURED, "settings": SETTINGS} | other}
    (tmp_path / tables.CARD).write_text(json.dumps({"benchmarks": [row], **measured}))
    found = measures.of_checkpoint(ROWS, resamples=DRAWS)
    assert tables.write_card(tmp_path, found, MEASURED, SETTINGS) == 1
    written = json.loads((tmp_path / tables.CARD).read_text())
    assert len(written["benchmarks"]) == len(found)
    assert written["measured"] == {**MEASURED, "settings": SETTINGS}


def test_a_variant_is_replaced_with_all_its_numbers_and_what_else_was_asked_of_it_stays(tmp_path):
    alone = [response(item, (code, code), True, True) for item in "ab" for code in ("en", "es")]
    across = [response(item, ("en", "es"), True, item == "a") for item in "ab"]
    both = [replace(question(item, True, True), variant="en-es", labels=["en", "es"]) for item in "ab"]
    (tmp_path / tables.CARD).write_text("{}")
    for rows in ([*alone, *across, *both], across):
        tables.write_card(tmp_path, measures.of_checkpoint(rows, resamples=DRAWS), MEASURED, SETTINGS)
    rows = json.loads((tmp_path / tables.CARD).read_text())["benchmarks"]
    assert "shortfall" not in {row["what"] for row in rows}  # of the pairs of one language that were asked before
    assert {row["what"] for row in rows if row["variant"] == "en-es"} >= {"exact", "holds", "detection"}
    assert {row["variant"] for row in rows} == {"en-en", "es-es", "en-es", "en>es"}


def test_a_card_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / tables.CARD).write_text("{}")
    (tmp_path / ".xmguard.json.new").mkdir()
    with pytest.raises(XmguardError, match=r"xmguard\.json cannot be written: Is a directory.*Nothing was changed"):
        tables.write_card(tmp_path, [], MEASURED, SETTINGS)


def test_a_number_counts_the_responses_that_it_is_about_of_both_arms():
    found = measures.of_checkpoint(ROWS, resamples=DRAWS)
    assert [number(found, what).rows for what in ("detection", "false alarms", "imbalance")] == [4, 3, 8]
    less = number(measures.comparisons(arms(), [("instance", "none")], resamples=DRAWS), "difference in detection")
    assert (less.items, less.rows, less.seeds, less.against_rows, less.against_seeds) == (2, 4, 2, 2, 1)


def test_draws_that_are_left_out_are_written_and_shown():
    rows = [response("a", ("en", "es"), True, True), response("b", ("en", "es"), False, False)]
    detection = number(measures.of_checkpoint(rows, resamples=DRAWS), "detection")
    assert 0 < detection.estimate.undefined < DRAWS
    assert tables.flat(detection)["undefined"] == detection.estimate.undefined
    assert tables.shown(Estimate(0.5, 0.25, 0.75, 3), "detection") == "50 [25, 75] (3 draws left out)"


def test_values_alone_are_those_of_the_intervals():
    found = [(cell.variant, what, value) for cell, what, value in measures.values(ROWS)]
    wanted = [(one.variant, one.what, one.estimate.value) for one in measures.of_checkpoint(ROWS, resamples=DRAWS)]
    assert [name for *name, _ in found] == [name for *name, _ in wanted]
    assert [value for *_, value in found] == pytest.approx([value for *_, value in wanted])


def test_rates_are_shown_in_percent_and_what_is_undefined_as_absent():
    assert tables.shown(Estimate(0.5, 0.25, 0.75, 0), "detection") == "50 [25, 75]"
    assert tables.shown(Estimate(0.5, 0.25, 0.75, 0), "imbalance") == "0.5 [0.25, 0.75]"
    assert tables.shown(Estimate(0.5, 0.5, 0.5, 0), "imbalance") == "0.5"
    assert tables.shown(Estimate(None, None, None, 3), "imbalance") == tables.ABSENT
