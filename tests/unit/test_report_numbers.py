"""What a report computes from rows: the same rates as the table of a run, means over variants, settings compared."""

import csv
import doctest
import io
import json

import pytest

from xmguard.response import AnswerResponse, ConflictVerdict, Decision, SpanReport, Status
from xmguard_research.benchmarks.derived import UNDEFINED, Number
from xmguard_research.benchmarks.summary import Asking, Key, Row, cells
from xmguard_research.metrics import Estimate
from xmguard_research.reports import attending, comparing, page
from xmguard_research.reports.attending import contributions, trusted
from xmguard_research.reports.comparing import MCNEMAR, SIGN_FLIPS, comparisons
from xmguard_research.reports.files import items_csv, markdown, results_csv, results_json
from xmguard_research.reports.lists import Lists, some
from xmguard_research.reports.numbers import FALSE_ALARMS, SAID, left_out, lines, means
from xmguard_research.reports.values import KINDS, Material, Response, Scored, Source

CROSS = (Source("s1", "en", "Red."), Source("s2", "es", "Verde."))
SAME = (Source("s1", "en", "Red."), Source("s2", "en", "Green."))


def row(item, conflict, found, *, variant="en-en", setting="", decision="CONFLICT", failed="", **key):
    of = {"prompt": "standard", "measure": "says_conflict", **key}
    name = f"{item}/{variant}/{conflict}/{of['prompt']}"
    return Row(
        Key("s", "m", setting, of["prompt"], variant, of["measure"]), name, item, conflict, found, decision, failed, "l"
    )


def guarded(before, after, probability=0.5):
    spans = tuple(
        SpanReport(f"s{place}", "text", "en", 5, one, other)
        for place, (one, other) in enumerate(zip(before, after, strict=True), 1)
    )
    return AnswerResponse(verdict=ConflictVerdict(Decision.CONFLICT, probability, Status.OK), spans=spans)


def material(rows, guard=None):
    scores = {"says_conflict": Scored("rules 1", "contradict")}
    behind = {
        (one.log, one.sample): Response(
            "Which?", SAME if one.key.variant == "en-en" else CROSS, "Red, or green.", guard, scores
        )
        for one in rows
    }
    return Material(tuple(rows), behind, ())


ROWS = [
    row("a", True, True),
    row("b", True, False),
    row("a", False, False, decision="CONSISTENT"),
    row("b", False, None),
    row("a", True, True, variant="en-es"),
    row("b", True, True, variant="en-es"),
    row("c", True, False, variant="es-en"),
    row("c", None, None, variant="es-en", failed="it broke", decision=None),
    row("a", None, True, measure="correct"),
]


OWN = {
    Asking("s", "m", ""): [
        Number("TFR", Estimate(0.5, 0.25, 0.75, 0), 4, "2 | neither"),
        Number("balance point", UNDEFINED, 0),
    ]
}


@pytest.mark.parametrize("module", [attending, comparing, page])
def test_the_examples_of_reports_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_numbers_of_every_cell_are_those_of_the_table_of_a_run():
    found = {line.key: line for line in lines(material(ROWS))}
    for key, cell in cells(ROWS).items():
        estimates = [rate.estimate for rate in found[key].rates]
        if key.measure == "correct":
            assert estimates == [cell.rate()]
        else:
            expected = [cell.rate(True), cell.rate(False), cell.called(True), cell.called(False)]
            assert [one if one.value is not None else None for one in estimates] == expected


def test_csv_and_json_hold_the_numbers_of_every_cell():
    own = material(ROWS)
    every = lines(own)
    table = list(csv.DictReader(io.StringIO(results_csv(every))))
    told = json.loads(results_json(own, every, means(every), comparisons(every), OWN))
    for (key, cell), line, said in zip(cells(ROWS).items(), table, told["cells"], strict=True):
        assert tuple(line[name] for name in Key._fields) == tuple(said[name] for name in Key._fields) == key
        assert (int(line["failed"]), int(line["not_judged"])) == (cell.failed, cell.unjudged)
        rate = cell.rate() if key.measure == "correct" else cell.rate(True)
        name = "share" if key.measure == "correct" else "conflicts_said"
        assert (float(line[name]), float(line[f"{name}_low"])) == (rate.value, rate.low)
        assert (said["numbers"][name]["value"], said["numbers"][name]["high"]) == (rate.value, rate.high)


def test_json_holds_the_numbers_that_are_a_suites_own():
    own = material(ROWS)
    assert json.loads(results_json(own, [], [], [], OWN))["numbers"] == [
        {"suite": "s", "model": "m", "setting": "", "number": name, "rows": rows, "note": note, **value}
        for name, rows, note, value in (
            ("TFR", 4, "2 | neither", {"value": 0.5, "low": 0.25, "high": 0.75}),
            ("balance point", 0, "", {"value": None, "low": None, "high": None}),
        )
    ]


def test_a_response_that_failed_counts_once_whatever_number_of_scorers_wait_for_it():
    rows = [row("a", True, None, failed="it broke", measure=measure) for measure in ("says_conflict", "correct")]
    assert left_out(rows)["failed"] == rows[1:]


def test_every_row_is_in_the_table_of_items_with_what_is_behind_it():
    own = list(csv.DictReader(io.StringIO(items_csv(material(ROWS, guarded([1, 2], [1, 1]))))))
    assert [one["sample"] for one in own] == [one.sample for one in ROWS]
    assert own[0]["reason"] == "contradict"
    assert json.loads(own[0]["contributions"]) == {"s1": [1, 1], "s2": [2, 1]}
    assert own[7]["failed"] == "it broke"


