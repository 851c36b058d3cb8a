"""What finds CLQA's conflicts without reading: how far rules over values and shared words get."""

import pytest

from xmguard_research.benchmarks.clqa import LANGUAGES, SIZES, items
from xmguard_research.benchmarks.clqa.baselines import overlaps, rules, values_in
from xmguard_research.benchmarks.clqa.corpus import CLQA

ROUND = 168
"""Topics after which every event has had every turn of what alternates over eight of them."""


@pytest.fixture(scope="module")
def pairs():
    return tuple(items(ROUND, chosen=[("en", "zh"), ("tr", "tr")], sizes=SIZES))


def rows(some):
    return {(row.name, row.variant, row.size): row for row in rules(some)}


def test_another_value_of_the_kind_stands_beside_every_answer():
    for item in items(42, chosen=[(code, code) for code in LANGUAGES], sizes=["short"]):
        for one in item.paragraphs:
            found = values_in(one, CLQA.events[item.event])
            assert (one.start, one.value) in found
            assert len({value for _, value in found}) == 2 or item.kind == "place"


def test_no_rule_over_values_solves_the_suite(pairs):
    found = rows(pairs)
    assert len(found) == 5 * 2 * len(SIZES)
    for row in found.values():
        assert 0.5 < (row.detected + 1 - row.false_alarms) / 2 < 0.8
    assert found["none shared", "en-zh", "long"].false_alarms == 0
    assert found["not the same", "en-zh", "long"].detected == 1


def test_rules_solve_the_topics_that_are_easy_for_them(pairs):
    named = [one for one in pairs if one.kind != "place"]
    agreeing = [one for one in named if int(one.topic.split("-")[1]) // 4 % 2 == 0]
    others = [one for one in named if int(one.topic.split("-")[1]) // 4 % 2 == 1]
    for some, rule in ((agreeing, "not the same"), (others, "none shared")):
        row = rows(some)[rule, "en-zh", "short"]
        assert (row.detected, row.false_alarms) == (1, 0)


def test_shared_words_tell_a_conflict_best_from_its_own_control():
    (overlap,) = overlaps(items(42, chosen=[("de", "de")]))
    assert 0.5 < overlap.auroc.value < 0.7
    assert overlap.within_topics.value > 0.9
