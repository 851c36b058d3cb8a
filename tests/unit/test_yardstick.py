import pytest

from xmguard_research.yardstick import Pair, Scored, clustered_auroc, four_way_pairs, word_overlap

ITEM = {
    "id": 7,
    "question": "What colour is the bus?",
    "support": ["The bus is red.", "A red bus stands there."],
    "contradict": ["The bus is blue.", "A blue bus stands there."],
    "changed_answer": ["Blue", "blue "],
}


def test_every_statement_stands_in_a_conflict_and_in_a_consistent_pair():
    pairs = list(four_way_pairs([ITEM]))
    assert [pair.conflict for pair in pairs] == [True, True, False, False]
    for conflict in (True, False):
        said = [statement for pair in pairs if pair.conflict is conflict for statement in pair.statements]
        assert sorted(said) == sorted(ITEM["support"] + ITEM["contradict"])


def test_items_whose_contradictions_differ_have_no_consistent_pair_and_are_left_out():
    assert list(four_way_pairs([ITEM | {"changed_answer": ["blue", "green"]}])) == []


def test_word_overlap_leaves_out_the_questions_words():
    assert word_overlap(Pair("1", "What colour is the bus?", ("The bus is red.", "The bus is blue."), True)) == 0.0
    assert word_overlap(Pair("1", "What?", ("red bus", "blue bus"), True)) == pytest.approx(1 / 3)


def scored(conflict, item):
    return Scored(f"{item}{conflict}", item, conflict, None, "", 0.0, "")


def test_auroc_and_its_interval():
    rows = [scored(conflict, str(item)) for item in range(20) for conflict in (True, False)]
    perfect = [1.0 if row.conflict else 0.0 for row in rows]
    assert clustered_auroc(rows, perfect, resamples=50) == (1.0, 1.0, 1.0)
    auroc, low, high = clustered_auroc(rows, [float(index % 7) for index in range(len(rows))], resamples=200)
    assert low < auroc < high