def test_a_kind_is_the_mean_of_its_variants_each_weighted_alike():
    (unimodal, cross) = [one for one in means(lines(material(ROWS))) if one.key.measure == "says_conflict"]
    assert (unimodal.key.variant, cross.key.variant) == ("unimodal", "cross-lingual")
    assert cross.variants == 2
    said = cross.rates[0]
    assert (said.estimate.value, len(said.counted), said.rows) == (0.5, 2, 3)  # not 2 of 3: en-es is 1, es-en is 0
    assert said.estimate.low < 0.5 < said.estimate.high


def test_a_mean_of_variants_that_all_say_the_same_has_an_interval_with_a_width():
    rows = [row(item, True, False, variant=variant) for item in "ab" for variant in ("en-es", "es-en")]
    (mean,) = means(lines(material(rows)))
    assert mean.rates[0].estimate.value == 0.0
    assert mean.rates[0].estimate.high > 0.5


def test_kinds_are_told_by_the_sources():
    picture = Source("s2", "", picture=b"png")
    unsaid = Source("s2", "", "Green.")
    told = [(CROSS[0],), SAME, CROSS, (CROSS[0], picture), (picture, picture), (CROSS[0], unsaid)]
    assert [Response("", one, "", None, {}).kind for one in told] == [*KINDS[:4], "unimodal", "unimodal"]


def test_settings_are_compared_on_the_samples_that_both_have_a_word_on():
    before = [row(item, True, item == "a") for item in "abcdefgh"]
    after = [row(item, True, item != "a", setting="steered") for item in "abcdefg"]
    after.append(row("h", True, None, setting="steered"))
    (own,) = [one for one in comparisons(lines(material([*before, *after]))) if one.quantity is SAID]
    assert (own.first, own.key.setting, own.test) == ("", "steered", MCNEMAR)
    assert (len(own.both), len(own.gained), len(own.lost)) == (7, 6, 1)
    assert own.difference.value == pytest.approx(5 / 7)
    assert own.p_value == pytest.approx(0.125)
    assert own.adjusted == pytest.approx(0.25)  # of two tests: the verdict's is the other, and never differs


def test_items_of_several_samples_are_compared_by_sign_flips_and_what_never_differs_has_no_interval():
    def asked(setting):
        own = [row(item, False, False, setting=setting) for item in "ab"]
        return own + [Row(**{**vars(one), "sample": f"{one.sample}/again"}) for one in own]

    (own,) = [one for one in comparisons(lines(material([*asked(""), *asked("x")]))) if one.quantity is FALSE_ALARMS]
    assert (own.test, own.p_value) == (SIGN_FLIPS, 1.0)
    assert (own.difference.value, own.difference.low) == (0.0, None)


def test_contributions_are_relative_to_all_sources_and_by_place():
    (found,) = contributions(material([row("a", True, True), row("b", True, True)], guarded([4.0, 1.0], [1.0, 1.0])))
    first, second = found.places
    assert first.before.value == pytest.approx(-second.before.value) == pytest.approx(0.6931, abs=1e-4)
    assert (first.after.value, second.after.value) == (0.0, 0.0)
    assert found.ratio_before.value == pytest.approx(1.3863, abs=1e-4)
    assert (first.source, first.number, second.number) == ("en", 1, 2)


def test_responses_without_a_probability_are_counted_beside_the_diagram():
    rows = [row("a", True, True), row("b", False, False), row("c", True, None, failed="it broke")]
    own = material(rows, guarded([1.0, 1.0], [1.0, 1.0], probability=0.75))
    nothing = Response("Which?", SAME, "Red.", None, {})
    (found,) = trusted(Material(own.rows, {**own.responses, ("l", rows[1].sample): nothing}, ()))
    assert (len(found.rows), found.without) == (1, 1)
    assert found.brier.value == pytest.approx(0.0625)


def test_of_a_large_cell_a_page_holds_some_of_every_outcome_and_says_so():
    rows = [row(str(number), True, number == 99) for number in range(100)]
    assert len(some(rows, 10)) == 10
    assert rows[99] in some(rows, 10)
    lists = Lists(material(rows), in_a_cell=10)
    place = lists.add("said", rows[99:], rows[:99])
    told = lists.data()
    assert (lists.held, lists.responses) == (10, 100)
    assert (told["lists"][place]["n"], told["lists"][place]["m"]) == (1, 99)
    assert (len(told["lists"][place]["rows"]), len(told["lists"][place]["others"])) == (1, 9)
    assert told["texts"] == ["Red.", "Green."]  # once each


def test_the_summary_for_a_paper_says_how_its_numbers_came_about():
    own = material(ROWS)
    told = markdown(own, means(lines(own)), {"rules 1": "sensitivity 0.9"}, OWN)
    assert "| s | m | as it comes | standard | cross-lingual | 50% [" in told
    assert "| s | m | as it comes | standard | unimodal | correct | 100% [" in told
    assert "| s | m | as it comes | TFR | 0.50 [0.25, 0.75] | 4 | 2 \\| neither |" in told
    assert "1 that failed, 1 that could not be judged" in told
    assert "Judge rules 1: sensitivity 0.9" in told
    assert "bootstrap over items" in told


def test_words_of_a_model_are_no_formula_for_a_spreadsheet():
    failed = row("a", True, None, failed='=HYPERLINK("http://x", "y")')
    (line,) = csv.DictReader(io.StringIO(items_csv(material([failed]))))
    assert line["failed"] == '\'=HYPERLINK("http://x", "y")'
    assert line["response"] == "Red, or green."
